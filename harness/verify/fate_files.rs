//! The fate of each write's object.

use super::{
    fate::{Fate, Fates, Past, Standing, View, standing},
    versions::Versions,
    writes::Writes,
};
use crate::model::measure::LossKind;

/// Gives each write with an object exactly one fate. `rows`: the fates in the same side's database, if it could be read;
/// they say whether a later write of the key took the object's place.
pub(super) fn judge(
    writes: &Writes<'_>,
    versions: &Versions,
    rows: Option<&Fates>,
    past: &[Past],
    view: View,
) -> Fates {
    let mut fates = Fates::new(writes.len());
    for (number, (op, past)) in (0u32..).zip(writes.ops.iter().zip(past)) {
        let there = versions.is_present(number);
        let standing = if op.file { standing(op, *past, view, there) } else { Standing::Out };
        fates.standing.push(standing);
        let is_superseded = rows.is_some_and(|rows| rows.fates[number as usize] == Fate::Superseded);
        fates.fates[number as usize] = match standing {
            Standing::Out => Fate::Out,
            Standing::Gone => Fate::Gone,
            Standing::Refused if there => Fate::FailPresent,
            Standing::Refused => Fate::FailAbsent,
            Standing::Doubt | Standing::Required(_) if there && !versions.fits(number) => Fate::Corrupt,
            Standing::Doubt if there => Fate::InDoubtPresent,
            Standing::Doubt => Fate::InDoubtAbsent,
            Standing::Required(_) if !there => Fate::Lost(LossKind::LostCreate),
            Standing::Required(_) if is_superseded => Fate::Superseded,
            Standing::Required(_) => Fate::Intact,
        };
    }
    for number in 0..writes.len() as u32 {
        count(&mut fates, versions, number);
    }
    fates
}

/// How many of the objects that must be there are not seen to be, and were withheld: of these nobody knows.
pub(super) fn withheld(writes: &Writes<'_>, versions: &Versions, past: &[Past], view: View) -> usize {
    let ops = (0u32..).zip(writes.ops.iter().zip(past));
    let unknown = ops.filter(|(number, (op, past))| {
        op.file
            && versions.is_withheld(*number)
            && !versions.is_present(*number)
            && matches!(standing(op, **past, view, false), Standing::Required(_))
    });
    unknown.count()
}

/// A version that is not the pinned one is a copy beyond the first, also where the pinned one is gone.
fn count(fates: &mut Fates, versions: &Versions, number: u32) {
    let there = u64::from(versions.is_present(number));
    fates.count(number, there);
    fates.counts.duplicate += versions.units(number) - there;
}
