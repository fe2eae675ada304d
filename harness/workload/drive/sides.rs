//! Which side answers, as the load has itself observed it.

use std::sync::{Mutex, PoisonError};

use crate::{
    api::Region,
    model::{RunTime, operation::Side},
};

/// Epochs have 8 bits in a token; a platform that answers from both sides in turn reaches the end.
const EPOCH_MAX: u32 = 0xff;

/// The side that a server of this `cluster_name` stands on: it is the region's name, or begins with it and a character
/// that no name goes on with after a part (`east-sales`, `east/sales`, `east.z1`). Of two regions that fit, the longer.
pub fn side_of(cluster_name: &str, regions: &[Region; 2]) -> Option<Side> {
    let fits = |region: &Region| {
        cluster_name
            .strip_prefix(region.as_str())
            .is_some_and(|rest| rest.chars().next().is_none_or(|next| !next.is_ascii_alphanumeric()))
    };
    regions
        .iter()
        .zip(0..)
        .filter(|(region, _)| fits(region))
        .max_by_key(|(region, _)| region.as_str().len())
        .map(|(_, index)| Side(index))
}

/// Counts the changes of side that acknowledged writes have shown.
#[derive(Debug, Default)]
pub struct Sides {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    side: Option<Side>,
    epoch: u32,
    /// When the last change was known.
    since: RunTime,
}

impl Sides {
    /// Changes seen so far.
    pub fn epoch(&self) -> u32 {
        self.lock().epoch
    }

    /// The side that acknowledged last, answers that were late left aside.
    pub fn side(&self) -> Option<Side> {
        self.lock().side
    }

    /// A write sent at `sent` was acknowledged by `side`, known at `at`. An answer to what was sent before the last change
    /// was known is late and shows nothing new.
    pub fn acknowledged(&self, side: Side, sent: RunTime, at: RunTime) {
        let mut seen = self.lock();
        match seen.side {
            Some(now) if now == side || sent < seen.since => {}
            Some(_) => {
                *seen = Seen { side: Some(side), epoch: (seen.epoch + 1).min(EPOCH_MAX), since: at };
            }
            None => *seen = Seen { side: Some(side), epoch: seen.epoch, since: at },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cluster_name: &str, expected: Option<u8>) {
        let regions = ["east".parse().unwrap(), "east-2".parse().unwrap()];
        assert_eq!(side_of(cluster_name, &regions), expected.map(Side), "{cluster_name}");
    }

    #[test]
    fn a_cluster_name_tells_its_region() {
        check("east", Some(0));
        check("east-2", Some(1));
        check("east-sales", Some(0));
        check("east-2-sales", Some(1));
        check("east.z1/sales", Some(0));
        check("easter", None);
        check("", None);
    }

    #[test]
    fn an_answer_sent_before_the_last_change_is_no_change() {
        let sides = Sides::default();
        sides.acknowledged(Side(0), RunTime(1), RunTime(2));
        assert_eq!((sides.side(), sides.epoch()), (Some(Side(0)), 0));
        sides.acknowledged(Side(1), RunTime(5), RunTime(10));
        assert_eq!((sides.side(), sides.epoch()), (Some(Side(1)), 1));
        sides.acknowledged(Side(0), RunTime(9), RunTime(11));
        assert_eq!((sides.side(), sides.epoch()), (Some(Side(1)), 1), "late");
        sides.acknowledged(Side(0), RunTime(20), RunTime(21));
        assert_eq!((sides.side(), sides.epoch()), (Some(Side(0)), 2), "back again");
    }
}
