//! Owns the reading of messages from a stream, each behind its length (RFC 1035 section 4.2.2), for as long as the caller lets it
//! wait; and the writing without waiting. Never looks into a message.

use std::io::{self, IoSlice, Write};
use std::os::fd::AsRawFd;

use nix::sys::socket::MsgFlags;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

/// What a socket takes without waiting.
#[derive(Debug)]
pub struct Direct<'s>(pub &'s TcpStream);

/// Reads one message into `message`, whatever that held.
pub async fn read_message(stream: &mut (impl AsyncRead + Unpin), message: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    message.resize(usize::from(length), 0);
    stream.read_exact(message).await.map(|_| ())
}

/// Hands the kernel bytes without waiting; how many it took. The `last` ones leave in one packet with the end of the connection, which must follow.
pub fn send(stream: &TcpStream, bytes: &[u8], last: bool) -> io::Result<usize> {
    let more = if last { MsgFlags::from_bits_retain(libc::MSG_MORE) } else { MsgFlags::empty() };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL | more;
    Ok(nix::sys::socket::send(stream.as_raw_fd(), bytes, flags)?)
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
