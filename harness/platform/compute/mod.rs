//! The compute: it carries a region's SQL and S3 traffic to the stores of the environments for which it holds a permit,
//! and cuts it when the permit ends.
//!
//! Every connection begins with the edge's preamble, which names environment, epoch, store and door. What a store answers
//! passes [`gate`], where the permit is checked directly before the bytes are sent on; an idle connection is cut as well.
//! Before a planned switch control stops an environment here: nobody new comes in, what is under way ends, and the running
//! account of file versions is sealed.
//!
//! Beside the stores it offers reports ([`reports`]), asked for at the door for reading files.
//!
//! On disk: `<data>/epochs.json`, the greatest epoch seen of each environment, and `<data>/stops.json`, the last stop or
//! resumption of each, both written before they are acted upon; `<data>/account/<environment>.ndjson`, the running account; what [`reports`] keeps.

mod account;
mod command;
mod door;
mod doors;
mod files;
mod gate;
mod holder;
mod marks;
mod own;
mod reports;
mod request;
mod serve;
mod sql;
mod startup;
mod talk;
#[cfg(test)]
mod tests;

pub use serve::{ComputeError, run};
