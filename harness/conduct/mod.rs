//! The only room where everything meets: it stands a testbed up, deploys, loads, walks the timeline, reads, and ends it
//! all; what happens it says as typed events ([`crate::model::event`]), and judging works from these, the ledger and the
//! readings alone, so that a finished run can be judged again from its folder.
//!
//! - [`drill`]: what users of the library call.
//! - [`trials`]: one drill again and again, several side by side.
//! - `course`: the phases of a run, in order.
//! - `deploy`: how its environments come to be.
//! - `destroy`: what a customer does to all that is there.
//! - `timeline`: its steps: trigger, act, wait; `triggers`: those by what the examiner measures itself.
//! - `watch`: what the platform says, and the observation of every switch.
//! - `observe`: readings of the stores, past the platform.
//! - `protection`: what the platform says of replicas after a switch, and what is seen of them; `salvages`: its lists of
//!   what was left behind; `due`: when a replica is due; `converge`: the end of replication before the final readings.
//! - `claims`: what servers and platform say of replication, sampled beside the lag that is measured.
//! - `reports`: features, asked for as a customer does.
//! - `quotas`: whether regions are held to their quotas of the processors.
//! - `old_side`: how the side that served before a switch is asked past the edge.
//! - `recorder`: events, kept and passed on.
//! - `notices`: the examiner's own webhook receiver.
//! - `exec`: a user's command and what it is told.
//! - `places`: where runs are kept, and the program that roles run.
//! - `folder`: the run's folder: what is in it and who may read it.
//! - `judge`: from the folder to the report.

pub mod drill;
pub mod folder;
pub mod judge;
pub mod places;
mod prefill;

mod claims;
mod converge;
mod course;
mod deploy;
mod destroy;
mod due;
mod exec;
mod notices;
mod observe;
mod old_side;
mod protection;
mod quotas;
mod recorder;
mod replica;
mod reports;
mod salvages;
mod seats;
mod timeline;
pub mod trials;
mod triggers;
mod watch;
mod zones;

pub use drill::{Cancel, Drill, DrillError, Finished};
pub use trials::Trials;
