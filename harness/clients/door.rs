//! A connection to a compute's own door, introduced as the edge introduces its own ([`Preamble`]).

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use super::postgres::Failure;
use crate::api::route::Preamble;

/// How long a compute may take to let a connection in, or to refuse it.
const ADMITTED_WITHIN: Duration = Duration::from_millis(500);
/// Longest answer, in bytes with its line feed.
const ANSWER_BYTES_MAX: usize = 512;
/// How long a connection that was lent may live.
const LENT_MAX: Duration = Duration::from_secs(60);

/// Where a door is, and what is said at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The compute's port on 127.0.0.1.
    pub port: u16,
    /// The first line.
    pub preamble: Preamble,
}

impl Entrance {
    /// Opens a connection and has it let in.
    ///
    /// # Errors
    /// Always [`Failure::NoEffect`]: nothing but the first line was sent.
    pub async fn open(&self, until: Instant) -> Result<TcpStream, Failure> {
        let until = until.min(Instant::now() + ADMITTED_WITHIN);
        match timeout_at(until, self.introduce()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Failure::NoEffect(format!("door: {error}"))),
            Err(_) => Err(Failure::NoEffect("door: no answer".to_owned())),
        }
    }

    /// As [`Entrance::open`], for a client that connects by itself: whoever connects first to the port of 127.0.0.1 that comes
    /// back has the connection.
    ///
    /// # Errors
    /// As there.
    pub async fn lend(&self, until: Instant) -> Result<u16, Failure> {
        let mut door = self.open(until).await?;
        let failed = |error: io::Error| Failure::NoEffect(format!("not sent: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        tokio::spawn(timeout(LENT_MAX, async move {
            let (mut client, _) = listener.accept().await?;
            drop(listener);
            client.set_nodelay(true)?;
            // Whichever end breaks, the other one is closed with it.
            copy_bidirectional(&mut client, &mut door).await
        }));
        Ok(port)
    }

    async fn introduce(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?;
        stream.set_nodelay(true)?;
        let mut line = serde_json::to_vec(&self.preamble)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        // Byte by byte: what follows the line is the store's.
        let mut answer = Vec::new();
        loop {
            match stream.read_u8().await? {
                b'\n' => break,
                _ if answer.len() >= ANSWER_BYTES_MAX => return Err(io::Error::other("an answer without an end")),
                byte => answer.push(byte),
            }
        }
        match &answer[..] {
            b"ok" => Ok(stream),
            other => Err(io::Error::other(String::from_utf8_lossy(other).into_owned())),
        }
    }
}
