//! Owns the reading of messages from a stream, each behind its length (RFC 1035 section 4.2.2). Never looks into one, and waits
//! for as long as its caller lets it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads one message into `message`, whatever that held.
pub async fn read_message(stream: &mut (impl AsyncRead + Unpin), message: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    message.resize(usize::from(length), 0);
    stream.read_exact(message).await.map(|_| ())
}
