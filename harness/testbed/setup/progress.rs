//! Showing what setup does: lines of text, among them every command as one could type it.

use std::{process::Stdio, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
    sync::mpsc,
};

/// Takes the lines that setup has to show.
pub trait Progress: Send + Sync {
    /// One line, without line feed.
    fn line(&self, text: &str);
}

impl<F: Fn(&str) + Send + Sync> Progress for F {
    fn line(&self, text: &str) {
        self(text);
    }
}

/// A runner that cleaned its own environment keeps each variable taken out (`HTTPS_PROXY`, ...) under its name with this
/// prefix, so that package tools, and they alone, get it back.
pub const KEPT_PREFIX: &str = "GEODRILL_KEPT_";

/// How many of a failed command's last lines its error repeats.
const TAIL_LINES_MAX: usize = 15;

/// Runs a command, showing it as `shown` and then its output.
///
/// # Errors
/// What could not be started, or the exit status with the last lines of output.
pub(in crate::testbed) async fn run(progress: &dyn Progress, command: &mut Command, shown: &str) -> Result<(), String> {
    progress.line(&format!("$ {shown}"));
    for (name, value) in std::env::vars_os() {
        if let Some(name) = name.to_str().and_then(|name| name.strip_prefix(KEPT_PREFIX)) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("`{shown}`: {error}"))?;
    let (lines, mut shown_lines) = mpsc::channel::<String>(64);
    let lines = Arc::new(lines);
    if let Some(out) = child.stdout.take() {
        tokio::spawn(forward(out, Arc::clone(&lines)));
    }
    if let Some(err) = child.stderr.take() {
        tokio::spawn(forward(err, Arc::clone(&lines)));
    }
    drop(lines);
    let mut tail = Vec::new();
    while let Some(line) = shown_lines.recv().await {
        progress.line(&format!("  {line}"));
        tail.push(line);
        if tail.len() > TAIL_LINES_MAX {
            tail.remove(0);
        }
    }
    let status = child.wait().await.map_err(|error| format!("`{shown}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` ended with {status}:\n{}", tail.join("\n"))) }
}

async fn forward(from: impl AsyncRead + Unpin, lines: Arc<mpsc::Sender<String>>) {
    let mut reader = BufReader::new(from).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        if lines.send(line).await.is_err() {
            return;
        }
    }
}
