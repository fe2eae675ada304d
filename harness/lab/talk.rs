//! What is said between commands and host. Over the socket: one request, a JSON line, then one answer, another. Over the
//! host's standard output, until the lab stands: a [`Said`] a line.

use std::{path::Path, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use crate::model::{
    event::Event,
    fault::{Fault, FaultRecord},
};

/// Longest line of a request or an answer, in bytes.
pub(super) const LINE_BYTES_MAX: u64 = 1 << 20;

/// Asked of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What is in force.
    State,
    /// Injects a fault and proves it.
    Inject {
        /// The fault.
        fault: Fault,
        /// Heals it after so many milliseconds.
        hold_ms: Option<u64>,
    },
    /// Heals a fault and proves that.
    Heal {
        /// Its id; `None`: every one.
        id: Option<String>,
    },
    /// Ends the lab.
    Down,
}

/// A host's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Request::State`].
    State {
        /// Faults in force, oldest first.
        faults: Vec<FaultInForce>,
        /// The load's figures, if there is a load.
        load: Option<LoadFigures>,
    },
    /// To [`Request::Inject`].
    Injected {
        /// Its id, to heal it by.
        id: String,
        /// What was observed.
        record: FaultRecord,
    },
    /// To [`Request::Heal`]: every fault that was to be healed, with what became of it.
    Healed {
        /// By id.
        healed: Vec<Healed>,
    },
    /// To [`Request::Down`]: what could not be ended.
    Ended {
        /// Empty is what one hopes for.
        left: Vec<String>,
    },
    /// It was not done.
    Refused {
        /// Why.
        why: String,
    },
}

/// A fault that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultInForce {
    /// Its id.
    pub id: String,
    /// What it is, for people.
    pub fault: String,
    /// Milliseconds since it was asked for.
    pub for_ms: u64,
    /// Milliseconds until it heals by itself.
    pub heals_in_ms: Option<u64>,
    /// What was observed.
    pub proof: String,
    /// Its effect was proven.
    pub proven: bool,
}

/// What became of a fault that was to be healed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healed {
    /// Its id.
    pub id: String,
    /// What it was.
    pub fault: String,
    /// It is healed, proven.
    pub proven: bool,
    /// What was observed, or why it could not be.
    pub observed: String,
}

/// Figures of a lab's load since its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadFigures {
    /// Operations a second that each environment is offered.
    pub rate_per_s: f64,
    /// Acknowledged.
    pub acked_total: u64,
    /// Failed, in doubt, or not sent at all.
    pub other_total: u64,
}

/// Said by a host while the lab comes up, or while the drill that is to be kept runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Said {
    /// A line of progress.
    Line(String),
    /// An event of the drill.
    Event(Box<Event>),
    /// The drill is over, and judged.
    Judged {
        /// Where its results are.
        results: PathBuf,
    },
    /// The lab stands.
    Stands,
    /// It does not, and nothing of it runs any more.
    Failed {
        /// Why.
        why: String,
        /// Whose fault that is.
        blame: Blame,
    },
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// Something that the user can mend.
    User,
    /// Ours.
    Ours,
    /// Nobody's: it was interrupted.
    Interrupted,
}

/// Why a host did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the lab's host did not answer: {0}")]
pub struct NoAnswer(pub String);

/// Asks a host, and waits `within` for its answer.
///
/// # Errors
/// [`NoAnswer`].
pub async fn ask(socket: &Path, request: &Request, within: Duration) -> Result<Answer, NoAnswer> {
    let said = |error: std::io::Error| NoAnswer(format!("{}: {error}", socket.display()));
    let asked = async {
        let mut stream = UnixStream::connect(socket).await.map_err(said)?;
        write_line(&mut stream, request).await.map_err(said)?;
        read_line(&mut stream).await.map_err(said)
    };
    timeout(within, asked).await.map_err(|_| NoAnswer(format!("not within {within:?}")))?
}

/// Writes a value as a line.
pub(super) async fn write_line<T: Serialize>(stream: &mut UnixStream, value: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// Reads a value from a line.
pub(super) async fn read_line<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> std::io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(std::io::Error::other("it hung up"));
    }
    Ok(serde_json::from_slice(&line)?)
}
