//! Owns the proxy's start: its sockets, opened before anything is served, and who takes connections at each. Never looks into a connection.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;

use socket2::SockRef;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::claims::{Claims, Resolve};
use super::config::{Config, Mode};
use super::door::{Door, Own};
use super::judge::Judge;
use super::metrics::Statistics;
use super::page::{Words, read_words};
use super::quic;
use super::threads::{self, Entrance};
use super::users::Users;
use crate::clock::Clock;
use crate::dns::Nat64;
use crate::feeds;
use crate::net::tls::{Application, Authority, Renewable, Server};
use crate::net::{BindError, Pipes, Places, bind_shared_tcp, bind_transparent_tcp, bind_transparent_udp};
use crate::policy::{Identities, Labels, Live};
use crate::problem::{Place, Problem};
use crate::telemetry::Inbox;

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
    /// One for each thread.
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    datagrams: Option<UdpSocket>,
    words: Vec<Words>,
}

/// What the proxies need.
pub struct Parts {
    /// The policy in force.
    pub live: Live,
    /// Those that clients of this process have had.
    pub identities: Identities,
    /// Shown to clients of encrypted proxies.
    pub certificate: Option<Arc<Renewable>>,
    /// Time.
    pub clock: Clock,
    /// The prefix of addresses that stand for others, when there is one.
    pub nat64: Option<Nat64>,
    /// The numbers under which blocks are counted.
    pub labels: Labels,
    /// The query log's queue, when there is a log.
    pub inbox: Option<Inbox>,
    /// Whether connections that met no rule are logged too.
    pub log_all: bool,
    /// Asks this resolver.
    pub resolve: Resolve,
}

/// Opens the sockets of all proxies, for so many threads each.
pub fn bind(configs: &[Config], threads: usize) -> Result<Bound, Vec<Problem>> {
    let complain =
        |error: BindError| vec![Problem::error(Place::file("[[proxy]]"), error.to_string(), error.hint())];
    let broken = |error: io::Error| vec![Problem::error(Place::file("[[proxy]]"), error.to_string(), "")];
    let mut bound = Bound::default();
    for config in configs {
        let listeners = if config.mode == Mode::Transparent {
            let (listeners, takes_all) = bind_transparent_tcp(config.address, threads).map_err(complain)?;
            if !takes_all {
                bound.problems.push(Problem::warning(
                    Place::file("[[proxy]] mode"),
                    format!("{} takes redirected connections only", config.address),
                    "TPROXY needs the capability CAP_NET_ADMIN; REDIRECT does not",
                ));
            }
            listeners
        } else {
            bind_shared_tcp(config.address, threads).map_err(complain)?
        };
        let mut address = config.address;
        for listener in &listeners {
            address = listener.local_addr().map_err(broken)?;
            // Connections have it from the listener. Should this fail, they are only slower.
            let _slower = SockRef::from(listener).set_tcp_nodelay(true).is_err();
        }
        let datagrams = config.quic.then(|| bind_transparent_udp(address)).transpose().map_err(complain)?;
        let mut words = Words::built_in();
        for path in &config.words {
            let more = read_words(path)?;
            words.retain(|known| !known.is_of(&more));
            words.push(more);
        }
        bound.opened.push(Opened { config: config.clone(), listeners, address, datagrams, words });
    }
    Ok(bound)
}

impl Bound {
    /// Where connections are taken, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.opened.iter().map(|opened| opened.address).collect()
    }
}

/// What was started.
#[derive(Debug)]
pub struct Started {
    /// The numbers.
    pub statistics: Arc<Statistics>,
    /// They end when `stop` changes.
    pub tasks: Vec<JoinHandle<()>>,
    /// They too, a little later.
    pub threads: Vec<thread::JoinHandle<()>>,
    /// The settings of encrypted proxies, which follow their files.
    pub servers: Vec<Arc<Server>>,
}

/// Begins to take connections, until `stop` changes. Must be called on a runtime.
pub fn start(parts: Parts, bound: Bound, stop: &watch::Receiver<bool>) -> io::Result<Started> {
    let Parts { live, identities, certificate, clock, nat64, labels, inbox, log_all, resolve } = parts;
    let statistics = Arc::new(Statistics::new(labels));
    // Some translate although this resolver makes up no addresses; everybody uses this prefix (RFC 6052).
    let nat64 = nat64.or_else(|| "64:ff9b::/96".parse().ok());
    let judge = Arc::new(Judge { live, identities, clock: clock.clone(), nat64, inbox, log_all });
    let claims = Arc::new(Claims::new(resolve, clock.clone()));
    let (pipes, own, feeds) =
        (Arc::new(Pipes::default()), Arc::new(Own::default()), Arc::new(feeds::Kept::default()));
    let (mut tasks, mut servers) = (Vec::new(), Vec::new());
    let mut entrances = Vec::new();
    for Opened { config, listeners, address, datagrams, words } in bound.opened {
        let tls = config
            .is_encrypted
            .then(|| encrypted(certificate.as_ref(), config.clients.clone()))
            .transpose()?;
        servers.extend(tls.clone());
        let users = config.users.clone().map(|path| Arc::new(Users::of(path, clock.clone())));
        let places = Places::new(config.connections, config.connections_of_client);
        let door = Arc::new(Door {
            config,
            address,
            judge: Arc::clone(&judge),
            claims: Arc::clone(&claims),
            pipes: Arc::clone(&pipes),
            tls,
            users,
            feeds: Arc::clone(&feeds),
            words,
            clock: clock.clone(),
            statistics: Arc::clone(&statistics),
            own: Arc::clone(&own),
            stop: stop.clone(),
        });
        if let Some(socket) = datagrams {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            tasks.push(tokio::spawn(quic::serve(socket, Arc::clone(&door), Arc::clone(&places))));
        }
        entrances.resize_with(listeners.len().max(entrances.len()), Vec::new);
        for (thread, listener) in entrances.iter_mut().zip(listeners) {
            thread.push(Entrance { door: Arc::clone(&door), places: Arc::clone(&places), listener });
        }
    }
    let begin = |(number, entrances)| threads::begin(number, entrances, stop.clone());
    let threads = entrances.into_iter().enumerate().map(begin).collect::<io::Result<_>>()?;
    Ok(Started { statistics, tasks, threads, servers })
}

fn encrypted(certificate: Option<&Arc<Renewable>>, clients: Option<Authority>) -> io::Result<Arc<Server>> {
    let certificate = certificate.ok_or_else(|| io::Error::other("there is no certificate"))?;
    let server = Server::new(Arc::clone(certificate), Application::Http1, clients);
    server.map(Arc::new).map_err(io::Error::other)
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}
