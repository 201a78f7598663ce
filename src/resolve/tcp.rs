//! Owns one exchange over TCP: a connection of its own, a query out, its answer back. Never tries twice, and never waits
//! for longer than its caller lets it.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::answer;
use super::question::{Case, PACKET, Question};
use super::random::unpredictable;
use crate::dns::framed;
use crate::net::read_message;

/// The answer to `question`, with a zero id and without OPT record.
pub(super) async fn exchange(address: SocketAddr, question: &Question, edns: bool) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let id = unpredictable()?;
    let mut packet = [0; PACKET];
    let query = question.write(id, edns, Case::PLAIN, &mut packet);
    stream.write_all(&framed(query)).await?;
    let mut received = Vec::new();
    read_message(&mut stream, &mut received).await?;
    match answer::take(&mut received, id, question.wire()) {
        true => Ok(received),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "not the answer to the question")),
    }
}
