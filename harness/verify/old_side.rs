//! What the side that served before a switch, or the zone of it, answered though it was asked after the new side's first acknowledgement:
//! objects it acknowledged, reads it answered. (Rows it acknowledged are zombies like anybody's.)
//!
//! It may answer reads again once the examiner has seen that it follows as a standby; and what it is asked once traffic is
//! going back to it is the next event's.

use super::{input::Input, timeline::Switch};
use crate::model::{
    RunTime, Token,
    event::What,
    measure::OldSideAsked,
    operation::{EnvironmentIndex, Intent, Lane, OpKind, Outcome, Side, Store, Told},
};

/// What it answered in one event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answered {
    /// Objects it acknowledged, sent past the edge.
    pub objects: Vec<Token>,
    /// Reads it answered.
    pub reads: Vec<(Token, Store)>,
    /// How often it was asked past the edge. `None`: there was no switch to ask after.
    pub asked: Option<OldSideAsked>,
}

/// Looks through one event.
pub(super) fn answered(input: &Input<'_>, environment: EnvironmentIndex, switch: &Switch) -> Answered {
    let mut answered = Answered::default();
    let of_zone = switch.moved.and_then(|moved| Some((moved.opened?, moved.over)));
    let (opened, over, back) = match (of_zone, switch.opened) {
        (Some((opened, over)), _) => (opened, over, RunTime(u64::MAX)),
        (None, Some(opened)) => (opened, switch.returns, switch.back),
        (None, None) => return answered,
    };
    let Some(from) = switch.from else { return answered };
    let follows = seen_to_follow(input, environment, from, opened, of_zone.is_some());
    let mut asked = OldSideAsked::default();
    for (intent, outcome) in input.history.operations() {
        if intent.environment != environment || intent.sent <= opened || intent.sent >= over {
            continue;
        }
        let past_the_edge = matches!(intent.lane, Lane::OldSide { side, .. } if side == from);
        if of_zone.is_some() && !past_the_edge {
            // Within a region its name does not tell who answered.
            continue;
        }
        let told = outcome.filter(|outcome| outcome.at < back);
        if past_the_edge {
            count(&mut asked, outcome);
            if told.and_then(|outcome| outcome.file_acked.as_ref()).is_some() {
                answered.objects.push(intent.token);
            }
        }
        if let Some(store) = told.and_then(|outcome| read_from(intent, outcome, from))
            && intent.sent < follows
        {
            answered.reads.push((intent.token, store));
        }
    }
    answered.asked = Some(asked);
    answered
}

fn count(asked: &mut OldSideAsked, outcome: Option<&Outcome>) {
    asked.asked += 1;
    match outcome.map(|outcome| (&outcome.told, &outcome.file_acked)) {
        Some((Told::Ok { .. }, _) | (_, Some(_))) => asked.answered += 1,
        Some((Told::Fail { .. }, None)) => {}
        Some((Told::InDoubt { .. }, None)) | None => asked.in_doubt += 1,
    }
}

/// The store whose read this side answered, if it did. Of objects only the door that was asked tells the side.
fn read_from(intent: &Intent, outcome: &Outcome, from: Side) -> Option<Store> {
    let Told::Ok { side, .. } = &outcome.told else { return None };
    match (intent.kind, intent.lane) {
        (OpKind::ReadSql, _) if *side == Some(from) => Some(Store::Sql),
        (OpKind::ReadFile, Lane::OldSide { side, .. }) if side == from => Some(Store::Files),
        _ => None,
    }
}

/// When the examiner saw that the side, or the old seat of it, follows; the end of time if it never did.
fn seen_to_follow(
    input: &Input<'_>,
    environment: EnvironmentIndex,
    side: Side,
    after: RunTime,
    within_region: bool,
) -> RunTime {
    let follows = |what: &What| match what {
        What::Protected { environment: of, replica, seen: true, .. } if !within_region => {
            *of == environment && *replica == side
        }
        What::SeatFollows { environment: of, side: at, .. } if within_region => *of == environment && *at == side,
        _ => false,
    };
    let seen = input.events.iter().find(|event| event.at > after && follows(&event.what));
    seen.map_or(RunTime(u64::MAX), |event| event.at)
}
