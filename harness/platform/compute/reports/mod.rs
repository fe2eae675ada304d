//! Features, as services of the compute: Financial Reporting computes balances out of this region's SQL when it is asked; Power
//! BI reporting serves a reporting copy that is kept where it is offered, which is the home region alone.
//!
//! - `words`: what control has said of each environment's features, durable.
//! - `figures`: balances out of one snapshot.
//! - `copies`: the reporting copies.
//! - `provide`: taking a word. `answer`: a customer's question.
//!
//! On disk: `<data>/features.json`, the last word on each environment; `<data>/reporting/<environment>.json`, a reporting copy.

mod answer;
mod copies;
mod figures;
mod provide;
mod words;

pub use answer::{asked_for, respond};
pub use copies::keep_copies;
pub use provide::provide;
pub use words::Reports;
