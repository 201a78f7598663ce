//! Owns a connection up to its first request: the lifetime, the handshake, the version of HTTP. Never looks into a request.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{http1, http2};
use crate::listen::accept::{Arrived, Entrance, accept_all};
use crate::listen::client::Client;
use crate::listen::config::Config;
use crate::listen::metrics::{Closed, Handshake, Statistics};
use crate::listen::stream::Workers;
use crate::net::tls::{Server, Stream};

/// What all connections of a listener share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    tls: Arc<Server>,
    statistics: Arc<Statistics>,
    /// Where queries are taken.
    pub(super) path: Arc<str>,
    pub(super) config: Config,
    pub(super) workers: Arc<Workers>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Serves connections until the stop, with queries taken at `path`.
pub(in crate::listen) async fn serve(
    entrance: Entrance,
    tls: Arc<Server>,
    path: Arc<str>,
    workers: Arc<Workers>,
) {
    let (statistics, stop) = (Arc::clone(&entrance.statistics), entrance.stop.clone());
    let shared = Shared { tls, statistics, path, config: entrance.limits, workers, stop };
    let serve = move |arrived: Arrived| {
        let shared = shared.clone();
        async move {
            let lifetime = shared.config.lifetime;
            timeout(lifetime, connection(arrived, shared)).await.unwrap_or(Closed::Lifetime)
        }
    };
    accept_all(entrance, serve).await;
}

async fn connection(arrived: Arrived, shared: Shared) -> Closed {
    let Arrived { stream, from, credentials: told, mut place } = arrived;
    let count = shared.statistics.of(from.transport);
    let greeting = Stream::greet(stream, shared.tls.config());
    let Ok(Ok(stream)) = timeout(shared.config.handshake, greeting).await else {
        count.handshake(Handshake::Failed);
        return Closed::Handshake;
    };
    place.greeted();
    let is_http2 = stream.session().speaks(b"h2");
    count.handshake(if stream.session().is_resumed() { Handshake::Resumed } else { Handshake::Full });
    let mut credentials = stream.session().credentials();
    credentials.server_name = credentials.server_name.or(told.server_name);
    let client = Client { from, credentials: Arc::new(credentials) };
    let reason = if is_http2 {
        http2::serve(stream, client, shared).await
    } else {
        http1::serve(stream, client, shared).await
    };
    drop(place);
    reason
}
