//! Owns the taking of QUIC connections: whether an address is its sender's, a place and a task for each, the handshake, and their end.
//! Never looks into a stream.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime,
    TransportConfig,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::exchange::{self, Code};
use super::requests;
use crate::listen::accept::{DRAIN, drain};
use crate::listen::client::Client;
use crate::listen::config::Config;
use crate::listen::metrics::{Closed, Handshake, Statistics};
use crate::listen::stream::Workers;
use crate::net::tls::{Server, ServerConfig as TlsConfig, shown};
use crate::net::{Place, Places};
use crate::query::{Asker, Transport};

/// Where connections come in.
#[derive(Debug)]
pub(in crate::listen) struct Port {
    /// The socket.
    pub(in crate::listen) socket: UdpSocket,
    /// Where requests of HTTP/3 are taken; `None` for queries alone.
    pub(in crate::listen) path: Option<Arc<str>>,
    /// What TLS goes by.
    pub(in crate::listen) tls: Arc<Server>,
    /// Limits of its connections.
    pub(in crate::listen) limits: Config,
    /// Counts.
    pub(in crate::listen) statistics: Arc<Statistics>,
    /// Ends the connections when it changes.
    pub(in crate::listen) stop: watch::Receiver<bool>,
}

/// What all connections of a port share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    path: Option<Arc<str>>,
    pub(super) limits: Config,
    statistics: Arc<Statistics>,
    pub(super) workers: Arc<Workers>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Shared {
    /// What is counted under which name.
    fn transport(&self) -> Transport {
        if self.path.is_some() { Transport::Doh } else { Transport::Doq }
    }
}

/// Bytes of one stream, or of all, that a client may send before they are read: a query, and many of them.
const STREAM_WINDOW: u32 = 8 << 10;
const WINDOW: u32 = 256 << 10;
/// Three, and some that a later version may try.
const ONE_WAY: u32 = 6;
/// Bytes that are sent before the client has taken them.
const SEND_WINDOW: u64 = 256 << 10;

/// The settings of QUIC over the present settings of TLS, made anew when those are.
#[derive(Debug)]
struct Settings {
    tls: Arc<Server>,
    limits: Config,
    /// Streams of one direction that a client may open: HTTP/3 has one to control the connection and two to compress heads.
    one_way: u32,
    current: Mutex<Option<(Arc<TlsConfig>, Arc<ServerConfig>)>>,
}

impl Settings {
    fn current(&self) -> io::Result<Arc<ServerConfig>> {
        let tls = self.tls.config();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, config)) = &*current
            && Arc::ptr_eq(known, &tls)
        {
            return Ok(Arc::clone(config));
        }
        let crypto = QuicServerConfig::try_from(Arc::clone(&tls)).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        // Who asks is known by its address: it stays where its handshake came from.
        config.migration(false);
        let mut transport = TransportConfig::default();
        let pipeline = u32::try_from(self.limits.pipeline).unwrap_or(u32::MAX);
        transport
            .max_concurrent_bidi_streams(pipeline.into())
            .max_concurrent_uni_streams(self.one_way.into())
            .datagram_receive_buffer_size(None)
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(WINDOW.into())
            .send_window(SEND_WINDOW)
            .max_idle_timeout(IdleTimeout::try_from(self.limits.idle).ok());
        config.transport_config(Arc::new(transport));
        let config = Arc::new(config);
        *current = Some((tls, Arc::clone(&config)));
        Ok(config)
    }
}

/// Serves connections until the stop, then lets the open ones end.
pub(in crate::listen) async fn serve(port: Port, workers: Arc<Workers>) {
    let Port { socket, path, tls, limits, statistics, mut stop } = port;
    let places = Places::new(limits.connections, limits.connections_of_client);
    let one_way = if path.is_some() { ONE_WAY } else { 0 };
    let settings = Settings { tls, limits, one_way, current: Mutex::default() };
    let opened = settings.current().and_then(|config| {
        Endpoint::new(EndpointConfig::default(), Some((*config).clone()), socket, Arc::new(TokioRuntime))
    });
    let endpoint = match opened {
        Ok(endpoint) => endpoint,
        Err(error) => return tracing::error!(%error, "QUIC cannot be served"),
    };
    let shared = Shared { path, limits, statistics, workers, stop: stop.clone() };
    let transport = shared.transport();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            _ = stop.changed() => break,
        };
        let Some(incoming) = incoming else { break };
        // While many begin, each first shows that its address is its own, which costs it a round and this server nothing.
        if places.is_crowded() && !incoming.remote_address_validated() && incoming.may_retry() {
            let _cannot = incoming.retry().is_err();
            continue;
        }
        let count = shared.statistics.of(transport);
        count.opened.fetch_add(1, Ordering::Relaxed);
        let from = Asker::at(incoming.remote_address().ip().to_canonical(), transport);
        let mut place = places.enter(true);
        let (Some(place), Ok(config)) =
            (place.take_if(|place| place.is_given_to(from.address)), settings.current())
        else {
            incoming.refuse();
            count.closed(Closed::Limit);
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let served = greet(incoming, config, from, place, &shared);
            shared.statistics.of(transport).during(served).await;
        });
    }
    drain(&places).await;
    endpoint.close(Code::None.number(), b"");
}

/// Does the handshake and serves what comes after it.
async fn greet(
    incoming: Incoming,
    config: Arc<ServerConfig>,
    from: Asker,
    mut place: Place,
    shared: &Shared,
) -> Closed {
    let count = shared.statistics.of(shared.transport());
    let greeting = async { incoming.accept_with(config)?.await };
    let Ok(Ok(connection)) = timeout(shared.limits.handshake, greeting).await else {
        count.handshake(Handshake::Failed);
        return Closed::Handshake;
    };
    place.greeted();
    count.handshake(Handshake::Full);
    let name = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.server_name);
    let client = Client { from, credentials: Arc::new(shown(name.as_deref(), connection.peer_identity())) };
    let lifetime = shared.limits.lifetime;
    let served = async {
        match shared.path.clone() {
            None => converse(&connection, client, shared).await,
            Some(path) => requests::converse(&connection, client, path, shared).await,
        }
    };
    timeout(lifetime, served).await.unwrap_or_else(|_| {
        connection.close(Code::None.number(), b"");
        Closed::Lifetime
    })
}

/// Answers the streams of a connection until it ends.
async fn converse(connection: &Connection, client: Client, shared: &Shared) -> Closed {
    let mut stop = shared.stop.clone();
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, receive)) => {
                    let (client, workers) = (client.clone(), Arc::clone(&shared.workers));
                    let (patience, connection) = (shared.limits, connection.clone());
                    streams.spawn(async move {
                        if let Err(code) = exchange::answer(send, receive, &client, patience, &workers).await {
                            connection.close(code.number(), b"");
                        }
                    });
                }
                Err(ConnectionError::TimedOut) => return Closed::Idle,
                Err(_) => return Closed::Client,
            },
            Some(_) = streams.join_next() => {}
            _ = stop.changed() => {
                while timeout(DRAIN, streams.join_next()).await.is_ok_and(|done| done.is_some()) {}
                connection.close(Code::None.number(), b"");
                return Closed::Client;
            }
        }
    }
}
