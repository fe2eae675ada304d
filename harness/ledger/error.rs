//! Why a ledger or an observation cannot be read.

use std::{io, path::PathBuf};

use crate::model::Token;

/// A ledger that cannot be trusted, or cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not begin as such a file does.
    #[error("{path} is not a file of this version of geodrill: it does not begin with {expected:?}")]
    Stranger {
        /// Which file.
        path: PathBuf,
        /// What it should begin with.
        expected: &'static str,
    },
    /// Damage that no crash explains: restore the file, what follows the offset cannot be trusted.
    #[error("{path} is damaged at byte {offset}: {why}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the damaged frame begins.
        offset: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// Two intents, or two outcomes, of one name.
    #[error("the ledger has operation {0} twice")]
    Twice(Token),
    /// An outcome of an operation that was never intended.
    #[error("the ledger has an outcome of operation {0}, but no intent")]
    NoIntent(Token),
}
