//! The examiner's foothold in the containers' networks. Bytes go both ways as they come; nothing is answered on anybody's behalf.
//!
//! - It brings connections out to a port of the examiner's own machine, without anything listening there but on loopback: the
//!   examiner keeps a few idle connections to one of the relay's published ports, and the relay spends one of them on each
//!   connection that it accepts from inside.
//! - It dials what the examiner names in the first line of a connection (`HOST:PORT`), and says `ok` once it is connected, or
//!   `refused`: so the proxies of links need not be published, each of which would cost the engine half a dozen calls of
//!   `iptables` whenever its container starts or ends, and a refused connection is told from one that is closed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::api::Address;

/// Idle connections that the examiner keeps.
const IDLE: usize = 4;

/// How long a connection from inside waits for an idle one.
const WAIT: Duration = Duration::from_secs(2);

/// Between two tries of the examiner's to reach the relay.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a dialled connection may take to come about.
const DIAL: Duration = Duration::from_secs(5);

/// Longest line that names what is dialled.
const LINE_BYTES_MAX: u64 = 300;

/// What is said once a dialled connection is there.
pub(in crate::testbed) const CONNECTED: &str = "ok\n";

/// What is said if it was refused.
pub(in crate::testbed) const REFUSED: &str = "refused\n";

/// Where a relay listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// For connections that are to be brought out.
    pub listen: SocketAddr,
    /// For the examiner's idle ones.
    pub tunnel: SocketAddr,
    /// For those that it has dialled.
    pub dial: SocketAddr,
}

/// The relay, in its container; it runs until it is ended.
///
/// # Errors
/// The system's, when it cannot listen.
pub async fn run(config: RelayConfig) -> io::Result<()> {
    let (inside, tunnel) = (TcpListener::bind(config.listen).await?, TcpListener::bind(config.tunnel).await?);
    tokio::spawn(dial_for_all(TcpListener::bind(config.dial).await?));
    // Bounded: whoever cannot be queued is not accepted yet.
    let (queue, mut idle) = mpsc::channel::<TcpStream>(2 * IDLE);
    tokio::spawn(async move {
        loop {
            match tunnel.accept().await {
                // Only with the relay itself does nobody take them any more.
                Ok((stream, _)) => queue.send(stream).await.unwrap_or_default(),
                Err(_) => sleep(AGAIN).await,
            }
        }
    });
    loop {
        let Ok((mut stream, _)) = inside.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        while let Ok(Some(mut out)) = timeout(WAIT, idle.recv()).await {
            // One whose examiner has gone has its end to read.
            let mut byte = [0; 1];
            if matches!(timeout(Duration::ZERO, out.peek(&mut byte)).await, Ok(Ok(0) | Err(_))) {
                continue;
            }
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut out).await });
            break;
        }
    }
}

async fn dial_for_all(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(dial(stream))),
            Err(_) => sleep(AGAIN).await,
        }
    }
}

async fn dial(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let read = timeout(WAIT, (&mut stream).take(LINE_BYTES_MAX).read_line(&mut line)).await;
    let address = match (read, line.trim().parse::<Address>()) {
        (Ok(Ok(_)), Ok(address)) => address,
        _ => return stream.write_all(b"failed\n").await,
    };
    match timeout(DIAL, TcpStream::connect(address.to_string())).await {
        Ok(Ok(mut there)) => {
            there.set_nodelay(true)?;
            stream.write_all(CONNECTED.as_bytes()).await?;
            copy_bidirectional(&mut stream, &mut there).await.map(drop)
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            stream.write_all(REFUSED.as_bytes()).await
        }
        _ => stream.write_all(b"failed\n").await,
    }
}

/// The examiner's side: brings what the relay at `tunnel` accepts to `receiver`, both ports of 127.0.0.1, until it is dropped.
pub async fn bring_out(tunnel: u16, receiver: u16) {
    let mut lanes = JoinSet::new();
    for _ in 0..IDLE {
        lanes.spawn(async move {
            loop {
                if carry(tunnel, receiver).await.is_err() {
                    sleep(AGAIN).await;
                }
            }
        });
    }
    while lanes.join_next().await.is_some() {}
}

/// Waits on one idle connection, and hands it on once something comes; returns then, so that the next one is opened.
async fn carry(tunnel: u16, receiver: u16) -> io::Result<()> {
    let mut idle = TcpStream::connect((Ipv4Addr::LOCALHOST, tunnel)).await?;
    idle.set_nodelay(true)?;
    let mut byte = [0; 1];
    if idle.peek(&mut byte).await? == 0 {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    tokio::spawn(async move {
        let mut own = TcpStream::connect((Ipv4Addr::LOCALHOST, receiver)).await?;
        copy_bidirectional(&mut idle, &mut own).await
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn port() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn connections_from_inside_reach_the_receiver_and_are_answered() {
        let (receiver, receives) = port().await;
        let [listen, tunnel, dial] = [port().await.1, port().await.1, port().await.1];
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let relay = tokio::spawn(run(RelayConfig { listen: local(listen), tunnel: local(tunnel), dial: local(dial) }));
        let out = tokio::spawn(bring_out(tunnel, receives));
        let answering = tokio::spawn(async move {
            for _ in 0..3 * IDLE {
                let (mut stream, _) = receiver.accept().await.unwrap();
                let mut asked = [0; 5];
                stream.read_exact(&mut asked).await.unwrap();
                stream.write_all(&asked).await.unwrap();
            }
        });
        for number in 0..3 * IDLE {
            let ask = async {
                let mut stream = TcpStream::connect(local(listen)).await?;
                let text = format!("{number:05}");
                stream.write_all(text.as_bytes()).await?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await?;
                io::Result::Ok(answer == text)
            };
            let mut tries = 0;
            // Until the relay listens.
            while tries == 0 && TcpStream::connect(local(listen)).await.is_err() {
                sleep(Duration::from_millis(5)).await;
                tries = 0;
            }
            tries += 1;
            assert!(timeout(Duration::from_secs(5), ask).await.unwrap().unwrap(), "{number} {tries}");
        }
        answering.await.unwrap();
        let (open, opened) = port().await;
        let said = async |to: u16| {
            let mut stream = TcpStream::connect(local(dial)).await.unwrap();
            stream.write_all(format!("127.0.0.1:{to}\n").as_bytes()).await.unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).await.unwrap();
            line
        };
        assert_eq!(said(opened).await, CONNECTED);
        drop(open);
        assert_eq!(said(opened).await, REFUSED);
        relay.abort();
        out.abort();
    }
}
