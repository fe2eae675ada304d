//! Guarantees: what was promised, as data, and the verdict on each from what was measured.
//!
//! - [`set`]: guarantee sets with a version and a source, from `fixtures/guarantees/`, embedded;
//! - [`evidence`]: plan, measures and events of a run, and the questions that rules ask of them;
//! - `rules`: one rule a file, from evidence to a finding; `measure`: bare measures that a scenario bounds;
//! - [`judge()`]: every guarantee of the environments' products, judged or *not exercised*, none missing;
//! - [`overall()`]: the verdict of the run.
//!
//! Pure: no clock, no I/O. Precedence everywhere: *violated > inconclusive > held*.

pub mod evidence;
mod judge;
mod measure;
mod overall;
mod rules;
pub mod set;

#[cfg(test)]
mod reporting;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod way_back;

pub use evidence::Evidence;
pub use judge::judge;
pub use overall::overall;
pub use set::{GuaranteeSet, promises, sets};
