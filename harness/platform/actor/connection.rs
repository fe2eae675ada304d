//! TCP connections of the traffic path: dialled with a deadline, without Nagle's delay, cut with a reset.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// Bytes of the buffer in each direction of a connection.
pub const BUFFER_BYTES: usize = 32 * 1024;

/// Connects to a port on loopback.
///
/// # Errors
/// The system's, or `TimedOut`.
pub async fn dial(port: u16, within: Duration) -> io::Result<TcpStream> {
    let stream = timeout(within, TcpStream::connect((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection to port {port} in time")))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Listens on a port on loopback.
///
/// # Errors
/// The system's, with the port.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on 127.0.0.1:{port}: {error}")))
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
