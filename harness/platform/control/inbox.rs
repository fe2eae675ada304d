//! What reaches the core's task, and how its answers come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use crate::{
    api::{
        EnvironmentId,
        control::{BackUp, Conversion, Copy, Deploy, Exposure, Failover, Restore, SupportTicket, Tenant},
        permit::{Credentials, PermitReply, PermitRequest},
    },
    platform::core::{Core, Event, OrderAnswer, Refused},
};

/// Messages that may wait before senders have to.
pub(super) const QUEUE: usize = 1_024;
/// Longest wait for an answer: the core answers at once, so this only guards against a stuck disk.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Milliseconds since this control plane's start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    /// Starts it.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Now.
    pub(super) fn now_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant of a time.
    pub(super) fn at(self, ms: u64) -> Instant {
        self.0 + Duration::from_millis(ms)
    }
}

/// An answer that is given once everything decided before it is on the disk.
pub(super) type Reply = Box<dyn FnOnce() + Send>;

/// A look at the core, and what to do with it.
pub(super) type Look = Box<dyn FnOnce(&Core, u64) -> Reply + Send>;

/// An order of an operator.
pub(super) enum Order {
    Tenant { name: String, tenant: Tenant },
    Deploy { order: Deploy, credentials: Box<Credentials> },
    Conversion(Conversion),
    Ticket(SupportTicket),
    BackUp(BackUp),
    Restore(Restore),
    Copy(Copy),
    Deletion(EnvironmentId),
    Failover(Failover),
    Exposure { environment: EnvironmentId, order: Exposure },
}

/// One message.
pub(super) enum Message {
    Event(Event),
    Permits(PermitRequest, oneshot::Sender<PermitReply>),
    Order(Order, oneshot::Sender<Result<OrderAnswer, Refused>>),
    Look(Look),
}

/// Why the core's task gives no answer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum Unavailable {
    /// It has ended, or waits for its disk.
    #[error("the control plane is ending or its disk is stuck: try again")]
    Stuck,
    /// What it decides cannot be written.
    #[error(
        "the control plane's disk is full: nothing is done until there is room on it; look at what is under way before ordering again"
    )]
    Full,
}

/// Whether the journal's disk is full.
#[derive(Clone, Default)]
pub(super) struct Full(Arc<AtomicBool>);

impl Full {
    /// Tells it.
    pub(super) fn set(&self, full: bool) {
        self.0.store(full, Relaxed);
    }

    fn why(&self) -> Unavailable {
        if self.0.load(Relaxed) { Unavailable::Full } else { Unavailable::Stuck }
    }
}

/// The way to the core's task.
#[derive(Clone)]
pub(super) struct Inbox {
    sender: mpsc::Sender<Message>,
    full: Full,
}

impl Inbox {
    /// A way and its end.
    pub(super) fn new(full: Full) -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, full }, receiver)
    }

    /// Tells an event; that the core's task has ended is no concern of the teller's.
    pub(super) async fn tell(&self, event: Event) {
        let _ = self.sender.send(Message::Event(event)).await;
    }

    /// Asks for permits.
    pub(super) async fn permits(&self, request: PermitRequest) -> Result<PermitReply, Unavailable> {
        self.ask(|answer| Message::Permits(request, answer)).await
    }

    /// Gives an order.
    pub(super) async fn order(&self, order: Order) -> Result<Result<OrderAnswer, Refused>, Unavailable> {
        self.ask(|answer| Message::Order(order, answer)).await
    }

    /// Looks at the core; what is seen is on the disk when it comes back.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, u64) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask(|answer| {
            Message::Look(Box::new(move |core, now_ms| {
                let seen = look(core, now_ms);
                // Whoever asked may have gone.
                Box::new(move || drop(answer.send(seen)))
            }))
        })
        .await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Unavailable> {
        // Refused now is better than queued, answered as unavailable, and done when there is room again.
        if let why @ Unavailable::Full = self.full.why() {
            return Err(why);
        }
        let (sender, receiver) = oneshot::channel();
        let asked = async {
            self.sender.send(message(sender)).await.ok()?;
            receiver.await.ok()
        };
        timeout(ANSWER_WITHIN, asked).await.ok().flatten().ok_or_else(|| self.full.why())
    }
}
