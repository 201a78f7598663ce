//! Owns the threads that connections over TCP live on. Each thread takes its own and keeps them to their end: handing one to another costs what waking a
//! thread costs, a sixth of all that a short connection does. Never looks into a connection.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::config::Mode;
use super::door::Door;
use super::line::Line;
use super::metrics::{Outcome, Way};
use super::{explicit, transparent, visit};
use crate::net::tls::Stream;
use crate::net::{Places, accept};

/// Where one thread takes connections.
pub(super) struct Entrance {
    pub(super) door: Arc<Door>,
    pub(super) places: Arc<Places>,
    pub(super) listener: TcpListener,
}

/// Threads of one such thread for work that waits, as reading a file of users does.
const WAITING: usize = 4;
/// Time that connections get to tell both sides of the end, in steps of a hundredth.
const END: Duration = Duration::from_millis(200);

/// Begins a thread that takes connections until `stop` changes.
pub(super) fn begin(
    number: usize,
    entrances: Vec<Entrance>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WAITING).build()?;
    let entered = runtime.enter();
    for Entrance { door, places, listener } in entrances {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let _ends_at_the_stop = runtime.spawn(accept_all(listener, door, places));
    }
    drop(entered);
    let work = move || {
        runtime.block_on(async {
            let _stopped = stop.changed().await.is_err();
            let under_way = tokio::runtime::Handle::current().metrics();
            for _ in 0..100 {
                if under_way.num_alive_tasks() == 0 {
                    return;
                }
                tokio::time::sleep(END / 100).await;
            }
        });
    };
    Builder::new().name(format!("proxy-{number}")).spawn(work)
}

/// Takes connections until the stop, each into a task of its own.
async fn accept_all(listener: tokio::net::TcpListener, door: Arc<Door>, places: Arc<Places>) {
    let mut stop = door.stop.clone();
    let way = match door.config.mode {
        Mode::Explicit => Way::Explicit,
        Mode::Page => Way::Page,
        Mode::Transparent => Way::Transparent,
    };
    loop {
        let failed = |error: io::Error| tracing::debug!(%error, "accepting failed");
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, failed) => accepted,
            _ = stop.changed() => return,
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let place = places
            .enter(door.tls.is_some())
            .and_then(|mut place| place.is_given_to(peer.ip()).then_some(place));
        let Some(place) = place else {
            door.statistics.ended(way, Outcome::Limit);
            continue;
        };
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            // Held to the end.
            let mut place = place;
            let line = match &door.tls {
                None => Line::Clear(stream),
                Some(tls) => {
                    // Apart, so that connections in clear are as small as they were.
                    let greeting = Box::pin(Stream::greet(stream, tls.config()));
                    let Ok(Ok(stream)) = timeout(door.config.head, greeting).await else {
                        door.statistics.ended(way, Outcome::Handshake);
                        return;
                    };
                    place.greeted();
                    Line::Encrypted(Box::new(stream))
                }
            };
            match way {
                Way::Explicit => {
                    door.statistics.during(way, Box::pin(explicit::serve(line, peer, &door))).await
                }
                Way::Page => door.statistics.during(way, Box::pin(visit::serve(line, peer, &door))).await,
                _ => door.statistics.during(way, transparent::serve(line, peer, &door)).await,
            }
        });
    }
}
