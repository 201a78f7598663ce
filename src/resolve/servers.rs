//! Owns which servers there are, which may be asked a name, and which is asked next. Never sends anything.

use std::io;

use super::health::Health;
use super::kept::Kept;
use super::ports::Ports;
use super::private::Private;
use super::upstream::{Config, Protocol, Upstream};
use crate::clock::Clock;
use crate::dns::{CanonicalName, Name};
use crate::net::tls::Client;

/// One upstream: what is known of it, and the sockets to it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) health: Health,
    /// Only when it is asked over UDP.
    pub(super) ports: Option<Ports>,
    /// Only when it is asked over kept connections.
    pub(super) kept: Option<Kept>,
    /// Only when it is named in clear, and may be asked inside of TLS all the same.
    pub(super) private: Option<Private>,
}

impl Server {
    /// True while questions to it go inside of TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        let is_private = self.private.as_ref().is_some_and(Private::is_open);
        is_private || self.health.upstream.protocol.application().is_some()
    }
}

/// All upstreams; each is a number.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Server>,
    /// The servers of each zone, the longest zones first. The last is for every other name.
    zones: Vec<(Name, Vec<u16>)>,
}

impl Servers {
    /// The configured upstreams; one that is named twice is watched once, and may have the keys of both.
    pub(super) fn new(config: &Config) -> io::Result<Self> {
        let mut known: Vec<Upstream> = Vec::new();
        let mut number = |upstream: &Upstream| {
            let shown = upstream.to_string();
            match known.iter_mut().zip(0..).find(|(known, _)| known.to_string() == shown) {
                Some((known, number)) => {
                    known.pins.extend(&upstream.pins);
                    number
                }
                None => {
                    known.push(upstream.clone());
                    (known.len() - 1) as u16
                }
            }
        };
        let default = config.servers.iter().map(&mut number).collect();
        let mut zones: Vec<(Name, Vec<u16>)> = config
            .routes
            .iter()
            .map(|route| (route.zone.clone(), route.servers.iter().map(&mut number).collect()))
            .collect();
        zones.sort_by_key(|(zone, _)| std::cmp::Reverse(zone.label_count()));
        zones.push((Name::root(), default));
        let datagrams = known.iter().filter(|upstream| upstream.protocol == Protocol::Udp).count();
        let client = config.client().transpose();
        let client = client.map_err(|error| io::Error::other(format!("{error}; {}", error.hint())))?;
        let anyone = config.is_opportunistic.then(|| Client::for_anyone(b"dot")).transpose();
        let anyone = anyone.map_err(|error| io::Error::other(error.to_string()))?;
        let server = |(number, upstream): (usize, &Upstream)| Server {
            health: Health::new(upstream.clone()),
            private: anyone
                .as_ref()
                .filter(|_| upstream.protocol.application().is_none())
                .map(|client| Private::new(upstream, client)),
            kept: (upstream.protocol != Protocol::Udp).then(|| Kept::new(upstream, client.as_ref())),
            ports: (upstream.protocol == Protocol::Udp)
                .then(|| Ports::new(upstream.address, number, datagrams)),
        };
        Ok(Self { all: known.iter().enumerate().map(server).collect(), zones })
    }

    pub(super) fn all(&self) -> &[Server] {
        &self.all
    }

    /// The number of the servers that may be asked `name`, and whether a route says so.
    pub(super) fn route(&self, name: &CanonicalName) -> (usize, bool) {
        let last = self.zones.len() - 1;
        match self.zones.iter().take(last).position(|(zone, _)| name.is_at_or_below(zone)) {
            Some(found) => (found, true),
            None => (last, false),
        }
    }

    /// True when there are several servers for a zone.
    pub(super) fn has_others(&self, zone: usize) -> bool {
        self.zones.get(zone).is_some_and(|(_, servers)| servers.len() > 1)
    }

    /// The server to ask beside `late`, which is: the fastest that is healthy, and nowhere else, for nobody waits for a risk. What went
    /// inside of TLS goes nowhere else in clear.
    pub(super) fn choose_beside(&self, late: u16, zone: usize, tried: &[u16]) -> Option<(u16, &Server)> {
        let (_, numbers) = self.zones.get(zone)?;
        let late = (late, self.all.get(usize::from(late))?);
        let is_fit = |(number, server): &(u16, &Server)| {
            *number != late.0
                && !tried.contains(number)
                && !server.health.is_down()
                && server.health.upstream.address != late.1.health.upstream.address
                && (server.is_encrypted() || !late.1.is_encrypted())
        };
        let servers = numbers.iter().filter_map(|&number| Some((number, self.all.get(usize::from(number))?)));
        servers.filter(is_fit).min_by_key(|(_, server)| server.health.speed())
    }

    /// The next server to ask in a round: one that is down and due for a probe, when luck has it; then the healthy ones,
    /// the fastest first and now and then another, so that its speed stays known; last those that are down. `None` when
    /// all were tried.
    pub(super) fn choose(&self, zone: usize, tried: &[u16], clock: &Clock) -> Option<(u16, &Server)> {
        /// One question in this many goes to another than the fastest.
        const EXPLORE: u32 = 20;
        let (_, numbers) = self.zones.get(zone)?;
        let untried = numbers
            .iter()
            .filter(|number| !tried.contains(number))
            .filter_map(|&number| Some((number, self.all.get(usize::from(number))?)));
        let first = tried.is_empty();
        // A probe goes only first, where a healthy server can still answer in time after it.
        let probe = untried
            .clone()
            .find(|(_, server)| first && server.health.is_down() && server.health.claim_probe(clock.now()));
        if probe.is_some() {
            return probe;
        }
        let healthy = untried.clone().filter(|(_, server)| !server.health.is_down());
        let Some(fastest) = healthy.clone().min_by_key(|(_, server)| server.health.speed()) else {
            return untried.clone().next();
        };
        if first && numbers.len() > 1 && fastrand::u32(..EXPLORE) == 0 {
            let others = healthy.filter(|(number, _)| *number != fastest.0);
            let count = others.clone().count();
            if count > 0 {
                return others.clone().nth(fastrand::usize(..count));
            }
        }
        Some(fastest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_inside_of_tls_goes_nowhere_else_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let made = rcgen::generate_simple_self_signed(vec!["dns.example".to_owned()]).unwrap();
        std::fs::write(&file, made.cert.pem()).unwrap();
        let named = ["tls://192.0.2.1", "udp://192.0.2.2", "quic://192.0.2.3", "tcp://192.0.2.2:53"];
        let servers = named.iter().map(|text| text.parse().unwrap()).collect();
        let all = Servers::new(&Config { servers, authorities: Some(file), ..Config::default() }).unwrap();
        let beside = |late, tried: &[u16]| all.choose_beside(late, 0, tried).map(|(number, _)| number);
        assert_eq!((beside(0, &[]), beside(0, &[2])), (Some(2), None));
        assert_eq!((beside(2, &[]), beside(2, &[0])), (Some(0), None));
        assert_eq!((beside(1, &[]), beside(1, &[0, 2])), (Some(0), None), "not the same host by another way");
        let now = Clock::system().now();
        (0..3).for_each(|_| all.all()[2].health.failed(now));
        assert_eq!(beside(0, &[]), None, "nor one that is down");
    }
}
