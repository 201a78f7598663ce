//! Owns the listeners as an operator wants them, their sockets, and what is started on each. All sockets are open before the first
//! question is taken.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

use super::accept::Entrance;
use super::limit::Limiter;
use super::metrics::Statistics;
use super::stream::{self, Workers};
use super::terms::Terms;
use super::{Config, https, quic, udp};
use crate::dns::Cookies;
use crate::net::tls::{Application, Authority, Renewable, Server};
use crate::net::{BindError, bind_both, bind_tcp, bind_udp};
use crate::policy::Prefix;
use crate::query::{Engine, Transport};

/// One place where questions are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where queries are taken, of DNS over HTTPS, by any version of HTTP. Default `/dns-query`, as RFC 8484 writes it and clients guess.
    pub path: String,
    /// Whose certificates clients may show; `None` for nobody's.
    pub clients: Option<Authority>,
    /// Balancers that say in front of a connection or datagram whose it is (PROXY protocol, version 2); from anybody else it is
    /// taken for what it is.
    pub proxies: Vec<Prefix>,
    /// Limits of its connections.
    pub limits: Config,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// DNS over UDP and TCP, as ever.
    Do53,
    /// DNS over HTTPS (RFC 8484), by HTTP/2 and HTTP/1.1.
    Doh,
    /// The same by HTTP/3 (RFC 9114).
    Doh3,
    /// DNS over QUIC (RFC 9250).
    Doq,
    /// DNS over TLS (RFC 7858).
    Dot,
}

/// Open sockets that nobody reads yet.
#[derive(Debug)]
pub struct Opened {
    /// Where they are, with the ports that the system chose, in the order of the listeners.
    pub addresses: Vec<SocketAddr>,
    udp: Vec<(UdpSocket, Arc<[Prefix]>)>,
    connected: Vec<(Socket, Listener)>,
}

/// Where connections come in.
#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Quic(UdpSocket),
}

/// What was started.
#[derive(Debug)]
pub struct Serving {
    /// The threads of UDP; they end when `stop_threads` is set.
    pub threads: Vec<JoinHandle<()>>,
    /// Everything else; it ends when `stop` changes.
    pub tasks: Vec<Task<()>>,
    /// The settings of encrypted listeners, which follow their files.
    pub servers: Vec<Arc<Server>>,
}

/// What the listeners need.
#[derive(Debug)]
pub struct Needs {
    /// Answers questions.
    pub engine: Arc<Engine>,
    /// Shown to clients of encrypted listeners.
    pub certificate: Option<Arc<Renewable>>,
    /// How much one client may ask over UDP; `None` for as much as it likes.
    pub limiter: Option<Arc<Limiter>>,
    /// Cookies over UDP; `None` for none.
    pub cookies: Option<Arc<Cookies>>,
    /// Counts.
    pub statistics: Arc<Statistics>,
    /// Ends the threads.
    pub stop_threads: Arc<AtomicBool>,
    /// Ends the tasks.
    pub stop: watch::Receiver<bool>,
}

impl Listener {
    /// UDP and TCP at `address`, with the default limits.
    pub fn do53(address: SocketAddr) -> Self {
        Self {
            address,
            protocol: Protocol::Do53,
            path: String::new(),
            clients: None,
            proxies: Vec::new(),
            limits: Config::default(),
        }
    }
}

impl Protocol {
    /// True when a certificate is needed.
    pub fn is_encrypted(self) -> bool {
        self != Self::Do53
    }

    /// True when it is spoken over QUIC.
    pub fn is_quic(self) -> bool {
        matches!(self, Self::Doh3 | Self::Doq)
    }

    /// True when queries are taken at a path.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Doh | Self::Doh3)
    }
}

impl Opened {
    /// The listeners, each with where it is.
    pub fn listeners(&self) -> Vec<(Listener, SocketAddr)> {
        self.connected
            .iter()
            .map(|(_, listener)| listener.clone())
            .zip(self.addresses.iter().copied())
            .collect()
    }

    /// Opens every listener, UDP once for each of `workers` threads. Must be called on a runtime.
    pub fn open(listeners: &[Listener], workers: usize) -> Result<Self, BindError> {
        let mut opened = Self { addresses: Vec::new(), udp: Vec::new(), connected: Vec::new() };
        for wanted in listeners {
            let at = wanted.address;
            let failed = |cause| BindError { address: at, cause };
            let socket = if wanted.protocol.is_quic() {
                Socket::Quic(bind_udp(at)?)
            } else {
                let listener = if wanted.protocol == Protocol::Do53 {
                    let (udp, tcp) = bind_both(at, workers)?;
                    let proxies: Arc<[Prefix]> = wanted.proxies.clone().into();
                    opened.udp.extend(udp.into_iter().map(|socket| (socket, Arc::clone(&proxies))));
                    tcp
                } else {
                    bind_tcp(at)?
                };
                Socket::Tcp(TcpListener::from_std(listener).map_err(failed)?)
            };
            let at = match &socket {
                Socket::Tcp(listener) => listener.local_addr(),
                Socket::Quic(socket) => socket.local_addr(),
            };
            opened.addresses.push(at.map_err(failed)?);
            opened.connected.push((socket, wanted.clone()));
        }
        Ok(opened)
    }

    /// What answers over HTTP/2 say of where HTTP/3 is spoken (RFC 7838 section 3); `None` where it is not.
    fn alternative(&self) -> Option<HeaderValue> {
        let mut listeners = self.connected.iter().map(|(_, listener)| listener).zip(&self.addresses);
        let (_, at) = listeners.find(|(listener, _)| listener.protocol == Protocol::Doh3)?;
        HeaderValue::try_from(format!("h3=\":{}\"; ma=86400", at.port())).ok()
    }

    /// Begins to take questions.
    pub fn serve(self, needs: &Needs) -> io::Result<Serving> {
        let Needs { engine, certificate, limiter, cookies, statistics, stop_threads, stop } = needs;
        let workers = Arc::new(Workers::new(Arc::clone(engine)));
        let mut tasks = vec![tokio::spawn(Arc::clone(&workers).refresh(stop.clone()))];
        let mut servers = Vec::new();
        let alternative = self.alternative();
        for (socket, Listener { protocol, path, clients, proxies, limits, .. }) in self.connected {
            let (application, transport) = match protocol {
                Protocol::Doq => (Some(Application::Doq), Transport::Doq),
                Protocol::Do53 => (None, Transport::Tcp),
                Protocol::Doh => (Some(Application::Http), Transport::Doh),
                Protocol::Doh3 => (Some(Application::Http3), Transport::Doh),
                Protocol::Dot => (Some(Application::Dot), Transport::Dot),
            };
            let encrypted = |application| encrypted(certificate.as_ref(), application, clients);
            let tls = application.map(encrypted).transpose()?;
            servers.extend(tls.clone());
            let (statistics, stop, proxies) = (Arc::clone(statistics), stop.clone(), proxies.into());
            let workers = Arc::clone(&workers);
            let listener = match (socket, tls.clone()) {
                (Socket::Tcp(listener), _) => listener,
                (Socket::Quic(socket), Some(tls)) => {
                    let path = protocol.is_http().then(|| path.into());
                    let port = quic::Port { socket, path, tls, limits, statistics, stop };
                    tasks.push(tokio::spawn(quic::serve(port, workers)));
                    continue;
                }
                // It is encrypted by its nature.
                (Socket::Quic(_), None) => continue,
            };
            let entrance = Entrance { listener, transport, limits, proxies, statistics, stop };
            tasks.push(match tls {
                Some(tls) if protocol == Protocol::Doh => {
                    let place = https::Place { path: path.into(), alternative: alternative.clone() };
                    tokio::spawn(https::serve(entrance, tls, place, workers))
                }
                tls => tokio::spawn(stream::serve(entrance, tls, workers)),
            });
        }
        let mut threads = Vec::new();
        for (number, (socket, proxies)) in self.udp.into_iter().enumerate() {
            let (stop, statistics) = (Arc::clone(stop_threads), Arc::clone(statistics));
            let terms = Terms { proxies, cookies: cookies.clone(), limiter: limiter.clone() };
            threads.push(udp::spawn(number, (socket, terms), engine.thread_worker(), stop, statistics)?);
        }
        Ok(Serving { threads, tasks, servers })
    }
}

fn encrypted(
    certificate: Option<&Arc<Renewable>>,
    application: Application,
    clients: Option<Authority>,
) -> io::Result<Arc<Server>> {
    let certificate = certificate.ok_or_else(|| io::Error::other("there is no certificate"))?;
    let server = Server::new(Arc::clone(certificate), application, clients);
    server.map(Arc::new).map_err(io::Error::other)
}
