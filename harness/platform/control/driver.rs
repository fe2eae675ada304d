//! The one task that owns the core: events in, in order; decisions out to the scribe, in order.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    inbox::{Clock, Message, Order, Reply},
    scribe::{Batch, Deed},
};
use crate::{
    api::permit::PermitReply,
    platform::core::{AskId, Core, Effect, Event, OrderAnswer, Refused},
};

/// The longest time without a look at the clock.
const TICK: Duration = Duration::from_millis(50);

/// Whom an answer goes to.
enum Asker {
    Holder(oneshot::Sender<PermitReply>),
    Operator(oneshot::Sender<Result<OrderAnswer, Refused>>),
}

/// Owns the core and what waits for its answers.
pub(super) struct Driver {
    core: Core,
    clock: Clock,
    scribe: mpsc::Sender<Batch>,
    askers: BTreeMap<AskId, Asker>,
    last_ask: u64,
}

impl Driver {
    /// A driver of a recovered core.
    pub(super) fn new(core: Core, clock: Clock, scribe: mpsc::Sender<Batch>) -> Self {
        Self { core, clock, scribe, askers: BTreeMap::new(), last_ask: 0 }
    }

    /// Drives until told to stop; what was decided by then still reaches the scribe.
    pub(super) async fn drive(
        mut self,
        age_ms: u64,
        mut inbox: mpsc::Receiver<Message>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut can_go_on = self.step(Event::Restarted { age_ms }).await;
        while can_go_on {
            let tick = Instant::now() + TICK;
            let due = self.core.due_ms().map_or(tick, |due| self.clock.at(due).min(tick));
            can_go_on = tokio::select! {
                _ = &mut stop => false,
                message = inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => false,
                },
                () = sleep_until(due) => self.step(Event::Tick).await,
            };
        }
    }

    async fn take(&mut self, message: Message) -> bool {
        let event = match message {
            Message::Event(event) => event,
            Message::Permits(request, answer) => {
                Event::PermitAsked { ask: self.remember(Asker::Holder(answer)), request }
            }
            Message::Order(order, answer) => {
                let ask = self.remember(Asker::Operator(answer));
                match order {
                    Order::Tenant { name, tenant } => Event::TenantPut { ask, name, tenant },
                    Order::Deploy { order, credentials } => Event::DeployOrdered { ask, order, credentials },
                    Order::Conversion(order) => Event::ConversionOrdered { ask, order },
                    Order::Ticket(order) => Event::TicketOrdered { ask, order },
                    Order::BackUp(order) => Event::BackUpOrdered { ask, order },
                    Order::Restore(order) => Event::RestoreOrdered { ask, order },
                    Order::Copy(order) => Event::CopyOrdered { ask, order },
                    Order::Deletion(environment) => Event::DeletionOrdered { ask, environment },
                    Order::Failover(order) => Event::FailoverOrdered { ask, order },
                    Order::Exposure { environment, order } => Event::ExposureOrdered { ask, environment, order },
                }
            }
            Message::Look(look) => {
                let reply = look(&self.core, self.clock.now_ms());
                return self.hand_on(Batch { records: Vec::new(), deeds: vec![Deed::Reply(reply)] }).await;
            }
        };
        self.step(event).await
    }

    fn remember(&mut self, asker: Asker) -> AskId {
        self.last_ask += 1;
        self.askers.insert(AskId(self.last_ask), asker);
        AskId(self.last_ask)
    }

    /// One step of the core; `false` if the scribe has ended.
    async fn step(&mut self, event: Event) -> bool {
        let effects = self.core.step(self.clock.now_ms(), event);
        let mut batch = Batch::default();
        for effect in effects {
            match effect {
                Effect::Journal(records) => batch.records.extend(records),
                Effect::Command { call, region, zone, command } => {
                    batch.deeds.push(Deed::Command { call, region, zone, command });
                }
                Effect::Compute { call, region, zone, command } => {
                    batch.deeds.push(Deed::Compute { call, region, zone, command });
                }
                Effect::Route { call, route } => batch.deeds.push(Deed::Route { call, route }),
                Effect::Notify { notice } => batch.deeds.push(Deed::Notify(notice)),
                Effect::Permits { ask, reply } => batch.deeds.extend(self.permits(ask, reply).map(Deed::Reply)),
                Effect::Answer { ask, result } => batch.deeds.extend(self.answer(ask, result).map(Deed::Reply)),
            }
        }
        self.hand_on(batch).await
    }

    // An asker that has gone is no concern of ours: a holder asks again, an operator looks.
    fn permits(&mut self, ask: AskId, reply: PermitReply) -> Option<Reply> {
        match self.askers.remove(&ask)? {
            Asker::Holder(asker) => Some(Box::new(move || drop(asker.send(reply)))),
            Asker::Operator(_) => None,
        }
    }

    fn answer(&mut self, ask: AskId, result: Result<OrderAnswer, Refused>) -> Option<Reply> {
        match self.askers.remove(&ask)? {
            Asker::Operator(asker) => Some(Box::new(move || drop(asker.send(result)))),
            Asker::Holder(_) => None,
        }
    }

    async fn hand_on(&self, batch: Batch) -> bool {
        batch.is_empty() || self.scribe.send(batch).await.is_ok()
    }
}
