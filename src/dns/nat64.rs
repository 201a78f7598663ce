//! Owns the mapping of IPv4 addresses into an IPv6 prefix and back (RFC 6052 section 2), by which hosts with IPv6 alone reach what has
//! none. Never resolves anything.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{CanonicalName, Name};

/// A prefix of a translator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64 {
    network: Ipv6Addr,
    length: u8,
}

/// Lengths that a prefix may have (RFC 6052 section 2.2).
const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

impl Nat64 {
    /// The prefix that everybody knows (RFC 6052 section 2.1).
    pub const WELL_KNOWN: Self = Self { network: Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), length: 96 };

    /// Where the bytes of an IPv4 address stand; byte 8 is left out (RFC 6052 section 2.2).
    fn places(self) -> impl Iterator<Item = usize> {
        let begin = usize::from(self.length / 8);
        (begin..16).filter(|at| *at != 8).take(4)
    }

    /// The IPv6 address that stands for `address`.
    pub fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.network.octets();
        for (at, byte) in self.places().zip(address.octets()) {
            if let Some(octet) = octets.get_mut(at) {
                *octet = byte;
            }
        }
        octets.into()
    }

    /// The prefix that stands for a whole network of IPv4: its first address and its length.
    pub fn embed_network(self, first: Ipv4Addr, length: u8) -> (Ipv6Addr, u8) {
        let end = self.length + length.min(32);
        // Byte 8 is none of the address's.
        let end = if self.length <= 64 && end > 64 { end + 8 } else { end };
        (self.embed(first), end)
    }

    /// The IPv4 address that `address` stands for, if it is one of the prefix's.
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = address.octets();
        let mut found = [0; 4];
        for (at, byte) in self.places().zip(&mut found) {
            *byte = *octets.get(at)?;
        }
        let found = Ipv4Addr::from(found);
        // All else must be as it would be made: an address with other bits set is another host's.
        (self.embed(found) == address).then_some(found)
    }

    /// The name in `in-addr.arpa` that stands for `name`, the reverse name of an address of the prefix.
    pub fn reverse(self, name: &CanonicalName) -> Option<Name> {
        if name.label_count() != 34 || (name.label(32), name.label(33)) != (b"ip6", b"arpa") {
            return None;
        }
        let mut octets = [0u8; 16];
        for at in 0..32 {
            let &[digit] = name.label(at) else { return None };
            let nibble = char::from(digit).to_digit(16)? as u8;
            let octet = octets.get_mut(15 - at / 2)?;
            *octet |= if at % 2 == 0 { nibble } else { nibble << 4 };
        }
        let [a, b, c, d] = self.extract(octets.into())?.octets();
        format!("{d}.{c}.{b}.{a}.in-addr.arpa").parse().ok()
    }
}

impl FromStr for Nat64 {
    type Err = String;

    /// `64:ff9b::/96`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (network, length) = text.split_once('/').ok_or("no length behind a `/`")?;
        let network: Ipv6Addr = network.parse().map_err(|_| "not an IPv6 prefix".to_owned())?;
        let length: u8 = length.parse().map_err(|_| "not a length".to_owned())?;
        if !LENGTHS.contains(&length) {
            return Err("a translator's prefix has 32, 40, 48, 56, 64 or 96 bits (RFC 6052)".to_owned());
        }
        let prefix = Self { network, length };
        let bits = u128::from(network);
        if bits << length != 0 {
            return Err("bits are set behind the prefix".to_owned());
        }
        // Where the length alone does not see to it.
        if network.octets().get(8).is_some_and(|octet| *octet != 0) {
            return Err("bits 64 to 71 of a translator's prefix are zero (RFC 6052 section 2.2)".to_owned());
        }
        Ok(prefix)
    }
}

impl fmt::Display for Nat64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6052 section 2.4.
    #[test]
    fn addresses_are_mapped_as_the_standard_shows() {
        let address: Ipv4Addr = "192.0.2.33".parse().unwrap();
        for (prefix, expected) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let prefix: Nat64 = prefix.parse().unwrap();
            let expected: Ipv6Addr = expected.parse().unwrap();
            assert_eq!(prefix.embed(address), expected, "{prefix}");
            assert_eq!(prefix.extract(expected), Some(address), "{prefix}");
        }
        let known = Nat64::WELL_KNOWN;
        assert_eq!(known.extract("2001:db8::1".parse().unwrap()), None);
        let wide: Nat64 = "2001:db8::/32".parse().unwrap();
        assert_eq!(wide.extract("2001:db8:c000:221::1".parse().unwrap()), None, "bits behind the address");
    }

    #[test]
    fn networks_are_mapped_whole_and_alone() {
        for (prefix, network, expected) in [
            ("64:ff9b::/96", "192.0.2.0/24", ("64:ff9b::192.0.2.0", 120)),
            ("64:ff9b::/96", "192.0.2.33/32", ("64:ff9b::192.0.2.33", 128)),
            ("2001:db8::/32", "192.0.2.0/24", ("2001:db8:c000:200::", 56)),
            ("2001:db8:100::/40", "192.0.2.0/24", ("2001:db8:1c0:2::", 64)),
            ("2001:db8:100::/40", "192.0.2.32/30", ("2001:db8:1c0:2:20::", 78)),
            ("2001:db8:122:344::/64", "192.0.0.0/16", ("2001:db8:122:344:c0::", 88)),
        ] {
            let prefix: Nat64 = prefix.parse().unwrap();
            let (first, length) = network.split_once('/').unwrap();
            let (first, length): (Ipv4Addr, u8) = (first.parse().unwrap(), length.parse().unwrap());
            let (found, bits) = prefix.embed_network(first, length);
            assert_eq!((found, bits), (expected.0.parse().unwrap(), expected.1), "{prefix} {network}");
            let outside = |address: Ipv6Addr| (u128::from(address) ^ u128::from(found)) >> (128 - bits) != 0;
            let last = u32::from(first) | (1_u64 << (32 - length)).wrapping_sub(1) as u32;
            assert!(!outside(prefix.embed(last.into())), "{prefix} {network}");
            assert!(outside(prefix.embed(last.wrapping_add(1).into())), "{prefix} {network}");
            assert!(outside(prefix.embed(u32::from(first).wrapping_sub(1).into())), "{prefix} {network}");
        }
    }

    #[test]
    fn reverse_names_lead_to_those_of_ipv4() {
        let name = |text: &str| CanonicalName::from(&text.parse::<Name>().unwrap());
        let reverse = format!("1.2.2.0.0.0.0.c.{}b.9.f.f.4.6.0.0.ip6.arpa", "0.".repeat(16));
        let found = Nat64::WELL_KNOWN.reverse(&name(&reverse)).unwrap();
        assert_eq!(found.to_string(), "33.2.0.192.in-addr.arpa");
        assert_eq!(Nat64::WELL_KNOWN.reverse(&name("1.ip6.arpa")), None);
        assert_eq!(Nat64::WELL_KNOWN.reverse(&name("www.example")), None);
    }

    #[test]
    fn what_is_no_prefix_says_why() {
        for wrong in [
            "64:ff9b::",
            "2001:db8:0:0:100::/96",
            "64:ff9b::/97",
            "64:ff9b::1/96",
            "10.0.0.0/8",
            "64:ff9b::/x",
        ] {
            assert!(wrong.parse::<Nat64>().is_err(), "{wrong}");
        }
    }
}
