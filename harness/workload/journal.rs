//! Where intents and outcomes go.

use std::io;

use crate::{
    ledger,
    model::operation::{Intent, Outcome},
};

/// The durable record, as the load sees it. All calls are made from async code: they hand the records to the kernel and
/// return.
pub trait Journal: Send + Sync {
    /// Called before the operation is sent. An operation whose intent was refused is not sent.
    ///
    /// # Errors
    /// The system's: the load then ends and says so in [`crate::workload::Load::problem`].
    fn intent(&self, intent: &Intent) -> io::Result<()>;

    /// Called once its answer, or the end of waiting, is known.
    ///
    /// # Errors
    /// The system's, as above.
    fn outcome(&self, outcome: &Outcome) -> io::Result<()>;

    /// What came back, and what its client sends next at once, in this order.
    ///
    /// # Errors
    /// As for both: what is next is then not sent.
    fn turn(&self, outcome: &Outcome, next: &Intent) -> io::Result<()>;
}

impl Journal for ledger::Writer {
    fn intent(&self, intent: &Intent) -> io::Result<()> {
        ledger::Writer::intent(self, intent)
    }

    fn outcome(&self, outcome: &Outcome) -> io::Result<()> {
        ledger::Writer::outcome(self, outcome)
    }

    fn turn(&self, outcome: &Outcome, next: &Intent) -> io::Result<()> {
        ledger::Writer::turn(self, outcome, next)
    }
}
