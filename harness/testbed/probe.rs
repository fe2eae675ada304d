//! Signs of life: one new connection, one request, the first byte of an answer. Nothing is tried twice.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[cfg(feature = "compose")]
use crate::{api::Address, testbed::compose::relay};
use crate::{
    api::{
        Epoch,
        route::{Door, DoorStore, Preamble},
    },
    testbed::{contract::LinkTrial, layout::Service},
};

/// Longest preamble sent: a compute reads 512 bytes.
const PREAMBLE_BYTES_MAX: usize = 500;

/// Longest startup packet that Postgres reads is 10,000 bytes.
const STARTUP_BYTES_MAX: usize = 9_000;

/// Longest padding of an HTTP request; servers read headers of 64 KiB and more.
const PADDING_BYTES_MAX: usize = 16 * 1024;

/// Postgres's request for TLS: length 8, code 80877103. Every postmaster answers it with one byte, starting up or not.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// How the examiner gets at a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// It is one of 127.0.0.1.
    Direct(u16),
    /// It is asked of a relay at this port of 127.0.0.1.
    #[cfg(feature = "compose")]
    Relayed(u16, Address),
}

/// Connects to `listen` and asks for a sign of life.
pub(super) async fn sign_of_life(listen: &Way, upstream: u16, service: Service, within: Duration) -> LinkTrial {
    trial(listen, upstream, &request(service), within).await
}

/// Whether the service at a port answers.
#[cfg(feature = "compose")]
pub(super) async fn lives(port: u16, service: Service, within: Duration) -> bool {
    matches!(attempt(&Way::Direct(port), &request(service), within).await, LinkTrial::Answered(_))
}

/// The same with a request padded to about `bytes`, where the service takes so much; also tells how long the request was.
pub(super) async fn weigh(
    listen: &Way,
    upstream: u16,
    service: Service,
    bytes: usize,
    within: Duration,
) -> (usize, LinkTrial) {
    let request = padded(service, bytes);
    (request.len(), trial(listen, upstream, &request, within).await)
}

async fn trial(listen: &Way, upstream: u16, request: &[u8], within: Duration) -> LinkTrial {
    let trial = attempt(listen, request, within).await;
    // Toxiproxy closes a connection whose upstream refuses it, or closes it: that says nothing of the link.
    let is_dead = async || {
        matches!(attempt(&Way::Direct(upstream), request, within).await, LinkTrial::Refused | LinkTrial::Reset)
    };
    if trial == LinkTrial::Reset && is_dead().await { LinkTrial::NoService } else { trial }
}

async fn attempt(way: &Way, request: &[u8], within: Duration) -> LinkTrial {
    let started = Instant::now();
    let left = || within.saturating_sub(started.elapsed());
    let mut stream = match timeout(within, connect(way)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return LinkTrial::Refused,
        Ok(Err(_)) => return LinkTrial::Reset,
        Err(_) => return LinkTrial::Silent,
    };
    // A segment held back by Nagle's algorithm would count as the link's delay.
    let _ = stream.set_nodelay(true);
    let mut first = [0; 1];
    let exchange = async {
        stream.write_all(request).await?;
        stream.read(&mut first).await
    };
    match timeout(left(), exchange).await {
        Ok(Ok(1)) => LinkTrial::Answered(started.elapsed()),
        Ok(_) => LinkTrial::Reset,
        Err(_) => LinkTrial::Silent,
    }
}

async fn connect(way: &Way) -> io::Result<TcpStream> {
    match way {
        Way::Direct(port) => TcpStream::connect(local(*port)).await,
        #[cfg(feature = "compose")]
        Way::Relayed(relay, address) => relayed(*relay, address).await,
    }
}

#[cfg(feature = "compose")]
async fn relayed(through: u16, address: &Address) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(local(through)).await?;
    stream.write_all(format!("{address}\n").as_bytes()).await?;
    // Byte by byte: what follows the line is the service's.
    let mut said = Vec::new();
    while !said.ends_with(b"\n") {
        said.push(stream.read_u8().await?);
    }
    match std::str::from_utf8(&said) {
        Ok(relay::CONNECTED) => Ok(stream),
        Ok(relay::REFUSED) => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// The HTTP status that a service answers with, directly at its port.
///
/// # Errors
/// What came instead of an answer.
pub(super) async fn status(port: u16, path: &'static str, within: Duration) -> Result<u16, LinkTrial> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let exchange = async {
        let mut stream = match TcpStream::connect(local(port)).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(LinkTrial::Refused),
            Err(_) => return Err(LinkTrial::Reset),
        };
        let mut line = [0; 12];
        let answered = async {
            stream.write_all(request.as_bytes()).await?;
            stream.read_exact(&mut line).await
        };
        answered.await.map_err(|_| LinkTrial::Reset)?;
        // `HTTP/1.1 200`
        std::str::from_utf8(&line).ok().and_then(|line| line.get(9..)?.parse().ok()).ok_or(LinkTrial::Reset)
    };
    timeout(within, exchange).await.unwrap_or(Err(LinkTrial::Silent))
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn request(service: Service) -> Vec<u8> {
    match service {
        Service::Postgres => SSL_REQUEST.to_vec(),
        Service::Http(path) => http(path, 0),
        Service::Compute(store) => preamble(store),
    }
}

fn padded(service: Service, bytes: usize) -> Vec<u8> {
    match service {
        Service::Postgres => startup(bytes.min(STARTUP_BYTES_MAX)),
        Service::Http(path) => http(path, bytes.min(PADDING_BYTES_MAX)),
        Service::Compute(store) => {
            let mut line = preamble(store);
            let end = line.pop();
            line.resize(bytes.clamp(line.len(), PREAMBLE_BYTES_MAX - 1), b' ');
            line.extend(end);
            line
        }
    }
}

fn http(path: &str, padding: usize) -> Vec<u8> {
    let padding = "p".repeat(padding);
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Padding: {padding}\r\nConnection: close\r\n\r\n").into_bytes()
}

fn preamble(store: DoorStore) -> Vec<u8> {
    let health = Preamble { environment: None, epoch: Epoch::default(), store, door: Door::Ro };
    let mut line = serde_json::to_vec(&health).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A startup message (protocol 3.0) for a user that there is none of; Postgres reads all of it before it refuses.
fn startup(bytes: usize) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0geodrill-probe\0database\0postgres\0options\0");
    body.resize(body.len().max(bytes), b' ');
    body.extend_from_slice(b"\0\0");
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_long_as_asked_for_and_no_longer_than_the_service_takes() {
        for (service, asked, least, most) in [
            (Service::Postgres, 4_096, 4_096, 4_200),
            (Service::Postgres, 90_000, 9_000, 10_000),
            (Service::Http("/"), 4_096, 4_096, 4_300),
            (Service::Compute(DoorStore::Sql), 4_096, PREAMBLE_BYTES_MAX, PREAMBLE_BYTES_MAX),
            (Service::Compute(DoorStore::Sql), 1, 10, 200),
        ] {
            let length = padded(service, asked).len();
            assert!((least..=most).contains(&length), "{service:?} {asked}: {length}");
        }
    }

    #[test]
    fn a_padded_preamble_is_still_a_preamble() {
        let line = padded(Service::Compute(DoorStore::Files), 400);
        assert_eq!(line.last(), Some(&b'\n'));
        let read: Preamble = serde_json::from_slice(&line).unwrap();
        assert_eq!((read.environment, read.store), (None, DoorStore::Files));
    }
}
