//! Owns the settings of a proxy, with their defaults and the reason for each. Plain values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::net::tls::Authority;

/// One place where connections are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where.
    pub address: SocketAddr,
    /// Who knows that it is there.
    pub mode: Mode,
    /// What becomes of a connection whose name does not lead to the address it goes to. Default to count it: a client that asked
    /// another resolver, or some minutes ago, may have another of a large site's addresses, and an operator sees first how many do.
    pub verify: Verify,
    /// Whether a connection in which no name is read is refused. Default no, it is judged by its address: what is no TLS and no HTTP would not
    /// work at all. A network that knows its protocols says yes.
    pub refuse_unnamed: bool,
    /// Whether the origin is told whose the connection is (PROXY protocol, version 2). Default no: only an origin that expects it understands it.
    pub tell_origin: bool,
    /// Whether QUIC is taken too, of a transparent proxy. Default no: that needs TPROXY and the capability CAP_NET_ADMIN for good, while a
    /// firewall that drops UDP to port 443 makes browsers use TCP.
    pub quic: bool,
    /// Ports that an explicit proxy connects to; none for all. Default 80 and 443: what else a proxy reaches, such as a mail server, was never
    /// meant to be reached by it.
    pub ports: Vec<u16>,
    /// Whether clients of an explicit proxy speak to it inside of TLS, with the certificate that all encrypted listeners show. Default no: browsers
    /// take such a proxy from a configuration only (`HTTPS` in a PAC file).
    pub is_encrypted: bool,
    /// Whose certificates clients may show; `None` for nobody's.
    pub clients: Option<Authority>,
    /// The file of users and their passwords' hashes; `None` for no users.
    pub users: Option<PathBuf>,
    /// What a client must show to be served. Default nothing: it is known by its address.
    pub require: Option<Required>,
    /// Files with the words of further languages. Default none: English and French are built in.
    pub words: Vec<PathBuf>,
    /// Connections at once. Default 10,000: an idle one costs 2 KiB here and two sockets in the kernel.
    pub connections: usize,
    /// Connections at once from one address, or one /64 of IPv6. Default 1000: many devices may share an address, and none may take all.
    pub connections_of_client: usize,
    /// Time within which a client must have said whom it wants. Default 5 s: two lost packets on a slow line.
    pub head: Duration,
    /// Time within which the origin must be connected to. Default 10 s: browsers wait for longer, but not people.
    pub connect: Duration,
    /// Time without a byte in either direction after which a connection ends. Default 5 min: what lives longer in silence sends something to keep
    /// it alive, for every firewall on the way.
    pub idle: Duration,
}

/// What a client of an explicit proxy must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// A certificate that an authority of the operator's vouches for.
    Certificate,
    /// That, or a user's name and password.
    Either,
    /// A user's name and password.
    User,
}

/// Who knows that a proxy is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Clients, who ask it (HTTP, SOCKS).
    Explicit,
    /// Nobody: the sinkhole's address is here, and who is sent there is shown why.
    Page,
    /// Nobody: the kernel brings it what was meant for others.
    Transparent,
}

/// What becomes of a connection whose name does not lead where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// It is counted.
    Count,
    /// Nobody looks.
    Off,
    /// It is refused.
    Refuse,
}

impl Config {
    /// The defaults.
    pub fn new(mode: Mode, address: SocketAddr) -> Self {
        Self {
            address,
            mode,
            verify: Verify::Count,
            refuse_unnamed: false,
            tell_origin: false,
            quic: false,
            ports: vec![80, 443],
            is_encrypted: false,
            clients: None,
            users: None,
            require: None,
            words: Vec::new(),
            connections: 10_000,
            connections_of_client: 1000,
            head: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(300),
        }
    }
}
