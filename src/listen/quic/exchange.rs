//! Owns one stream: a query in, its reply out (RFC 9250 section 4.2). Never knows the connection but by what ends it.

use std::borrow::Cow;

use quinn::{RecvStream, SendStream, VarInt};
use tokio::time::timeout;

use crate::dns::{MAX_MESSAGE, Requested};
use crate::listen::client::{Client, Reply};
use crate::listen::config::Config;
use crate::listen::stream::Workers;

/// Why a stream or a connection ends (RFC 9250 section 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    /// Nothing is wrong.
    None = 0,
    /// The client breaks the protocol.
    Protocol = 2,
    /// There is no reply, and none will come.
    Unspecified = 5,
}

/// Answers the query on a stream; `Err` with the code that the connection ends with.
pub(super) async fn answer(
    mut send: SendStream,
    mut receive: RecvStream,
    client: &Client,
    limits: Config,
    workers: &Workers,
) -> Result<(), Code> {
    let reply = match timeout(limits.idle, receive.read_to_end(2 + MAX_MESSAGE)).await {
        Ok(Ok(bytes)) => reply(&bytes, client, workers).await,
        // Its client gave it up, and nobody else is concerned.
        _ => Ok(None),
    };
    if let Ok(Some(reply)) = &reply {
        let sent = async {
            send.write_all(reply).await?;
            // Fails only on a stream that was ended before.
            let _ended = send.finish().is_err();
            Ok::<_, quinn::WriteError>(())
        };
        let _gone = timeout(limits.write, sent).await.is_err();
        return Ok(());
    }
    // Left as it is, it would end like one that was answered.
    let code = reply.as_ref().err().copied().unwrap_or(Code::Unspecified);
    let _gone = send.reset(code.number()).is_err();
    reply.map(|_| ())
}

/// The reply to the query in what a stream carried, behind its length; `None` when there is none.
async fn reply(bytes: &[u8], client: &Client, workers: &Workers) -> Result<Option<Vec<u8>>, Code> {
    let query = query(bytes)?;
    let requested = Requested::of(query);
    // Section 5.5.2: how long a connection may idle is QUIC's to say.
    if requested.keepalive {
        return Err(Code::Protocol);
    }
    Ok(match client.ask(query, requested, None, workers, framed) {
        Reply::Now(reply) => Some(reply),
        Reply::Later(receiver) => receiver.await.ok(),
        Reply::Nothing => None,
    })
}

/// The query in what a stream carried: its length, then it, then the end (section 4.2), under the id 0 (section 4.2.1).
fn query(bytes: &[u8]) -> Result<&[u8], Code> {
    let (length, query) = bytes.split_first_chunk().ok_or(Code::Protocol)?;
    let is_whole = usize::from(u16::from_be_bytes(*length)) == query.len();
    if is_whole && query.starts_with(&[0, 0]) { Ok(query) } else { Err(Code::Protocol) }
}

impl Code {
    pub(super) fn number(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }
}

fn framed(reply: Cow<'_, [u8]>) -> Vec<u8> {
    [&(reply.len() as u16).to_be_bytes()[..], &reply].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_carries_one_whole_message_under_the_id_zero() {
        assert_eq!(query(b"\0\x03\0\0x"), Ok(&b"\0\0x"[..]));
        for wrong in [&b""[..], b"\0", b"\0\x03\0\0", b"\0\x03\0\0xx", b"\0\x03\0\x01x"] {
            assert_eq!(query(wrong), Err(Code::Protocol), "{wrong:?}");
        }
    }
}
