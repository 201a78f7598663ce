//! Owns the zone's start: its sockets, its tasks, and what it shows of itself. Never answers anything.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::config::Config;
use super::follow::{Publisher, follow};
use super::metrics::Statistics;
use super::notify::{Secondaries, Secondary, tell};
use super::server::Server;
use super::version::title;
use super::{tcp, udp};
use crate::clock::Clock;
use crate::dns::tsig::Key;
use crate::net::{BindError, bind_both};
use crate::policy::Live;
use crate::problem::{Place, Problem};
use crate::sources::TsigKey;

/// What a zone is made of.
#[derive(Debug)]
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// Its sockets and its key.
    pub bound: Bound,
    /// The policy in force.
    pub live: Live,
    /// Time.
    pub clock: Clock,
    /// Where its serial is kept; without it, it goes on from the clock after a restart.
    pub state: Option<PathBuf>,
}

/// What is open and not served yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Listening>,
    key: Option<Key>,
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
}

/// A served zone.
#[derive(Debug)]
pub struct Zone {
    pub(super) server: Arc<Server>,
    secondaries: Arc<Secondaries>,
    addresses: Vec<SocketAddr>,
}

/// What operators see of the zone.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name, with the final dot.
    pub name: String,
    /// The group whose policy it holds.
    pub group: String,
    /// Where it is served.
    pub listen: Vec<SocketAddr>,
    /// `None` before the first version.
    pub serial: Option<u32>,
    /// Records, SOA and NS apart.
    pub records: u64,
    /// Listed names that have no place in the zone.
    pub left_out: u64,
    /// Versions that a secondary may have and still be sent a difference.
    pub history: usize,
    /// Bytes of those differences.
    pub history_bytes: usize,
    /// Secondaries that are notified.
    pub secondaries: Vec<Secondary>,
}

/// Opens all sockets of the zone and reads its key's secret, or does neither. Must be called on the runtime that will do the
/// slow work.
pub fn bind(config: &Config) -> Result<Bound, Problem> {
    let key = config.tsig.as_ref().map(TsigKey::load).transpose();
    let key =
        key.map_err(|refusal| Problem::error(Place::file("[zone] tsig"), refusal.what, refusal.hint))?;
    let failed =
        |error: BindError| Problem::error(Place::file("[zone] listen"), error.to_string(), error.hint());
    let both = |address: &SocketAddr| open(*address).map_err(failed);
    Ok(Bound { sockets: config.listen.iter().map(both).collect::<Result<_, _>>()?, key })
}

fn open(address: SocketAddr) -> Result<Listening, BindError> {
    let failed = |cause| BindError { address, cause };
    let (mut udp, tcp) = bind_both(address, 1)?;
    // A port that the system chose is the same for both.
    let address = tcp.local_addr().map_err(failed)?;
    let udp = udp.pop().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    udp.set_nonblocking(true).map_err(failed)?;
    let udp = UdpSocket::from_std(udp).map_err(failed)?;
    Ok(Listening { address, udp, tcp: TcpListener::from_std(tcp).map_err(failed)? })
}

/// Serves the zone until `stop` changes. Must be called on the runtime that does the slow work.
pub fn start(parts: Parts, stop: &watch::Receiver<bool>) -> (Arc<Zone>, Vec<JoinHandle<()>>) {
    let Parts { config, bound: Bound { sockets, key }, live, clock, state } = parts;
    let (versions, seen) = watch::channel(None);
    let server = Arc::new(Server {
        config: config.clone(),
        key,
        clock: clock.clone(),
        versions: seen,
        statistics: Arc::new(Statistics::default()),
        whole: Semaphore::new(tcp::WHOLE_AT_ONCE),
    });
    let secondaries = Arc::new(Secondaries::new(&config.notify));
    let mut addresses = Vec::new();
    let mut tasks = Vec::new();
    for Listening { address, udp, tcp } in sockets {
        addresses.push(address);
        tasks.push(tokio::spawn(udp::serve(udp, Arc::clone(&server), stop.clone())));
        tasks.push(tokio::spawn(tcp::serve(tcp, Arc::clone(&server), stop.clone())));
    }
    for secondary in &config.notify {
        let (server, secondaries) = (Arc::clone(&server), Arc::clone(&secondaries));
        tasks.push(tokio::spawn(tell(*secondary, server, secondaries, stop.clone())));
    }
    let publisher = Publisher { config, state, clock };
    tasks.push(tokio::spawn(follow(publisher, live, versions, stop.clone())));
    (Arc::new(Zone { server, secondaries, addresses }), tasks)
}

impl Zone {
    /// Where it is served, with the ports the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What operators see of it.
    pub fn status(&self) -> Status {
        let version = self.server.versions.borrow().clone();
        let version = version.as_ref();
        Status {
            name: title(&self.server.config.name),
            group: self.server.config.group.clone(),
            listen: self.addresses.clone(),
            serial: version.map(|version| version.head.serial),
            records: version.map_or(0, |version| version.fingerprint.records),
            left_out: version.map_or(0, |version| version.content.left_out),
            history: version.map_or(0, |version| version.history.len()),
            history_bytes: version.map_or(0, |version| version.history_bytes()),
            secondaries: self.secondaries.all(),
        }
    }
}
