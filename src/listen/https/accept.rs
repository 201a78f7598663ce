//! Owns the taking of HTTPS connections: a place and a task for each, the handshake, the version of HTTP. Never looks into a request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::request::Client;
use super::{http1, http2};
use crate::listen::Config;
use crate::listen::metrics::{Closed, Handshake, Statistics};
use crate::listen::stream::{Place, Places, Workers};
use crate::net::accept;
use crate::net::tls::{Server, Stream};
use crate::query::{Asker, Transport};

/// What all connections of a listener share.
#[derive(Clone, Debug)]
pub(in crate::listen) struct Shared {
    pub(in crate::listen) tls: Arc<Server>,
    /// Where queries are taken.
    pub(in crate::listen) path: Arc<str>,
    pub(in crate::listen) config: Config,
    pub(in crate::listen) workers: Arc<Workers>,
    pub(in crate::listen) statistics: Arc<Statistics>,
    pub(in crate::listen) stop: watch::Receiver<bool>,
}

/// Time that connections get to have their last queries answered when the process stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Accepts connections until `stop` changes, then lets the open ones end.
pub(in crate::listen) async fn serve(listener: TcpListener, mut shared: Shared) {
    let places = Places::new(shared.config.connections, shared.config.connections_of_client);
    loop {
        let statistics = Arc::clone(&shared.statistics);
        let failed = |error: io::Error| {
            statistics.accept_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "accepting failed");
        };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, failed) => accepted,
            _ = shared.stop.changed() => break,
        };
        let count = statistics.of(Transport::Doh);
        count.opened.fetch_add(1, Ordering::Relaxed);
        let from = Asker::at(peer.ip().to_canonical(), Transport::Doh);
        match places.enter(from.address, true) {
            Some(place) => drop(tokio::spawn(run(stream, from, place, shared.clone()))),
            None => count.closed(Closed::Limit),
        }
    }
    let empty = async {
        while !places.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(DRAIN, empty).await.is_err() {
        tracing::warn!("HTTPS connections were cut off");
    }
}

/// Runs one connection to its end.
async fn run(stream: TcpStream, from: Asker, place: Place, shared: Shared) {
    let statistics = Arc::clone(&shared.statistics);
    let count = statistics.of(Transport::Doh);
    count.connections.fetch_add(1, Ordering::Relaxed);
    let lifetime = shared.config.lifetime;
    let reason = timeout(lifetime, connection(stream, from, place, shared)).await.unwrap_or(Closed::Lifetime);
    count.connections.fetch_sub(1, Ordering::Relaxed);
    count.closed(reason);
}

async fn connection(stream: TcpStream, from: Asker, mut place: Place, shared: Shared) -> Closed {
    let count = shared.statistics.of(Transport::Doh);
    // Should this fail, replies are only slower.
    let _slower = stream.set_nodelay(true).is_err();
    let greeting = Stream::greet(stream, shared.tls.config());
    let Ok(Ok(stream)) = timeout(shared.config.handshake, greeting).await else {
        count.handshake(Handshake::Failed);
        return Closed::Handshake;
    };
    place.greeted();
    let is_http2 = stream.session().speaks(b"h2");
    count.handshake(if stream.session().is_resumed() { Handshake::Resumed } else { Handshake::Full });
    let client = Client { from, credentials: Arc::new(stream.session().credentials()) };
    if is_http2 {
        http2::serve(stream, client, shared).await
    } else {
        http1::serve(stream, client, shared).await
    }
}
