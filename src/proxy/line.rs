//! Owns a client's end of a connection, in clear or inside of TLS: what it says, what it is told, how it ends. Never looks into what it carries.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::peek::MOST;
use crate::net::tls::Stream;
use crate::policy::Credentials;

/// How a client speaks.
#[derive(Debug)]
pub(super) enum Line {
    Clear(TcpStream),
    Encrypted(Box<Stream>),
}

impl Line {
    /// The socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(socket) => socket,
            Self::Encrypted(stream) => stream.socket(),
        }
    }

    /// What the client has shown of itself.
    pub(super) fn credentials(&self) -> Credentials {
        match self {
            Self::Clear(_) => Credentials::default(),
            Self::Encrypted(stream) => stream.session().credentials(),
        }
    }

    /// Waits for more bytes; 0 at the end. Never makes `head` longer than is read.
    pub(super) async fn more(&mut self, head: &mut Vec<u8>, needed: usize) -> io::Result<usize> {
        /// Most hellos fit, and a client that says nothing costs nothing.
        const FIRST: usize = 2 << 10;
        let room = (needed.max(head.len() + FIRST).min(MOST) - head.len().min(MOST)).max(1);
        match self {
            Self::Clear(socket) => {
                socket.readable().await?;
                head.reserve_exact(room);
                // Notes that nothing is left where it takes less than there is room for.
                socket.take(room as u64).read_buf(head).await
            }
            Self::Encrypted(stream) => {
                head.reserve_exact(room);
                stream.take(room as u64).read_buf(head).await
            }
        }
    }

    /// Tells the client something.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.write_all(bytes).await,
            Self::Encrypted(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Tells the client that this was all.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(socket) => SockRef::from(&*socket).shutdown(Shutdown::Write),
            Self::Encrypted(stream) => stream.shutdown().await,
        }
    }

    /// Has the connection end with a reset, so that the client gives up at once.
    pub(super) fn reset(&self) {
        reset(self.socket());
    }
}

/// Has a connection end with a reset.
pub(super) fn reset(stream: &TcpStream) {
    // Should this fail, it ends in the ordinary way.
    let _ordinary = SockRef::from(stream).set_linger(Some(Duration::ZERO)).is_err();
}
