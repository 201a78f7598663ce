//! Owns which answers lead inside although their names are the public's: a page whose name first leads to its own server and then to a
//! printer has the visitor's browser talk to the printer (DNS rebinding). Never looks into a message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::client::Prefix;
use crate::dns::{CanonicalName, Name, Nat64};

/// Whether such answers are refused. Default no: many networks have names of their own in public zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebinding {
    /// Whether an answer to a public name may hold a private address.
    pub refuse_private: bool,
    /// Zones that may.
    pub allow: Vec<Name>,
    /// What else counts as inside: public addresses of a network's own.
    pub addresses: Vec<Prefix>,
}

impl Rebinding {
    /// True when an answer to `name` with these addresses is to be refused.
    pub fn refuses(&self, name: &CanonicalName, mut addresses: impl Iterator<Item = IpAddr>) -> bool {
        self.refuse_private && addresses.any(|address| self.is_inside(address)) && !self.allows(name)
    }

    fn allows(&self, name: &CanonicalName) -> bool {
        self.allow.iter().any(|zone| name.is_at_or_below(zone))
    }

    fn is_inside(&self, address: IpAddr) -> bool {
        is_private(address) || self.addresses.iter().any(|prefix| prefix.holds(address))
    }
}

/// True for an address that means something else in every network, or nothing: unspecified and "this network" (RFC 1122 section 3.2.1.3), private
/// (RFC 1918), shared (RFC 6598), loopback, link-local (RFC 3927, RFC 4291 section 2.5.6), unique local (RFC 4193), and those mapped
/// into IPv6.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            first == 0
                || address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || (first == 100 && second & 0xC0 == 64)
        }
        IpAddr::V6(address) => {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

/// The address that stands for `address` behind a translator; `None` when none does. The prefix that everybody knows stands for addresses
/// that everybody knows (RFC 6052 section 3.1).
pub fn translated(prefix: Nat64, address: Ipv4Addr) -> Option<Ipv6Addr> {
    let is_known = prefix != Nat64::WELL_KNOWN || !is_private(address.into());
    is_known.then(|| prefix.embed(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_told_from_those_outside() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "::",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.2.1",
            "2001:db8::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(!is_private(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn zones_and_own_prefixes_count() {
        let rebinding = Rebinding {
            refuse_private: true,
            allow: vec!["corp.example".parse().unwrap()],
            addresses: vec!["198.51.100.0/24".parse().unwrap()],
        };
        let refuses = |name: &str, address: &str| {
            let name = CanonicalName::from(&name.parse::<Name>().unwrap());
            rebinding.refuses(&name, [address.parse().unwrap()].into_iter())
        };
        assert!(refuses("evil.example", "10.0.0.1") && refuses("evil.example", "198.51.100.7"));
        assert!(!refuses("evil.example", "192.0.2.1"));
        assert!(!refuses("corp.example", "10.0.0.1") && !refuses("a.corp.example", "10.0.0.1"));
        assert!(refuses("xcorp.example", "10.0.0.1"));
    }
}
