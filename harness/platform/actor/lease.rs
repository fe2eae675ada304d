//! Permits as their holder counts them: from the moment the request was *sent*, from two grantors of which either
//! suffices, for writes too, never under an epoch smaller than one seen.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep_until};

use crate::api::{
    Address, EnvironmentId, Epoch, Zone,
    guard::Stamp,
    permit::{Grant, PermitReply},
    route::Door,
    sabotage::Sabotage,
};

/// Longer than any drill.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// Who granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grantor {
    /// The control plane.
    Control,
    /// A node of the other region's.
    Peer(Zone),
    /// A command that makes its receiver the owner stands for a permit until the first one arrives.
    Command,
}

impl Grantor {
    /// All who are asked, and where each of them is.
    pub fn all<'a>(control: &'a Address, peers: &'a [Address]) -> impl Iterator<Item = (Self, &'a Address)> {
        std::iter::once((Self::Control, control)).chain(Self::peers(peers))
    }

    /// The other region's nodes, one a zone.
    pub fn peers(peers: &[Address]) -> impl Iterator<Item = (Self, &Address)> {
        peers.iter().zip(1..).map(|(address, zone)| (Self::Peer(Zone(zone)), address))
    }
}

/// Why something may not be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no permit, or it has ended.
    #[error("no permit")]
    NoPermit,
    /// A greater epoch has been seen.
    #[error("epoch {asked} is over, epoch {seen} has been seen")]
    OldEpoch {
        /// The epoch asked for.
        asked: Epoch,
        /// The greatest seen.
        seen: Epoch,
    },
    /// The permit held is of a smaller epoch.
    #[error("epoch {asked} has not been granted, only {granted}")]
    NotGranted {
        /// The epoch asked for.
        asked: Epoch,
        /// The one granted.
        granted: Epoch,
    },
    /// The data-loss guard has closed the door for writing.
    #[error("writes are withheld: too much would be lost if the region were")]
    Exposed,
}

/// What a holder may do in one environment, at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// The greatest epoch seen.
    pub epoch: Epoch,
    /// The end of the permit of that epoch.
    pub until: Option<Instant>,
    /// The end of the leave to write of that epoch; it is never later.
    pub writes_until: Option<Instant>,
    /// Reading asks for no permit: never so in a platform that is whole.
    pub reads_for_ever: bool,
    /// How long each write is held back.
    pub pace: Duration,
    /// Slot of ports.
    pub slot: u16,
    /// Bucket.
    pub bucket: String,
    /// The customers' key.
    pub s3_access_key: String,
    /// The role that may only read.
    pub sql_reader: String,
    /// Greatest revision of the marked references that was heard of.
    pub marks_revision: u64,
}

impl Terms {
    /// Whether traffic of `epoch` may pass `door` now, and until when.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn allow(&self, epoch: Epoch, door: Door, now: Instant) -> Result<Instant, Denied> {
        if epoch < self.epoch {
            return Err(Denied::OldEpoch { asked: epoch, seen: self.epoch });
        }
        if epoch > self.epoch {
            return Err(Denied::NotGranted { asked: epoch, granted: self.epoch });
        }
        if self.reads_for_ever && door == Door::Ro {
            return Ok(now + FOR_EVER);
        }
        let until = self.until.filter(|until| now < *until).ok_or(Denied::NoPermit)?;
        match door {
            Door::Ro => Ok(until),
            Door::Rw => self.writes_until.filter(|until| now < *until).ok_or(Denied::Exposed),
        }
    }

    /// Whether a connection that reads these terms should look again: all but a mere renewal.
    fn tells(&self, old: &Terms, now: Instant) -> bool {
        let held =
            |terms: &Terms| [terms.until, terms.writes_until].map(|until| until.is_some_and(|until| now < until));
        let renewed = Terms { until: old.until, writes_until: old.writes_until, pace: old.pace, ..self.clone() };
        held(self) != held(old) || renewed != *old
    }
}

/// Waits until traffic of `epoch` may no longer pass `door`, and says why.
pub async fn ended(mut terms: watch::Receiver<Terms>, epoch: Epoch, door: Door) -> Denied {
    loop {
        let until = match terms.borrow_and_update().allow(epoch, door, Instant::now()) {
            Ok(until) => until,
            Err(denied) => return denied,
        };
        tokio::select! {
            () = sleep_until(until.into()) => {}
            changed = terms.changed() => if changed.is_err() { return Denied::NoPermit },
        }
    }
}

struct Held {
    grant: Grant,
    until: Instant,
}

struct Entry {
    held: BTreeMap<Grantor, Held>,
    /// Replies to requests sent earlier count for nothing.
    not_before: Option<Instant>,
    terms: watch::Sender<Terms>,
}

/// The permits of one holder.
#[derive(Default)]
pub struct Permits {
    entries: BTreeMap<EnvironmentId, Entry>,
    stamps: Stamps,
    sabotage: Option<Sabotage>,
}

/// The last stamp of each grantor.
pub type Stamps = BTreeMap<Grantor, Stamp>;

impl Permits {
    /// None yet; `epochs` are the greatest seen before.
    pub fn new(epochs: impl IntoIterator<Item = (EnvironmentId, Epoch)>, sabotage: Option<Sabotage>) -> Self {
        let mut permits = Self { sabotage, ..Self::default() };
        for (environment, epoch) in epochs {
            permits.raise(&environment, epoch);
        }
        permits
    }

    /// Every environment known, with the greatest epoch seen.
    pub fn known(&self) -> Vec<(EnvironmentId, Epoch)> {
        self.entries.iter().map(|(environment, entry)| (environment.clone(), entry.terms.borrow().epoch)).collect()
    }

    /// The terms of an environment, kept up to date. `None`: it has never been heard of.
    pub fn watch(&self, environment: &EnvironmentId) -> Option<watch::Receiver<Terms>> {
        self.entries.get(environment).map(|entry| entry.terms.subscribe())
    }

    /// The terms of an environment now.
    pub fn terms(&self, environment: &EnvironmentId) -> Terms {
        self.entries.get(environment).map(|entry| entry.terms.borrow().clone()).unwrap_or_default()
    }

    /// Epochs in `reply` greater than those seen: to be made durable before it is taken.
    pub fn news(&self, reply: &PermitReply) -> BTreeMap<EnvironmentId, Epoch> {
        let mut news = BTreeMap::new();
        if self.sabotage == Some(Sabotage::AcceptStaleEpoch) {
            return news;
        }
        let named = reply.grants.iter().map(|grant| (&grant.environment, grant.epoch));
        for (environment, epoch) in named.chain(reply.refused.iter().map(|(environment, epoch)| (environment, *epoch)))
        {
            let seen = self.entries.get(environment).map(|entry| entry.terms.borrow().epoch);
            if seen.is_none_or(|seen| seen < epoch) {
                let news = news.entry(environment.clone()).or_insert(epoch);
                *news = epoch.max(*news);
            }
        }
        news
    }

    /// The last stamp of each grantor, to be given back.
    pub fn stamps(&self) -> Stamps {
        self.stamps.clone()
    }

    /// Takes a reply to a request that was sent at `sent`.
    pub fn take(&mut self, from: Grantor, sent: Instant, mut reply: PermitReply, now: Instant) {
        match self.sabotage {
            Some(Sabotage::PermitNeverExpires) => reply.grants.iter_mut().for_each(never_ends),
            Some(Sabotage::AcceptStaleEpoch) => reply.refused.clear(),
            Some(Sabotage::FrailSecondary) => reply.grants.iter_mut().for_each(frail_once_switched),
            _ => {}
        }
        let stamp = self.stamps.entry(from).or_insert(reply.stamp);
        // Replies may overtake one another; a grantor that was started anew counts from 0.
        if stamp.life != reply.stamp.life || *stamp < reply.stamp {
            *stamp = reply.stamp;
        }
        for (environment, epoch) in &reply.refused {
            self.raise(environment, *epoch);
        }
        for grant in reply.grants {
            self.raise(&grant.environment, grant.epoch);
            let Some(entry) = self.entries.get_mut(&grant.environment) else { continue };
            let old = grant.epoch < entry.terms.borrow().epoch;
            if old || entry.not_before.is_some_and(|not_before| sent <= not_before) {
                continue;
            }
            let until = sent + Duration::from_millis(grant.lifetime_ms);
            if from != Grantor::Command {
                entry.held.remove(&Grantor::Command);
            }
            // Replies may overtake one another; a later end stands.
            if entry.held.get(&from).is_none_or(|held| held.until <= until) {
                entry.held.insert(from, Held { grant, until });
            }
            entry.publish(self.sabotage == Some(Sabotage::ReadFromOldSide), now);
        }
    }

    /// Remembers an epoch; permits of smaller ones end here.
    pub fn raise(&mut self, environment: &EnvironmentId, epoch: Epoch) {
        let entry = self.entries.entry(environment.clone()).or_insert_with(|| Entry {
            held: BTreeMap::new(),
            not_before: None,
            terms: watch::Sender::new(Terms { epoch, ..Terms::default() }),
        });
        if entry.terms.borrow().epoch < epoch {
            entry.held.clear();
            entry.terms.send_replace(Terms { epoch, ..Terms::default() });
        }
    }

    /// Ends an environment's permit now; only what is asked for from here on can renew it.
    pub fn drop_held(&mut self, environment: &EnvironmentId, now: Instant) {
        if let Some(entry) = self.entries.get_mut(environment) {
            entry.held.clear();
            entry.not_before = Some(now);
            entry.terms.send_modify(|terms| (terms.until, terms.writes_until) = (None, None));
        }
    }
}

fn never_ends(grant: &mut Grant) {
    grant.lifetime_ms = u64::try_from(FOR_EVER.as_millis()).unwrap_or(u64::MAX);
}

fn frail_once_switched(grant: &mut Grant) {
    if grant.epoch > Epoch::FIRST {
        grant.pace_ms = 400;
    }
}

impl Entry {
    fn publish(&mut self, reads_for_ever: bool, now: Instant) {
        self.held.retain(|_, held| now < held.until);
        let Some(latest) = self.held.values().max_by_key(|held| held.until) else { return };
        let old_marks = self.terms.borrow().marks_revision;
        // Whoever lets writes pass knows enough; that the other grantor does not know is no reason against it.
        let writable = || self.held.values().filter(|held| held.grant.exposure_ok);
        let paces = writable().map(|held| Duration::from_millis(held.grant.pace_ms));
        let fresh = Terms {
            epoch: latest.grant.epoch,
            until: Some(latest.until),
            reads_for_ever,
            writes_until: writable().map(|held| held.until).max(),
            pace: paces.min().unwrap_or_default(),
            slot: latest.grant.slot,
            bucket: latest.grant.bucket.clone(),
            s3_access_key: latest.grant.s3_access_key.clone(),
            sql_reader: latest.grant.sql_reader.clone(),
            marks_revision: self.held.values().map(|held| held.grant.marks_revision).fold(old_marks, u64::max),
        };
        self.terms.send_if_modified(|terms| {
            let tells = fresh.tells(terms, now);
            *terms = fresh;
            tells
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sales() -> EnvironmentId {
        "sales".parse().unwrap()
    }

    fn grant(epoch: u64, lifetime_ms: u64) -> Grant {
        Grant {
            environment: sales(),
            epoch: Epoch(epoch),
            lifetime_ms,
            exposure_ok: true,
            pace_ms: 0,
            slot: 0,
            bucket: "sales".to_owned(),
            s3_access_key: "key".to_owned(),
            sql_reader: "reader".to_owned(),
            marks_revision: 0,
        }
    }

    fn granted(grant: Grant) -> PermitReply {
        PermitReply { grants: vec![grant], refused: vec![], stamp: Stamp::default() }
    }

    fn refused(epoch: u64) -> PermitReply {
        PermitReply { grants: vec![], refused: vec![(sales(), Epoch(epoch))], stamp: Stamp::default() }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_permit_is_counted_from_the_sending_of_its_request() {
        let sent = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Control, sent, granted(grant(1, 1000)), sent + ms(700));
        let terms = permits.terms(&sales());
        assert_eq!(terms.allow(Epoch(1), Door::Rw, sent + ms(999)), Ok(sent + ms(1000)));
        assert_eq!(terms.allow(Epoch(1), Door::Rw, sent + ms(1000)), Err(Denied::NoPermit));
    }

    #[test]
    fn either_grantor_suffices_and_the_later_end_counts() {
        let t = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Peer(Zone::FIRST), t + ms(300), granted(grant(1, 1000)), t + ms(310));
        permits.take(Grantor::Control, t, granted(grant(1, 1000)), t + ms(320));
        assert_eq!(permits.terms(&sales()).until, Some(t + ms(1300)));
    }

    #[test]
    fn a_reply_that_was_overtaken_shortens_nothing() {
        let t = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Control, t + ms(250), granted(grant(1, 1000)), t + ms(260));
        permits.take(Grantor::Control, t, granted(grant(1, 1000)), t + ms(270));
        assert_eq!(permits.terms(&sales()).until, Some(t + ms(1250)));
    }

    #[test]
    fn a_greater_epoch_ends_the_permit_and_a_smaller_one_is_never_taken_again() {
        let t = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Control, t, granted(grant(1, 1000)), t);
        assert_eq!(permits.news(&refused(2)), BTreeMap::from([(sales(), Epoch(2))]));
        permits.take(Grantor::Peer(Zone::FIRST), t, refused(2), t);
        let seen = Epoch(2);
        assert_eq!(
            permits.terms(&sales()).allow(Epoch(1), Door::Ro, t),
            Err(Denied::OldEpoch { asked: Epoch(1), seen })
        );
        permits.take(Grantor::Control, t + ms(5), granted(grant(1, 1000)), t + ms(5));
        assert_eq!(permits.terms(&sales()).allow(Epoch(2), Door::Ro, t + ms(6)), Err(Denied::NoPermit));
        let asked = Epoch(3);
        assert_eq!(
            permits.terms(&sales()).allow(asked, Door::Ro, t + ms(6)),
            Err(Denied::NotGranted { asked, granted: seen })
        );
    }

    #[test]
    fn writes_pass_as_long_as_one_grantor_has_let_them_and_the_other_door_stays_open() {
        let t = Instant::now();
        let mut permits = Permits::default();
        let withheld = || Grant { exposure_ok: false, ..grant(1, 1000) };
        permits.take(Grantor::Control, t, granted(withheld()), t);
        assert_eq!(permits.terms(&sales()).allow(Epoch(1), Door::Rw, t + ms(5)), Err(Denied::Exposed));
        // The other grantor knows more.
        let slowed = Grant { pace_ms: 40, ..grant(1, 1000) };
        permits.take(Grantor::Peer(Zone::FIRST), t + ms(10), granted(slowed), t + ms(10));
        assert_eq!(permits.terms(&sales()).allow(Epoch(1), Door::Rw, t + ms(20)), Ok(t + ms(1010)));
        assert_eq!(permits.terms(&sales()).pace, ms(40));
        // Now it withholds too; what it has let pass before it takes back with that.
        permits.take(Grantor::Peer(Zone::FIRST), t + ms(260), granted(withheld()), t + ms(270));
        let terms = permits.terms(&sales());
        assert_eq!(terms.allow(Epoch(1), Door::Rw, t + ms(280)), Err(Denied::Exposed));
        assert_eq!(terms.allow(Epoch(1), Door::Ro, t + ms(280)), Ok(t + ms(1260)));
    }

    #[test]
    fn a_leave_to_write_ends_by_itself_while_the_permit_goes_on() {
        let t = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Peer(Zone::FIRST), t, granted(grant(1, 1000)), t);
        permits.take(
            Grantor::Control,
            t + ms(500),
            granted(Grant { exposure_ok: false, ..grant(1, 1000) }),
            t + ms(500),
        );
        let terms = permits.terms(&sales());
        assert_eq!(terms.allow(Epoch(1), Door::Rw, t + ms(999)), Ok(t + ms(1000)));
        assert_eq!(terms.allow(Epoch(1), Door::Rw, t + ms(1000)), Err(Denied::Exposed));
        assert_eq!(terms.allow(Epoch(1), Door::Ro, t + ms(1000)), Ok(t + ms(1500)));
    }

    #[test]
    fn the_newest_stamp_of_each_grantor_is_given_back() {
        let t = Instant::now();
        let mut permits = Permits::default();
        for (from, life, ms) in [
            (Grantor::Control, 1, 50),
            (Grantor::Control, 1, 40),
            (Grantor::Peer(Zone::FIRST), 9, 10),
            (Grantor::Peer(Zone::FIRST), 8, 2),
        ] {
            permits.take(from, t, PermitReply { stamp: Stamp { life, ms }, ..refused(0) }, t);
        }
        let expected =
            [(Grantor::Control, Stamp { life: 1, ms: 50 }), (Grantor::Peer(Zone::FIRST), Stamp { life: 8, ms: 2 })];
        assert_eq!(permits.stamps(), BTreeMap::from(expected));
    }

    #[test]
    fn a_permit_dropped_is_not_renewed_by_a_reply_already_under_way() {
        let t = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Control, t, granted(grant(1, 1000)), t);
        permits.drop_held(&sales(), t + ms(100));
        permits.take(Grantor::Control, t + ms(90), granted(grant(1, 1000)), t + ms(110));
        assert_eq!(permits.terms(&sales()).until, None);
        permits.take(Grantor::Control, t + ms(120), granted(grant(1, 1000)), t + ms(130));
        assert!(permits.terms(&sales()).until.is_some());
    }

    #[test]
    fn a_command_stands_for_a_permit_until_the_first_grant() {
        let t = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Command, t, granted(grant(1, 30_000)), t);
        assert_eq!(permits.terms(&sales()).until, Some(t + ms(30_000)));
        permits.take(Grantor::Peer(Zone::FIRST), t, granted(grant(1, 1000)), t);
        assert_eq!(permits.terms(&sales()).until, Some(t + ms(1000)));
    }

    #[tokio::test]
    async fn an_idle_watcher_learns_of_the_end_at_once() {
        let t = Instant::now();
        let mut permits = Permits::default();
        permits.take(Grantor::Control, t, granted(grant(1, 30)), t);
        let watched = permits.watch(&sales()).unwrap();
        permits.take(Grantor::Control, t + ms(30), granted(grant(1, 30)), t);
        assert_eq!(ended(watched.clone(), Epoch(1), Door::Rw).await, Denied::NoPermit);
        assert!(t.elapsed() >= ms(60));
        permits.take(Grantor::Control, Instant::now(), granted(grant(1, 60_000)), Instant::now());
        let waiting = tokio::spawn(ended(watched, Epoch(1), Door::Rw));
        tokio::task::yield_now().await;
        permits.raise(&sales(), Epoch(2));
        assert!(matches!(waiting.await.unwrap(), Denied::OldEpoch { .. }));
    }
}
