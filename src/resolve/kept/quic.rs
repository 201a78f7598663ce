//! Owns the talk with one server inside of QUIC (RFC 9250): each question a stream of its own over one connection. Beside `listen`, the door of
//! `quinn`.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, IdleTimeout, TransportConfig};

use super::open::{Ended, Multiplexed};
use super::{LOOK, QUIET};
use crate::dns::{MAX_MESSAGE, framed};
use crate::net::tls::Client;
use crate::resolve::answer;
use crate::resolve::question::Question;
use crate::resolve::upstream::Upstream;

/// One server.
#[derive(Debug)]
pub(in crate::resolve) struct Quic {
    upstream: Upstream,
    client: Client,
}

/// Where streams are opened.
#[derive(Clone, Debug)]
pub(in crate::resolve) struct Streams {
    connection: Connection,
    /// The socket, a new one for each connection.
    _endpoint: Endpoint,
}

/// What a connection is closed with when nothing is wrong (RFC 9250 section 4.3).
const NO_ERROR: u32 = 0;

impl Quic {
    pub(super) fn new(upstream: Upstream, client: Client) -> Self {
        Self { upstream, client }
    }
}

impl Multiplexed for Quic {
    type Connection = Streams;

    async fn connect(&self) -> io::Result<Streams> {
        let any: SocketAddr = match self.upstream.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let crypto = QuicClientConfig::try_from(self.client.config()).map_err(io::Error::other)?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(0u32.into())
            .max_concurrent_uni_streams(0u32.into())
            .datagram_receive_buffer_size(None)
            .max_idle_timeout(IdleTimeout::try_from(LOOK * QUIET).ok());
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client(any)?;
        let connecting = endpoint
            .connect_with(config, self.upstream.address, &self.upstream.host())
            .map_err(io::Error::other)?;
        let connection = connecting.await?;
        Ok(Streams { connection, _endpoint: endpoint })
    }

    async fn ask(&self, streams: Streams, question: &Question, edns: bool) -> Result<Vec<u8>, Ended> {
        // The id is zero; the stream tells questions apart (RFC 9250 section 4.2.1).
        let query = question.padded(0, edns);
        let (mut send, mut receive) = streams.connection.open_bi().await.map_err(lost)?;
        send.write_all(&framed(&query)).await.map_err(lost)?;
        send.finish().map_err(lost)?;
        let received = receive.read_to_end(MAX_MESSAGE + 2).await.map_err(lost)?;
        let wrong = Ended::Answer("not the answer to the question");
        let Some((length, message)) = received.split_first_chunk() else { return Err(wrong) };
        let mut message = message.to_vec();
        let is_whole = usize::from(u16::from_be_bytes(*length)) == message.len();
        if is_whole && answer::take(&mut message, 0, question.wire()) { Ok(message) } else { Err(wrong) }
    }

    fn close(streams: Streams) {
        streams.connection.close(NO_ERROR.into(), b"");
    }
}

fn lost(error: impl Into<Box<dyn Error + Send + Sync>>) -> Ended {
    Ended::Connection(io::Error::other(error))
}
