//! Owns the taking of connections: a place for each, a task for each, and their end when the process stops. Never looks into one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::places::Places;
use super::workers::Workers;
use crate::listen::metrics::{Closed, Statistics};
use crate::net::accept;
use crate::net::tls::{Server, Session};
use crate::query::{Asker, Transport};

/// Limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections at once. Default 10,000: an idle one costs some 10 KiB with TLS, so that all together hold 100 MB.
    pub connections: usize,
    /// Connections at once from one address, or one /64 of IPv6. Default 1000, so that no client takes all places, and many
    /// devices behind one address, or a forwarder, still find theirs.
    pub connections_of_client: usize,
    /// Time without a query after which a connection is closed, and within which a message must come whole; also what clients
    /// are told when they ask (RFC 7828). Default 10 s (RFC 7766 6.2.3 asks for "a few seconds"); inside of TLS 30 s, as a new
    /// handshake costs more than the memory.
    pub idle: Duration,
    /// Time after which a connection is closed whatever it does. Default an hour, so that no client holds a place for ever; it simply
    /// connects again.
    pub lifetime: Duration,
    /// Queries of one connection that may wait for their replies. Default 100; reading stops until some are answered.
    pub pipeline: usize,
    /// Time within which a client must take a reply. Default 5 s.
    pub write: Duration,
    /// Time within which a handshake must be done. Default 5 s: two lost packets on a slow line.
    pub handshake: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_of_client: 1000,
            idle: Duration::from_secs(10),
            lifetime: Duration::from_secs(3600),
            pipeline: 100,
            write: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// The defaults inside of TLS.
    pub fn encrypted() -> Self {
        Self { idle: Duration::from_secs(30), ..Self::default() }
    }
}

/// Time that connections get to have their last queries answered when the process stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Accepts connections until `stop` changes, then lets the open ones end. With `tls` everything is inside of it.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Server>>,
    config: Config,
    workers: Arc<Workers>,
    statistics: Arc<Statistics>,
    mut stop: watch::Receiver<bool>,
) {
    let transport = if tls.is_some() { Transport::Dot } else { Transport::Tcp };
    let places = Places::new(config.connections, config.connections_of_client);
    loop {
        let failed = |error: io::Error| {
            statistics.accept_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "accepting failed");
        };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, failed) => accepted,
            _ = stop.changed() => break,
        };
        let count = statistics.of(transport);
        count.opened.fetch_add(1, Ordering::Relaxed);
        let from = Asker::at(peer.ip().to_canonical(), transport);
        let Some(place) = places.enter(from.address, tls.is_some()) else {
            count.closed(Closed::Limit);
            continue;
        };
        let session = match tls.as_ref().map(|tls| Session::new(tls.config())).transpose() {
            Ok(session) => session,
            Err(error) => {
                tracing::error!(%error, "no session can be begun");
                count.closed(Closed::Handshake);
                continue;
            }
        };
        let (workers, statistics) = (Arc::clone(&workers), Arc::clone(&statistics));
        let connection =
            Connection::new(stream, session, from, config, workers, Arc::clone(&statistics), place);
        tokio::spawn(run(connection, transport, statistics, stop.clone()));
    }
    let empty = async {
        while !places.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(DRAIN, empty).await.is_err() {
        tracing::warn!("connections were cut off");
    }
}

/// Runs one connection to its end.
async fn run(
    mut connection: Connection,
    transport: Transport,
    statistics: Arc<Statistics>,
    mut stop: watch::Receiver<bool>,
) {
    let count = statistics.of(transport);
    count.connections.fetch_add(1, Ordering::Relaxed);
    let reason = tokio::select! {
        reason = &mut connection => reason,
        _ = stop.changed() => {
            connection.drain();
            timeout(DRAIN, &mut connection).await.unwrap_or(Closed::Client)
        }
    };
    count.connections.fetch_sub(1, Ordering::Relaxed);
    count.closed(reason);
}
