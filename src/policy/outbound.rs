//! Owns what an operator says about where a group's clients may connect to: anywhere, or only where their own questions led them, what
//! they may reach beside that, and whether they may hide which server they want. Plain values; never knows what anybody was answered.

use std::fmt;
use std::str::FromStr;

use super::client::Prefix;
use super::instrument::words;
use super::snapshot::Snapshot;

words! {
    /// Where a group's clients may connect to.
    Outbound {
        /// Anywhere, as far as this is concerned.
        Off = "off",
        /// Only to addresses that they were answered, and to what they may always reach.
        ResolvedOnly = "resolved-only",
        /// Anywhere; what they would be kept from is counted and logged.
        Shadow = "shadow",
    }
}

words! {
    /// What becomes of the keys for an encrypted ClientHello in SVCB and HTTPS records (RFC 9460, key 5).
    Ech {
        /// They stay.
        Keep = "keep",
        /// They are taken out, so that clients say in the clear which server they want.
        Strip = "strip",
    }
}

/// What a group's clients may always reach: a network, a service, or a service in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where; `None` for everywhere.
    pub network: Option<Prefix>,
    /// What; `None` for everything.
    pub service: Option<Service>,
}

/// A protocol and its ports, from first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Whether it is UDP; TCP otherwise.
    pub is_udp: bool,
    /// The first port.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

impl Snapshot {
    /// Where the clients of a group may connect to.
    #[inline]
    pub fn outbound(&self, group: u16) -> Outbound {
        self.groups.get(usize::from(group)).map_or(Outbound::Off, |group| group.outbound)
    }

    /// What becomes of keys for an encrypted ClientHello in answers to a group.
    #[inline]
    pub fn ech(&self, group: u16) -> Ech {
        self.groups.get(usize::from(group)).map_or(Ech::Keep, |group| group.ech)
    }

    /// True when a finished reply to some group is looked at once more: it may have to wait, or loses something.
    pub fn attends(&self) -> bool {
        self.guards() || self.groups.iter().any(|group| group.ech == Ech::Strip)
    }

    /// What the clients of a group may always reach.
    pub fn reach(&self, group: u16) -> &[Destination] {
        self.groups.get(usize::from(group)).map_or(&[], |group| &group.reach)
    }

    /// True when it matters for any group what its clients were answered.
    pub fn guards(&self) -> bool {
        self.groups.iter().any(|group| group.outbound != Outbound::Off)
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_service = |text: &str| text.starts_with("tcp/") || text.starts_with("udp/");
        let (network, service) = match text.split_once(' ') {
            Some((network, service)) => (Some(network), Some(service)),
            None if is_service(text) => (None, Some(text)),
            None => (Some(text), None),
        };
        Ok(Self {
            network: network.map(|text| text.parse::<Prefix>().map_err(str::to_owned)).transpose()?,
            service: service.map(str::parse).transpose()?,
        })
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, ports) = text.split_once('/').unwrap_or((text, ""));
        let is_udp = match protocol {
            "tcp" => false,
            "udp" => true,
            _ => return Err(format!("`{protocol}` is neither tcp nor udp")),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is not a port"));
        let (first, last) = (port(first)?, port(last)?);
        if first > last { Err(format!("{first} is behind {last}")) } else { Ok(Self { is_udp, first, last }) }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.network, self.service) {
            (Some(network), Some(service)) => write!(f, "{network} {service}"),
            (Some(network), None) => write!(f, "{network}"),
            (None, Some(service)) => write!(f, "{service}"),
            (None, None) => f.write_str("everything"),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_udp, first, last } = self;
        write!(f, "{}/{first}", if *is_udp { "udp" } else { "tcp" })?;
        if first == last { Ok(()) } else { write!(f, "-{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_network_a_service_or_both() {
        for text in
            ["10.0.0.0/8", "udp/123", "2001:db8::/32 tcp/22", "192.0.2.7/32 udp/10000-20000", "tcp/0-65535"]
        {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "udp",
            "icmp/1",
            "udp/",
            "udp/70000",
            "tcp/9-8",
            "10.0.0.1/8",
            "10.0.0.0/8 x",
            "tcp/1 10.0.0.0/8",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
