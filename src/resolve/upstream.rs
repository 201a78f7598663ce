//! Owns how upstreams are named, and the settings of forwarding. Never opens a socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::recurse::roots;
use super::secure::{Anchors, Exempt};
use crate::dns::{Name, Nat64};
use crate::net::tls::{Client, Peer};
use crate::problem::{Place, Problem};

/// Settings of resolving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether upstreams are asked, or the authoritative servers themselves.
    pub mode: Mode,
    /// Whether answers are validated. `None`, the default, is yes while recursing, where nobody else did, and no while forwarding
    /// to resolvers that do.
    pub dnssec: Option<Dnssec>,
    /// Where trust starts, in a file of DNSKEY records; `None` for the root's keys that came with the program.
    pub trust_anchor: Option<PathBuf>,
    /// Where the root is, in a file of the form of `named.root`; `None` for the world's.
    pub root_hints: Option<PathBuf>,
    /// Zones that are not validated for a while.
    pub exempt: Vec<Exempt>,
    /// The translator's prefix in which names without an IPv6 address get one; `None`, the default, for none.
    pub dns64: Option<Nat64>,
    /// Resolvers to ask, in order of preference while nothing is known of their speed.
    pub servers: Vec<Upstream>,
    /// Zones that are asked elsewhere; the longest matching zone decides.
    pub routes: Vec<Route>,
    /// Longest wait for one answer. Default 2 s: longer than any healthy resolver takes, short enough for a second try
    /// within the five seconds after which clients give up.
    pub timeout: Duration,
    /// Longest wait over all tries. Default 4.5 s, just before the client's own patience ends.
    pub deadline: Duration,
    /// The only authorities, in a PEM file, by which upstreams inside of TLS may be certified; without one, the system's.
    pub authorities: Option<PathBuf>,
}

/// A zone and the resolvers to ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The zone; it and everything below it.
    pub zone: Name,
    /// Resolvers to ask.
    pub servers: Vec<Upstream>,
}

/// One resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Upstream {
    /// How it is asked.
    pub protocol: Protocol,
    /// Where it is.
    pub address: SocketAddr,
    /// The name that its certificate must hold; without one, its address.
    pub name: Option<String>,
}

/// How an upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Only over TCP.
    Tcp,
    /// Only inside of TLS (RFC 7858), never in clear.
    Tls,
    /// Over UDP, and over TCP when an answer was truncated.
    Udp,
}

/// Whom questions go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// To other resolvers.
    #[default]
    Forward,
    /// To authoritative servers, from the root down.
    Recurse,
}

/// What is made of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dnssec {
    /// They are passed on to whom they mean something.
    Pass,
    /// They are checked, and what is bogus is not passed on.
    Validate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Forward,
            dnssec: None,
            trust_anchor: None,
            root_hints: None,
            exempt: Vec::new(),
            dns64: None,
            servers: Vec::new(),
            routes: Vec::new(),
            timeout: Duration::from_secs(2),
            deadline: Duration::from_millis(4500),
            authorities: None,
        }
    }
}

impl Config {
    /// True when some server is asked inside of TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        let routed = self.routes.iter().flat_map(|route| &route.servers);
        self.servers.iter().chain(routed).any(|server| server.protocol == Protocol::Tls)
    }

    /// How answers come about, in words that are equal where that is.
    pub fn terms(&self) -> String {
        let Self { mode, trust_anchor, root_hints, exempt, dns64, servers, routes, .. } = self;
        format!(
            "{mode:?} {:?} {trust_anchor:?} {root_hints:?} {exempt:?} {dns64:?} {servers:?} {routes:?}",
            self.dnssec()
        )
    }

    /// True when no other resolver is asked but for routes.
    pub fn is_recursive(&self) -> bool {
        self.mode == Mode::Recurse
    }

    /// What is made of signatures.
    pub(super) fn dnssec(&self) -> Dnssec {
        let by_mode = || if self.mode == Mode::Recurse { Dnssec::Validate } else { Dnssec::Pass };
        self.dnssec.unwrap_or_else(by_mode)
    }

    /// What would keep questions from being resolved.
    pub fn problems(&self) -> Option<Problem> {
        if let Err(error) = Anchors::read(self.trust_anchor.as_deref()) {
            return Some(Problem::error(
                Place::file("[upstream] trust_anchor"),
                error.to_string(),
                error.hint(),
            ));
        }
        if let Some(Err(error)) = self.root_hints.as_deref().map(|file| roots(Some(file))) {
            let hint =
                "write lines such as `a.root-servers.net. 3600000 A 198.41.0.4`, as in IANA's named.root";
            return Some(Problem::error(Place::file("[upstream] root_hints"), error, hint));
        }
        let client = self.is_encrypted().then(|| Client::new(self.authorities.as_deref(), b"dot"));
        let error = client?.err()?;
        Some(Problem::error(Place::file("[upstream] ca"), error.to_string(), error.hint()))
    }
}

impl Upstream {
    /// Whom its certificate must speak for, where it shows one.
    pub(super) fn peer(&self) -> Option<Peer> {
        let of = |name: &String| Peer::named(name);
        let address = || Peer::named(&self.address.ip().to_string());
        (self.protocol == Protocol::Tls).then(|| self.name.as_ref().map_or_else(address, of)).flatten()
    }
}

impl FromStr for Upstream {
    type Err = String;

    /// `udp://192.0.2.1:53`, `tcp://[2001:db8::1]`, `tls://192.0.2.1#dns.example`, or a bare address; the port is 53 unless written, inside of
    /// TLS 853.
    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once("://") {
            None => (Protocol::Udp, text),
            Some(("udp", rest)) => (Protocol::Udp, rest),
            Some(("tcp", rest)) => (Protocol::Tcp, rest),
            Some(("tls", rest)) => (Protocol::Tls, rest),
            Some((scheme @ ("https" | "quic"), _)) => {
                return Err(format!("{scheme}:// is not supported yet"));
            }
            Some((scheme, _)) => return Err(format!("{scheme}:// is not a way to ask a resolver")),
        };
        let (rest, name) = match rest.split_once('#') {
            Some((rest, name)) if protocol == Protocol::Tls && Peer::named(name).is_some() => {
                (rest, Some(name.to_ascii_lowercase()))
            }
            Some((_, name)) if protocol == Protocol::Tls => {
                return Err(format!("`{name}` is not a server's name"));
            }
            Some(_) => return Err("only a server inside of TLS has a name".to_owned()),
            None => (rest, None),
        };
        let port = if protocol == Protocol::Tls { 853 } else { 53 };
        let bare = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest);
        let address = rest
            .parse()
            .or_else(|_| bare.parse().map(|address: IpAddr| SocketAddr::new(address, port)))
            .map_err(|_| "not an address, or an address and port".to_owned())?;
        Ok(Self { protocol, address, name })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::Udp => "udp",
        };
        write!(f, "{scheme}://{}", self.address)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, "#{name}"))
    }
}

/// The `nameserver` lines of a `resolv.conf`. Addresses with a zone (`fe80::1%eth0`) are left out.
pub fn system_servers(resolv_conf: &str) -> Vec<Upstream> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with(char::is_whitespace))
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<IpAddr>().ok())
        .map(|address| Upstream {
            protocol: Protocol::Udp,
            address: SocketAddr::new(address, 53),
            name: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_read_and_shown() {
        for (text, shown) in [
            ("192.0.2.1", "udp://192.0.2.1:53"),
            ("udp://192.0.2.1:5300", "udp://192.0.2.1:5300"),
            ("tcp://[2001:db8::1]", "tcp://[2001:db8::1]:53"),
            ("2001:db8::1", "udp://[2001:db8::1]:53"),
            ("tls://9.9.9.9#DNS.quad9.net", "tls://9.9.9.9:853#dns.quad9.net"),
            ("tls://[2001:db8::1]:8853", "tls://[2001:db8::1]:8853"),
        ] {
            assert_eq!(text.parse::<Upstream>().map(|upstream| upstream.to_string()), Ok(shown.to_owned()));
        }
        assert_eq!("quic://9.9.9.9".parse::<Upstream>(), Err("quic:// is not supported yet".to_owned()));
        assert!("udp://9.9.9.9#dns.quad9.net".parse::<Upstream>().is_err());
        assert!("tls://9.9.9.9#a b".parse::<Upstream>().is_err());
        assert!("dns.example".parse::<Upstream>().is_err());
    }

    #[test]
    fn the_systems_resolvers_are_found() {
        let text =
            "# c\nsearch x\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # two\nnameserver fe80::1%eth0\n";
        let found: Vec<String> = system_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["udp://192.0.2.1:53", "udp://[2001:db8::1]:53"]);
    }
}
