//! TCP connections of the traffic path: dialled with a deadline, without Nagle's delay, cut with a reset.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::api::Address;

/// Bytes of the buffer in each direction of a connection.
pub const BUFFER_BYTES: usize = 32 * 1024;

/// Connects to an address.
///
/// # Errors
/// The system's, or `TimedOut`.
pub async fn dial(address: &Address, within: Duration) -> io::Result<TcpStream> {
    let stream = timeout(within, TcpStream::connect((address.host(), address.port())))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection to {address} in time")))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Listens on an address.
///
/// # Errors
/// The system's, with the address.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// The next connection. Errors of one connection (it was reset while it waited) or of the moment (no descriptor free) are
/// waited out, since a role without its listener is a dead role.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "connection gone before it was served");
                    continue;
                }
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Makes the close of this connection a reset: what the kernel has not sent yet is dropped, and the other end learns of
/// it at once.
pub fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "connection already gone");
    }
}
