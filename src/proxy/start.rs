//! Owns the proxy's start: its sockets, opened before anything is served, and a task for each; and its end. Never looks into a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::claims::{Claims, Resolve};
use super::config::{Config, Mode};
use super::door::{Door, Own};
use super::judge::Judge;
use super::metrics::{Outcome, Statistics, Way};
use super::page::{Words, read_words};
use super::{explicit, quic, transparent, visit};
use crate::clock::Clock;
use crate::dns::Nat64;
use crate::feeds;
use crate::net::{BindError, Pipes, Places, accept, bind_tcp, bind_transparent_tcp, bind_transparent_udp};
use crate::policy::{Labels, Live};
use crate::problem::{Place, Problem};
use crate::telemetry::Ring;

/// Sockets that nobody reads yet.
#[derive(Debug, Default)]
pub struct Bound {
    opened: Vec<Opened>,
    /// What to tell the operator.
    pub problems: Vec<Problem>,
}

#[derive(Debug)]
struct Opened {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    datagrams: Option<UdpSocket>,
    words: Vec<Words>,
}

/// What the proxies need.
pub struct Parts {
    /// The policy in force.
    pub live: Live,
    /// Time.
    pub clock: Clock,
    /// The prefix of addresses that stand for others, when there is one.
    pub nat64: Option<Nat64>,
    /// The numbers under which blocks are counted.
    pub labels: Labels,
    /// The query log's queue, when there is a log.
    pub ring: Option<Ring>,
    /// Whether connections that met no rule are logged too.
    pub log_all: bool,
    /// Asks this resolver.
    pub resolve: Resolve,
}

/// Opens the sockets of all proxies. Must be called on a runtime.
pub fn bind(configs: &[Config]) -> Result<Bound, Vec<Problem>> {
    let complain =
        |error: BindError| vec![Problem::error(Place::file("[[proxy]]"), error.to_string(), error.hint())];
    let broken =
        |error: std::io::Error| vec![Problem::error(Place::file("[[proxy]]"), error.to_string(), "")];
    let mut bound = Bound::default();
    for config in configs {
        let listener = if config.mode == Mode::Transparent {
            let (listener, takes_all) = bind_transparent_tcp(config.address).map_err(complain)?;
            if !takes_all {
                bound.problems.push(Problem::warning(
                    Place::file("[[proxy]] mode"),
                    format!("{} takes redirected connections only", config.address),
                    "TPROXY needs the capability CAP_NET_ADMIN; REDIRECT does not",
                ));
            }
            listener
        } else {
            bind_tcp(config.address).map_err(complain)?
        };
        let listener = TcpListener::from_std(listener).map_err(broken)?;
        let address = listener.local_addr().map_err(broken)?;
        let datagrams = if config.quic {
            let socket = bind_transparent_udp(address).map_err(complain)?;
            Some(UdpSocket::from_std(socket).map_err(broken)?)
        } else {
            None
        };
        let mut words = Words::built_in();
        for path in &config.words {
            let more = read_words(path)?;
            words.retain(|known| !known.is_of(&more));
            words.push(more);
        }
        bound.opened.push(Opened { config: config.clone(), listener, address, datagrams, words });
    }
    Ok(bound)
}

impl Bound {
    /// Where connections are taken, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.opened.iter().map(|opened| opened.address).collect()
    }
}

/// Begins to take connections, until `stop` changes. Returns the numbers, and the tasks.
pub fn start(
    parts: Parts,
    bound: Bound,
    stop: &watch::Receiver<bool>,
) -> (Arc<Statistics>, Vec<JoinHandle<()>>) {
    let Parts { live, clock, nat64, labels, ring, log_all, resolve } = parts;
    let statistics = Arc::new(Statistics::new(labels));
    // Some translate although this resolver makes up no addresses; everybody uses this prefix (RFC 6052).
    let nat64 = nat64.or_else(|| "64:ff9b::/96".parse().ok());
    let judge = Arc::new(Judge { live, clock: clock.clone(), nat64, ring, log_all });
    let claims = Arc::new(Claims::new(resolve, clock.clone()));
    let (pipes, own, feeds) =
        (Arc::new(Pipes::default()), Arc::new(Own::default()), Arc::new(feeds::Kept::default()));
    let mut tasks = Vec::new();
    for Opened { config, listener, address, datagrams, words } in bound.opened {
        let places = Places::new(config.connections, config.connections_of_client);
        let door = Arc::new(Door {
            config,
            address,
            judge: Arc::clone(&judge),
            claims: Arc::clone(&claims),
            pipes: Arc::clone(&pipes),
            feeds: Arc::clone(&feeds),
            words,
            clock: clock.clone(),
            statistics: Arc::clone(&statistics),
            own: Arc::clone(&own),
            stop: stop.clone(),
        });
        if let Some(socket) = datagrams {
            tasks.push(tokio::spawn(quic::serve(socket, Arc::clone(&door), Arc::clone(&places))));
        }
        tasks.push(tokio::spawn(accept_all(listener, door, places)));
    }
    (statistics, tasks)
}

/// Takes connections until the stop, each into a task of its own.
async fn accept_all(listener: TcpListener, door: Arc<Door>, places: Arc<Places>) {
    let mut stop = door.stop.clone();
    let way = match door.config.mode {
        Mode::Explicit => Way::Explicit,
        Mode::Page => Way::Page,
        Mode::Transparent => Way::Transparent,
    };
    loop {
        let failed = |error: std::io::Error| tracing::debug!(%error, "accepting failed");
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, failed) => accepted,
            _ = stop.changed() => return,
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let place = places.enter(false).and_then(|mut place| place.is_given_to(peer.ip()).then_some(place));
        let Some(place) = place else {
            door.statistics.ended(way, Outcome::Limit);
            continue;
        };
        // Should this fail, it is only slower.
        let _slower = stream.set_nodelay(true).is_err();
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            let _held_to_the_end = place;
            match way {
                Way::Explicit => door.statistics.during(way, explicit::serve(stream, peer, &door)).await,
                Way::Page => door.statistics.during(way, visit::serve(stream, peer, &door)).await,
                _ => door.statistics.during(way, transparent::serve(stream, peer, &door)).await,
            }
        });
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}
