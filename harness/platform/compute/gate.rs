//! A client's connection whose writes need a permit, checked directly before each.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};

use super::doors::Inside;
use crate::{
    api::{Epoch, route::Door},
    platform::actor::{connection::reset_on_close, lease::Terms},
};

/// What a connection was let in for.
#[derive(Clone)]
pub struct Pass {
    /// The environment's terms, kept up to date.
    pub terms: watch::Receiver<Terms>,
    /// The epoch of its route.
    pub epoch: Epoch,
    /// The door it came through.
    pub door: Door,
    /// Its place inside, given up with the last clone.
    pub inside: Inside,
}

impl Pass {
    /// How long a write is held back at this moment.
    pub fn pace(&self) -> Duration {
        if self.door == Door::Rw { self.terms.borrow().pace } else { Duration::ZERO }
    }
}

/// The connection. Dropped when its permit has ended, it is reset: what the kernel has not sent yet is not sent.
pub struct Gated {
    stream: TcpStream,
    pass: Pass,
}

impl Gated {
    /// Puts the gate in front of a client's connection.
    pub fn new(stream: TcpStream, pass: Pass) -> Self {
        Self { stream, pass }
    }

    /// Makes the close of this connection a reset.
    pub fn cut(&self) {
        reset_on_close(&self.stream);
    }

    fn check(&self) -> io::Result<()> {
        if self.pass.inside.is_cut() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the environment is stopped"));
        }
        let now = Instant::now();
        match self.pass.terms.borrow().allow(self.pass.epoch, self.pass.door, now) {
            Ok(_) => Ok(()),
            Err(denied) => Err(io::Error::new(io::ErrorKind::PermissionDenied, denied)),
        }
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        if self.check().is_err() {
            self.cut();
        }
    }
}

impl AsyncRead for Gated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
