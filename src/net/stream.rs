//! Owns the reading of messages from a stream, each behind its length (RFC 1035 section 4.2.2), for as long as the caller lets it
//! wait; and the writing without waiting. Never looks into a message.

use std::io::{self, IoSlice, Write};

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
