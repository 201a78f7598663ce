//! Owns the taking of connections: a place and a task for each, whom a balancer speaks for, and their end when the process stops. Never
//! looks into one.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::config::Config;
use super::metrics::{Closed, Statistics};
use crate::net::{Place, Places, accept, receive_proxied};
use crate::policy::{Credentials, Prefix};
use crate::query::{Asker, Transport};

/// Where connections come in.
#[derive(Debug)]
pub struct Entrance {
    /// The socket.
    pub listener: TcpListener,
    /// What is spoken there.
    pub transport: Transport,
    /// Limits of its connections.
    pub limits: Config,
    /// Balancers, each of which says whose a connection is before anything else.
    pub proxies: Arc<[Prefix]>,
    /// Counts.
    pub statistics: Arc<Statistics>,
    /// Ends the connections when it changes.
    pub stop: watch::Receiver<bool>,
}

/// A connection that has a place.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) stream: TcpStream,
    pub(super) from: Asker,
    /// What a balancer says that the client has shown.
    pub(super) credentials: Credentials,
    pub(super) place: Place,
}

/// Time that connections get to have their last queries answered when the process stops.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// Accepts connections until the stop, each of which `serve` serves to its end, then lets the open ones end.
pub(super) async fn accept_all<S, F>(entrance: Entrance, serve: S)
where
    S: Fn(Arrived) -> F + Clone + Send + 'static,
    F: Future<Output = Closed> + Send,
{
    let Entrance { listener, transport, limits, proxies, statistics, mut stop } = entrance;
    let places = Places::new(limits.connections, limits.connections_of_client);
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
        let is_proxy = proxies.iter().any(|prefix| prefix.holds(from.address));
        let Some(place) = places.enter(transport != Transport::Tcp || is_proxy) else {
            count.closed(Closed::Limit);
            continue;
        };
        let (serve, statistics) = (serve.clone(), Arc::clone(&statistics));
        tokio::spawn(async move {
            let arrived = Arrived { stream, from, credentials: Credentials::default(), place };
            let served = async move {
                match arrive(arrived, is_proxy, limits.handshake).await {
                    Ok(arrived) => serve(arrived).await,
                    Err(reason) => reason,
                }
            };
            statistics.of(transport).during(served).await;
        });
    }
    drain(&places).await;
}

/// Lets the open connections end.
pub(super) async fn drain(places: &Places) {
    let empty = async {
        while !places.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(DRAIN, empty).await.is_err() {
        tracing::warn!("connections were cut off");
    }
}

/// Learns whose the connection is, and finds it a place among that client's.
async fn arrive(mut arrived: Arrived, is_proxy: bool, patience: Duration) -> Result<Arrived, Closed> {
    // Should this fail, replies are only slower.
    let _slower = arrived.stream.set_nodelay(true).is_err();
    if is_proxy {
        let Ok(Ok(proxied)) = timeout(patience, receive_proxied(&mut arrived.stream)).await else {
            return Err(Closed::Proxy);
        };
        arrived.from.address = proxied.client.unwrap_or(arrived.from.address);
        arrived.credentials.server_name = proxied.server_name;
        if arrived.from.transport == Transport::Tcp {
            arrived.place.greeted();
        }
    }
    if arrived.place.is_given_to(arrived.from.address) { Ok(arrived) } else { Err(Closed::Limit) }
}
