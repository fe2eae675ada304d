//! The compute: it carries a region's SQL and S3 traffic to the stores of the environments for which it holds a permit,
//! and cuts it when the permit ends.
//!
//! Every connection begins with the edge's preamble, which names environment, epoch, store and door. What a store answers
//! passes [`gate`], where the permit is checked directly before the bytes are sent on; an idle connection is cut as well.
//! On disk: `<data>/epochs.json`, the greatest epoch seen of each environment, written before it is acted upon.

mod door;
mod files;
mod gate;
mod holder;
mod marks;
mod request;
mod serve;
mod sql;
mod startup;
#[cfg(test)]
mod tests;

pub use serve::{ComputeError, run};
