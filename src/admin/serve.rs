//! Owns the operators' connections: how many there are, how long each may take, how they end. Never looks into a
//! request. The only door of `hyper`.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::api::{Parts, router};
use super::door::{Door, Met};
use super::visitor::Peer;
use crate::net::accept;

/// Connections at once. A scraper, a dashboard and a few people need ten; the next one waits for a place.
const CONNECTIONS: usize = 64;
/// Time within which a request's head must come whole, counted from the end of the one before. Longer than the usual
/// scrape interval would keep a place for each scraper; it simply connects again.
const HEAD: Duration = Duration::from_secs(10);
/// Time after which a connection is closed whatever it does: as long as the command line waits for a reload.
const LIFETIME: Duration = Duration::from_secs(300);
/// Time that answers under way get when the process stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves until `stop` changes.
pub async fn serve(listener: TcpListener, door: Door, parts: Parts, mut stop: watch::Receiver<bool>) {
    let door = Arc::new(door);
    let service = TowerToHyperService::new(router(parts));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            let failed = |error| tracing::debug!(%error, "accepting failed");
            (place, accept(&listener, failed).await)
        };
        let (place, (stream, peer)) = tokio::select! {
            next = next => next,
            Some(_) = connections.join_next() => continue,
            _ = stop.changed() => break,
        };
        let (service, mut stop, door) = (service.clone(), stop.clone(), Arc::clone(&door));
        connections.spawn(async move {
            let met = tokio::select! {
                met = timeout(HEAD, door.meet(stream, peer)) => met,
                _ = stop.changed() => return,
            };
            // A client that speaks something else concerns nobody but itself.
            match met {
                Ok(Ok((Met::Clear(stream), peer))) => connection(stream, peer, service, stop).await,
                Ok(Ok((Met::Encrypted(stream), peer))) => connection(stream, peer, service, stop).await,
                Ok(Err(_)) | Err(_) => {}
            }
            drop(place);
        });
    }
    let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "operators' connections were cut off");
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    service: TowerToHyperService<axum::Router>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        service.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let lifetime = sleep(LIFETIME);
    tokio::pin!(lifetime);
    loop {
        tokio::select! {
            // A client that went away or spoke something else concerns nobody but itself.
            ended = &mut served => return drop(ended),
            changed = stop.changed() => {
                served.as_mut().graceful_shutdown();
                if changed.is_err() {
                    return;
                }
            }
            () = &mut lifetime => return,
        }
    }
}
