//! Owns a connection up to its first request: the lifetime, the handshake, the version of HTTP. Never looks into a request.

use std::sync::Arc;

use http::header::ALT_SVC;
use http::{HeaderValue, Response};
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
    pub(super) at: Place,
    pub(super) config: Config,
    pub(super) workers: Arc<Workers>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Where queries are taken, and what is said of where else.
#[derive(Clone, Debug)]
pub(in crate::listen) struct Place {
    pub(in crate::listen) path: Arc<str>,
    /// The value of `Alt-Svc` in every answer, where HTTP/3 is spoken too.
    pub(in crate::listen) alternative: Option<HeaderValue>,
}

impl Place {
    /// `response`, with what is said of where else.
    pub(super) fn with_alternative<B>(&self, mut response: Response<B>) -> Response<B> {
        if let Some(alternative) = &self.alternative {
            response.headers_mut().insert(ALT_SVC, alternative.clone());
        }
        response
    }
}

/// Serves connections until the stop, with queries taken at a place.
pub(in crate::listen) async fn serve(entrance: Entrance, tls: Arc<Server>, at: Place, workers: Arc<Workers>) {
    let (statistics, stop) = (Arc::clone(&entrance.statistics), entrance.stop.clone());
    let shared = Shared { tls, statistics, at, config: entrance.limits, workers, stop };
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
