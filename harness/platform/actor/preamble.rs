//! The first line of a connection from the edge to a compute ([`Preamble`]), and its answer.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::api::route::Preamble;

/// Longest preamble, and longest answer, in bytes with the line feed.
pub const LINE_BYTES_MAX: usize = 512;

/// Why a connection may not be used.
#[derive(Debug, thiserror::Error)]
pub enum PreambleError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    /// Nothing came in time.
    #[error("no whole line in time")]
    Silent,
    /// The line is no preamble, or the answer no answer.
    #[error("not understood: {0}")]
    Malformed(String),
    /// The compute refused.
    #[error("refused: {0}")]
    Refused(String),
}

/// Introduces a connection to a compute, and waits until it is taken.
///
/// # Errors
/// [`PreambleError`]; the connection is then of no use.
pub async fn introduce(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    preamble: &Preamble,
    within: Duration,
) -> Result<(), PreambleError> {
    let mut line = serde_json::to_vec(preamble).map_err(|error| PreambleError::Malformed(error.to_string()))?;
    line.push(b'\n');
    let answer = async {
        stream.write_all(&line).await?;
        read_line(stream).await
    };
    let answer = timeout(within, answer).await.map_err(|_| PreambleError::Silent)??;
    match answer.as_str() {
        "ok" => Ok(()),
        other => Err(match other.strip_prefix("refused ") {
            Some(why) => PreambleError::Refused(why.to_owned()),
            None => PreambleError::Malformed(other.to_owned()),
        }),
    }
}

/// Reads the preamble of a connection.
///
/// # Errors
/// [`PreambleError`].
pub async fn read(stream: &mut (impl AsyncRead + Unpin), within: Duration) -> Result<Preamble, PreambleError> {
    let line = timeout(within, read_line(stream)).await.map_err(|_| PreambleError::Silent)??;
    serde_json::from_str(&line).map_err(|error| PreambleError::Malformed(error.to_string()))
}

/// Takes the connection.
///
/// # Errors
/// The system's.
pub async fn accept(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(b"ok\n").await
}

/// Refuses the connection; the reason is cut to fit in a line.
///
/// # Errors
/// The system's.
pub async fn refuse(stream: &mut (impl AsyncWrite + Unpin), why: &str) -> io::Result<()> {
    let why: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
    stream.write_all(format!("refused {why}\n").as_bytes()).await?;
    stream.shutdown().await
}

/// One line, read byte by byte: what follows it belongs to the traffic and must stay in the socket. Both ends wait for
/// each other's line, so a line mostly comes in one segment and these reads are few and short.
async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, PreambleError> {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            _ if line.len() + 1 >= LINE_BYTES_MAX => {
                return Err(PreambleError::Malformed(format!("a line of more than {LINE_BYTES_MAX} bytes")));
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|_| PreambleError::Malformed("not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        Epoch,
        route::{Door, DoorStore},
    };

    const SHORTLY: Duration = Duration::from_millis(200);

    fn preamble() -> Preamble {
        Preamble { environment: Some("sales".parse().unwrap()), epoch: Epoch(3), store: DoorStore::Sql, door: Door::Rw }
    }

    #[tokio::test]
    async fn a_preamble_arrives_and_the_traffic_behind_it_is_left_alone() {
        let (mut edge, mut compute) = tokio::io::duplex(1024);
        let compute = tokio::spawn(async move {
            let got = read(&mut compute, SHORTLY).await.unwrap();
            accept(&mut compute).await.unwrap();
            let mut traffic = [0; 5];
            compute.read_exact(&mut traffic).await.unwrap();
            (got, traffic)
        });
        introduce(&mut edge, &preamble(), SHORTLY).await.unwrap();
        edge.write_all(b"hello").await.unwrap();
        assert_eq!(compute.await.unwrap(), (preamble(), *b"hello"));
    }

    #[tokio::test]
    async fn a_refusal_says_why() {
        let (mut edge, mut compute) = tokio::io::duplex(1024);
        let compute = tokio::spawn(async move {
            read(&mut compute, SHORTLY).await.unwrap();
            refuse(&mut compute, "no permit\nfor this").await.unwrap();
        });
        let error = introduce(&mut edge, &preamble(), SHORTLY).await.unwrap_err();
        assert!(matches!(error, PreambleError::Refused(ref why) if why == "no permitfor this"), "{error}");
        compute.await.unwrap();
    }

    #[tokio::test]
    async fn a_long_line_silence_and_an_early_end_are_errors() {
        let (mut edge, mut compute) = tokio::io::duplex(2048);
        edge.write_all(&[b'x'; 1024]).await.unwrap();
        assert!(matches!(read(&mut compute, SHORTLY).await, Err(PreambleError::Malformed(_))));

        let (_edge, mut compute) = tokio::io::duplex(64);
        assert!(matches!(read(&mut compute, Duration::from_millis(10)).await, Err(PreambleError::Silent)));

        let (edge, mut compute) = tokio::io::duplex(64);
        drop(edge);
        assert!(matches!(read(&mut compute, SHORTLY).await, Err(PreambleError::Connection(_))));
    }
}
