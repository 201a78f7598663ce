//! Owns the address prefix and the table that turns a client's address into its group and its admission.
//! Never looks at a question.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address prefix in CIDR form; host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// What the table says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Index of its group.
    pub group: u16,
    /// Whether it may ask at all.
    pub admitted: bool,
}

/// Disjoint address ranges, sorted by their first address: one binary search finds a client, however many prefixes
/// there are and however they nest.
#[derive(Clone, Debug)]
pub(super) struct ClientTable {
    ipv4: Box<[(u32, Client)]>,
    ipv6: Box<[(u128, Client)]>,
}

impl Prefix {
    /// Bits of the prefix.
    pub fn length(self) -> u8 {
        self.length
    }

    /// First and last address as numbers, IPv4 in the low 32 bits.
    fn range(self) -> (u128, u128) {
        let (first, bits) = match self.address {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let host = u128::MAX.checked_shr(128 - bits + u32::from(self.length)).unwrap_or(0);
        (first & !host, first | host)
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "not an address or prefix")?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(length) => {
                length.parse().ok().filter(|length| *length <= most).ok_or("not a prefix length")?
            }
        };
        let prefix = Self { address, length };
        let number = match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        if prefix.range().0 != number {
            return Err("has host bits set");
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl ClientTable {
    /// Builds the table. The longest prefix decides, for the group and for the admission separately; a client in no
    /// group's prefix is in `default_group`.
    pub(super) fn new(groups: &[(Prefix, u16)], allow: &[Prefix], default_group: u16) -> Self {
        let family = |v4: bool| {
            let groups: Vec<(Prefix, u16)> =
                groups.iter().copied().filter(|(prefix, _)| prefix.address.is_ipv4() == v4).collect();
            let allow: Vec<Prefix> =
                allow.iter().copied().filter(|prefix| prefix.address.is_ipv4() == v4).collect();
            ranges(&groups, &allow, default_group, if v4 { u128::from(u32::MAX) } else { u128::MAX })
        };
        Self {
            ipv4: family(true).into_iter().map(|(first, client)| (first as u32, client)).collect(),
            ipv6: family(false).into(),
        }
    }

    /// What the table says of `address`; IPv4-mapped IPv6 addresses are looked up as IPv4.
    #[inline]
    pub(super) fn find(&self, address: IpAddr) -> Client {
        match address {
            IpAddr::V4(address) => search(&self.ipv4, u32::from(address)),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(mapped) => search(&self.ipv4, u32::from(mapped)),
                None => search(&self.ipv6, u128::from(address)),
            },
        }
    }
}

#[inline]
fn search<T: Ord + Copy>(ranges: &[(T, Client)], address: T) -> Client {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    // Invariant: the first range begins at address zero, so `after` is at least one.
    ranges.get(after.wrapping_sub(1)).map_or(Client { group: 0, admitted: false }, |(_, client)| *client)
}

fn ranges(
    groups: &[(Prefix, u16)],
    allow: &[Prefix],
    default_group: u16,
    highest: u128,
) -> Vec<(u128, Client)> {
    let mut edges = vec![0];
    for prefix in groups.iter().map(|(prefix, _)| prefix).chain(allow) {
        let (first, last) = prefix.range();
        edges.push(first);
        edges.extend((last < highest).then(|| last + 1));
    }
    edges.sort_unstable();
    edges.dedup();
    let mut ranges: Vec<(u128, Client)> = Vec::with_capacity(edges.len());
    for edge in edges {
        let covers = |prefix: &Prefix| {
            let (first, last) = prefix.range();
            first <= edge && edge <= last
        };
        let group = groups
            .iter()
            .filter(|(prefix, _)| covers(prefix))
            .max_by_key(|(prefix, _)| prefix.length)
            .map_or(default_group, |(_, group)| *group);
        let client = Client { group, admitted: allow.iter().any(covers) };
        if ranges.last().is_none_or(|(_, last)| *last != client) {
            ranges.push((edge, client));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_decides() {
        let table = ClientTable::new(
            &[(prefix("10.0.0.0/8"), 1), (prefix("10.20.0.0/16"), 2), (prefix("2001:db8::/32"), 3)],
            &[prefix("10.0.0.0/8"), prefix("::1")],
            0,
        );
        let find = |text: &str| {
            let client = table.find(text.parse().unwrap());
            (client.group, client.admitted)
        };
        assert_eq!(find("10.19.255.255"), (1, true));
        assert_eq!(find("10.20.0.0"), (2, true));
        assert_eq!(find("10.20.255.255"), (2, true));
        assert_eq!(find("10.21.0.0"), (1, true));
        assert_eq!(find("11.0.0.0"), (0, false));
        assert_eq!(find("::ffff:10.20.0.1"), (2, true));
        assert_eq!(find("2001:db8::1"), (3, false));
        assert_eq!(find("::1"), (0, true));
        assert_eq!(find("255.255.255.255"), (0, false));
    }

    #[test]
    fn the_whole_address_space_is_a_prefix() {
        let table = ClientTable::new(&[(prefix("0.0.0.0/0"), 5)], &[prefix("::/0")], 0);
        assert_eq!(table.find("0.0.0.0".parse().unwrap()), Client { group: 5, admitted: false });
        assert_eq!(table.find("::".parse().unwrap()), Client { group: 0, admitted: true });
    }

    #[test]
    fn bad_prefixes_are_refused() {
        for text in ["10.0.0.1/8", "10.0.0.0/33", "x", "10.0.0.0/", "2001:db8::1/32"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert_eq!(prefix("192.0.2.1").to_string(), "192.0.2.1/32");
    }
}
