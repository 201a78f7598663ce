//! Connections to servers that are kept for further questions: streams over TCP or inside of TLS, HTTP/2, QUIC. Never chooses a server, and
//! never waits for longer than its caller lets it.

mod https;
mod open;
mod quic;
mod stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use https::Https;
use open::Open;
use quic::Quic;
use stream::Streams;

use super::question::Question;
use super::upstream::{Protocol, Upstream};
use crate::net::tls::Client;

/// The connections to one server.
#[derive(Debug)]
pub(super) enum Kept {
    Https(Open<Https>),
    Quic(Open<Quic>),
    Streams(Streams),
}

/// How often a connection is looked at. One that does not answer is given up after two looks, and after five one over which nothing is asked:
/// sooner than most servers close theirs.
const LOOK: Duration = Duration::from_secs(2);
const QUIET: u32 = 5;
/// Time within which a connection must be made, its handshake included.
const CONNECT: Duration = Duration::from_secs(2);

impl Kept {
    /// None yet. `client` is there for servers inside of TLS.
    pub(super) fn new(upstream: &Upstream, client: Option<&Client>) -> Self {
        let application = upstream.protocol.application();
        let client =
            client.zip(application).map(|(client, spoken)| client.for_server(spoken, &upstream.pins));
        match (upstream.protocol, client) {
            (Protocol::Https, Some(client)) => Self::Https(Open::new(Https::new(upstream.clone(), client))),
            (Protocol::Quic, Some(client)) => Self::Quic(Open::new(Quic::new(upstream.clone(), client))),
            (_, client) => Self::Streams(Streams::new(upstream.clone(), client)),
        }
    }

    /// The answer to `question`, with a zero id and without OPT record.
    pub(super) async fn exchange(&self, question: &Arc<Question>, edns: bool) -> io::Result<Vec<u8>> {
        match self {
            Self::Https(open) => open.exchange(question, edns).await,
            Self::Quic(open) => open.exchange(question, edns).await,
            Self::Streams(streams) => streams.exchange(question, edns).await,
        }
    }
}
