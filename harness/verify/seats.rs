//! Which zone of a region was an environment's primary when, as far as the examiner's looks tell. Clients are answered by the
//! region's name whichever it is.

use super::{input::Input, writes::Op};
use crate::model::{
    RunTime,
    event::What,
    operation::{EnvironmentIndex, Side},
};

/// The seat was seen in another zone of the same region than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Move {
    pub side: Side,
    /// Until then nobody can have been answered by the new one.
    pub before: RunTime,
    /// From then on nobody may be answered by the old one.
    pub seen: RunTime,
}

/// Every move of an environment's seat, in the order of time.
pub(super) fn moves(input: &Input<'_>, environment: EnvironmentIndex) -> Vec<Move> {
    let mut last = None;
    let mut moves = Vec::new();
    for event in input.events {
        if let What::SeatSeen { environment: of, side, zone, before, .. } = event.what
            && of == environment
        {
            if last.is_some_and(|(at, of)| at == side && of != zone) {
                moves.push(Move { side, before, seen: event.at });
            }
            last = Some((side, zone));
        }
    }
    moves
}

/// How many moves an operation of a side surely came after, all others coming after it; `None`: nobody can tell.
pub(super) fn era(moves: &[Move], op: &Op) -> Option<usize> {
    let of_side = || moves.iter().filter(|a| Some(a.side) == op.side);
    let surely = of_side().filter(|a| a.seen <= op.sent).count();
    let perhaps = of_side().filter(|a| a.before < op.at).count();
    (surely == perhaps).then_some(surely)
}
