//! Owns how upstreams are named, and the settings of forwarding. Never opens a socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::recurse::roots;
use super::secure::{Anchors, Exempt};
use crate::dns::{Name, Nat64};
use crate::net::tls::{CertificateError, Client, Peer, Pin};
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
    /// How long a new key of the root must be seen, signed by a trusted one, before it is trusted; the root is looked at every 720th of
    /// that at most. Default 30 days, as RFC 5011 section 2.4.1 has it. Zero: the root's keys are not followed.
    pub hold_down: Duration,
    /// Where the root is, in a file of the form of `named.root`; `None` for the world's.
    pub root_hints: Option<PathBuf>,
    /// Zones that are not validated for a while.
    pub exempt: Vec<Exempt>,
    /// Whether what validated answers prove of other names is answered from that (RFC 8198). Default true: a name that is proved not to
    /// exist need not be asked for, and a flood of made-up names in a signed zone costs its servers and this host next to nothing. Who
    /// watches a zone for names that appear within a negative TTL turns it off.
    pub aggressive_nsec: bool,
    /// The translator's prefix in which names without an IPv6 address get one; `None`, the default, for none.
    pub dns64: Option<Nat64>,
    /// Resolvers to ask, in order of preference while nothing is known of their speed.
    pub servers: Vec<Upstream>,
    /// Zones that are asked elsewhere; the longest matching zone decides.
    pub routes: Vec<Route>,
    /// Whether servers that are named in clear are asked inside of TLS where they speak it (RFC 9539). Default no: what an operator writes is
    /// what is done, and a firewall between may count connections to port 853 as an attempt to get around it.
    pub is_opportunistic: bool,
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
    /// Where on it DNS over HTTPS is asked for, from the first `/` on; elsewhere empty.
    pub path: String,
    /// The keys that it may have; without any, whichever its certificate holds.
    pub pins: Vec<Pin>,
}

/// How an upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Only inside of HTTP/2 (RFC 8484), never in clear.
    Https,
    /// Only inside of QUIC (RFC 9250), never in clear.
    Quic,
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
            hold_down: Duration::from_secs(30 * 86_400),
            root_hints: None,
            exempt: Vec::new(),
            aggressive_nsec: true,
            dns64: None,
            servers: Vec::new(),
            routes: Vec::new(),
            is_opportunistic: false,
            timeout: Duration::from_secs(2),
            deadline: Duration::from_millis(4500),
            authorities: None,
        }
    }
}

impl Config {
    /// What sessions with servers inside of TLS go by; `None` when there are none.
    pub(super) fn client(&self) -> Option<Result<Client, CertificateError>> {
        let routed = self.routes.iter().flat_map(|route| &route.servers);
        let is_encrypted = |server: &Upstream| server.protocol.application().is_some();
        let any = self.servers.iter().chain(routed).any(is_encrypted);
        any.then(|| Client::new(self.authorities.as_deref()))
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
        let error = self.client()?.err()?;
        Some(Problem::error(Place::file("[upstream] ca"), error.to_string(), error.hint()))
    }
}

impl Protocol {
    /// What is spoken inside of TLS (ALPN); `None` where there is none.
    pub(super) fn application(self) -> Option<&'static [u8]> {
        match self {
            Self::Https => Some(b"h2"),
            Self::Quic => Some(b"doq"),
            Self::Tls => Some(b"dot"),
            Self::Tcp | Self::Udp => None,
        }
    }

    /// The scheme that names it.
    fn scheme(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Quic => "quic",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }

    /// The port unless another is written.
    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Quic | Self::Tls => 853,
            Self::Tcp | Self::Udp => 53,
        }
    }
}

impl Upstream {
    /// A resolver that is asked in clear at `address`.
    pub(super) fn plain(protocol: Protocol, address: SocketAddr) -> Self {
        Self { protocol, address, name: None, path: String::new(), pins: Vec::new() }
    }

    /// The name, or address, that its certificate must hold.
    pub(super) fn host(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.ip().to_string())
    }

    /// Whom its certificate must speak for, where it shows one.
    pub(super) fn peer(&self) -> Option<Peer> {
        self.protocol.application().and_then(|_| Peer::named(&self.host()))
    }
}

/// Where DNS over HTTPS is asked for unless something else is written: where nearly everybody has it.
const PATH: &str = "/dns-query";

impl FromStr for Upstream {
    type Err = String;

    /// `udp://192.0.2.1:53`, `tcp://[2001:db8::1]`, `tls://192.0.2.1#dns.example`, `https://192.0.2.1/dns-query?pin=…#dns.example`,
    /// `quic://192.0.2.1`, or a bare address; the port is the scheme's own unless written.
    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once("://") {
            None => (Protocol::Udp, text),
            Some((scheme, rest)) => {
                let all = [Protocol::Https, Protocol::Quic, Protocol::Tcp, Protocol::Tls, Protocol::Udp];
                let known = all.into_iter().find(|known| known.scheme() == scheme);
                (known.ok_or_else(|| format!("{scheme}:// is not a way to ask a resolver"))?, rest)
            }
        };
        let is_encrypted = protocol.application().is_some();
        let (rest, name) = match rest.split_once('#') {
            Some(_) if !is_encrypted => {
                return Err("only a server inside of TLS has a name".to_owned());
            }
            Some((_, name)) if Peer::named(name).is_none() => {
                return Err(format!("`{name}` is not a server's name"));
            }
            Some((rest, name)) => (rest, Some(name.to_ascii_lowercase())),
            None => (rest, None),
        };
        let (rest, pins) = match rest.split_once('?') {
            Some(_) if !is_encrypted => return Err("only a server inside of TLS has a key".to_owned()),
            Some((rest, query)) => (rest, pins(query)?),
            None => (rest, Vec::new()),
        };
        let (rest, path) = match (protocol, rest.find('/')) {
            (Protocol::Https, Some(at)) => rest.split_at(at),
            (Protocol::Https, None) => (rest, PATH),
            _ => (rest, ""),
        };
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("`{path}` is not a path"));
        }
        let bare = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest);
        let address = rest
            .parse()
            .or_else(|_| bare.parse().map(|address: IpAddr| SocketAddr::new(address, protocol.port())))
            .map_err(|_| match is_encrypted && Peer::named(rest).is_some() {
                // Somebody would have to be asked for it first, in clear.
                true => format!("`{rest}` is a name: write its address, and the name behind `#`"),
                false => "not an address, or an address and port".to_owned(),
            })?;
        Ok(Self { protocol, address, name, path: path.to_owned(), pins })
    }
}

/// The keys in `pin=…&pin=…`.
fn pins(query: &str) -> Result<Vec<Pin>, String> {
    let one = |word: &str| {
        let pin = word.strip_prefix("pin=");
        pin.ok_or_else(|| format!("`{word}` is not `pin=` and the SHA-256 of a key in base 64"))?.parse()
    };
    query.split('&').map(one).collect()
}

impl fmt::Display for Upstream {
    /// As it is written, but for its keys: they say how sure it is, not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.protocol.scheme(), self.address, self.path)?;
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
        .map(|address| Upstream::plain(Protocol::Udp, SocketAddr::new(address, Protocol::Udp.port())))
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
            ("https://9.9.9.9#dns.quad9.net", "https://9.9.9.9:443/dns-query#dns.quad9.net"),
            ("https://[2001:db8::1]:8443/own", "https://[2001:db8::1]:8443/own"),
            (
                "quic://9.9.9.9?pin=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=#dns.quad9.net",
                "quic://9.9.9.9:853#dns.quad9.net",
            ),
        ] {
            assert_eq!(text.parse::<Upstream>().map(|upstream| upstream.to_string()), Ok(shown.to_owned()));
        }
        for (wrong, why) in [
            ("udp://9.9.9.9#dns.quad9.net", "only a server inside of TLS has a name"),
            ("udp://9.9.9.9?pin=A", "only a server inside of TLS has a key"),
            ("tls://9.9.9.9#a b", "is not a server's name"),
            ("tls://9.9.9.9?pin=A", "is not the SHA-256 of a key"),
            ("tls://9.9.9.9?key=A", "is not `pin=`"),
            ("https://9.9.9.9/a b", "is not a path"),
            ("https://dns.quad9.net/dns-query", "is a name: write its address, and the name behind `#`"),
            ("tls://9.9.9.9/dns-query", "not an address"),
            ("dns.example", "not an address"),
            ("sdns://x", "is not a way to ask"),
        ] {
            let said = wrong.parse::<Upstream>().unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_systems_resolvers_are_found() {
        let text =
            "# c\nsearch x\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # two\nnameserver fe80::1%eth0\n";
        let found: Vec<String> = system_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["udp://192.0.2.1:53", "udp://[2001:db8::1]:53"]);
    }
}
