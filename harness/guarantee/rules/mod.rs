//! Rules: from evidence to a ruling, one a file. A rule says what the evidence alone shows; that a run as a whole proves
//! nothing (an unproven fault, uneven books) is laid over it by [`super::judge`].

mod back_up;
mod carries;
mod case;
mod condition;
mod declared;
mod features;
mod integrity;
mod interruption;
mod lag;
mod left_behind;
mod licensed;
mod loss;
mod no_replica;
mod notice;
mod replica;
mod restored;
mod switched;
mod zone;

pub(super) use case::{Case, Ruling};
pub(super) use integrity::integrity;
pub(super) use interruption::worst;

use case::{Unanswered, not_exercised, seconds};
