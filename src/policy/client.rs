//! Owns the address prefix and the table that turns a client's address into its group, its admission and what rules about
//! addresses say of it. Never looks at a question.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::address::{AddressTable, NONE};
use crate::dns::Nat64;

/// An address prefix in CIDR form; host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// What the table says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Index of its group.
    pub group: u16,
    /// Whether it may ask at all.
    pub admitted: bool,
    /// The number of what rules about its own address say, or [`NONE`].
    pub(super) ruling: u32,
}

/// Disjoint address ranges, sorted by their first address: one binary search finds a client, however many prefixes
/// there are and however they nest.
#[derive(Clone, Debug)]
pub(super) struct ClientTable {
    ipv4: Ranges<u32>,
    ipv6: Ranges<u128>,
}

/// Where each range begins, and who is in it; apart, so that a search walks over as little as can be.
#[derive(Clone, Debug)]
struct Ranges<T> {
    firsts: Box<[T]>,
    clients: Box<[Client]>,
}

impl Client {
    /// Somebody of a group, whose address is not known and meets nothing.
    pub fn in_group(group: u16) -> Self {
        Self { group, admitted: true, ruling: NONE }
    }

    /// True when its own address meets a rule: it is then not treated as others of its group are.
    #[inline]
    pub fn is_ruled(self) -> bool {
        self.ruling != NONE
    }
}

impl Prefix {
    /// The prefix of `length` bits that begins at `address`. Fails when bits behind them are set, or there are not as many.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, &'static str> {
        let prefix = Self { address, length };
        let (most, number) = match address {
            IpAddr::V4(address) => (32, u128::from(u32::from(address))),
            IpAddr::V6(address) => (128, u128::from(address)),
        };
        if length > most {
            return Err("not a prefix length");
        }
        if prefix.range().0 != number {
            return Err("has host bits set");
        }
        Ok(prefix)
    }

    /// The prefix that holds one address.
    pub fn of(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Its first address.
    pub fn first(self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Bits of the prefix when IPv4 is seen as the part `::ffff:0:0/96` of IPv6.
    pub(super) fn mapped_length(self) -> u8 {
        if self.is_ipv4() { 96 + self.length } else { self.length }
    }

    /// True for IPv4.
    pub fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// First and last address as numbers, IPv4 in the low 32 bits.
    pub fn range(self) -> (u128, u128) {
        let (first, bits) = match self.address {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let host = u128::MAX.checked_shr(128 - bits + u32::from(self.length)).unwrap_or(0);
        (first & !host, first | host)
    }

    /// The prefix of a translator's that stands for this one, of IPv4.
    pub fn embedded(self, translator: Nat64) -> Option<Self> {
        let IpAddr::V4(first) = self.address else { return None };
        let (address, length) = translator.embed_network(first, self.length);
        Some(Self { address: address.into(), length })
    }

    /// Those of `prefixes` that are inside of no other, in order.
    pub fn outermost(mut prefixes: Vec<Self>) -> Vec<Self> {
        prefixes.sort_unstable_by_key(|prefix| (!prefix.is_ipv4(), prefix.range().0, prefix.length()));
        let mut end = None;
        prefixes.retain(|prefix| {
            let (first, last) = prefix.range();
            let is_inside = end.is_some_and(|(kind, end)| kind == prefix.is_ipv4() && first <= end);
            if !is_inside {
                end = Some((prefix.is_ipv4(), last));
            }
            !is_inside
        });
        prefixes
    }

    /// True when one of `prefixes`, as [`Self::outermost`] leaves them, holds the address. A search by halves, however many there are.
    pub fn any_holds(prefixes: &[Self], address: IpAddr) -> bool {
        let place = |address: IpAddr| (!address.is_ipv4(), Self::of(address).range().0);
        let after = prefixes.partition_point(|prefix| place(prefix.first()) <= place(address));
        prefixes.get(after.wrapping_sub(1)).is_some_and(|prefix| prefix.holds(address))
    }

    /// True when the address is of its kind and begins with it.
    pub fn holds(self, address: IpAddr) -> bool {
        let (first, last) = self.range();
        let number = match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        self.address.is_ipv4() == address.is_ipv4() && (first..=last).contains(&number)
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
        let length = match length {
            None => {
                if address.is_ipv4() {
                    32
                } else {
                    128
                }
            }
            Some(length) => length.parse().map_err(|_| "not a prefix length")?,
        };
        Self::new(address, length)
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
            ipv6: family(false).into_iter().collect(),
        }
    }

    /// The same table, with what `ruling` makes of the rules about addresses for each group and innermost rule. It is also
    /// given an address that is in both.
    pub(super) fn overlaid(
        &self,
        rules: &AddressTable,
        mut ruling: impl FnMut(u16, u32, IpAddr) -> u32,
    ) -> Self {
        Self {
            ipv4: overlay(&self.ipv4, rules.ipv4(), |group, rule, first| {
                ruling(group, rule, Ipv4Addr::from(first).into())
            }),
            ipv6: overlay(&self.ipv6, rules.ipv6(), |group, rule, first| {
                ruling(group, rule, Ipv6Addr::from(first).into())
            }),
        }
    }

    /// Every address, as ranges from first to last that are as long as can be, with the group of who is there; those of IPv4 first.
    pub(super) fn groups(&self) -> impl Iterator<Item = (IpAddr, IpAddr, u16)> {
        self.grouped(|client| Some(client.group))
    }

    /// The ranges of those who may ask, with the group of who is there.
    pub(super) fn admitted(&self) -> impl Iterator<Item = (IpAddr, IpAddr, u16)> {
        self.grouped(|client| Some(client.group).filter(|_| client.admitted))
    }

    /// Every address that has a group by `group_of`.
    fn grouped(
        &self,
        group_of: impl Fn(&Client) -> Option<u16>,
    ) -> impl Iterator<Item = (IpAddr, IpAddr, u16)> {
        let ipv4 = self.ipv4.grouped(u32::MAX, |first| first - 1, &group_of).into_iter();
        let ipv6 = self.ipv6.grouped(u128::MAX, |first| first - 1, &group_of).into_iter();
        let ipv4 = ipv4
            .map(|(first, last, group)| (Ipv4Addr::from(first).into(), Ipv4Addr::from(last).into(), group));
        let ipv6 = ipv6
            .map(|(first, last, group)| (Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into(), group));
        ipv4.chain(ipv6)
    }

    /// What the table says of `address`; IPv4-mapped IPv6 addresses are looked up as IPv4.
    #[inline]
    pub(super) fn find(&self, address: IpAddr) -> Client {
        match address {
            IpAddr::V4(address) => self.ipv4.find(u32::from(address)),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(mapped) => self.ipv4.find(u32::from(mapped)),
                None => self.ipv6.find(u128::from(address)),
            },
        }
    }
}

impl<T: Ord + Copy> Ranges<T> {
    /// Ranges of those who have a group by `group_of`; `before` tells what comes before a range's first.
    fn grouped(
        &self,
        highest: T,
        before: impl Fn(T) -> T,
        group_of: impl Fn(&Client) -> Option<u16>,
    ) -> Vec<(T, T, u16)> {
        let mut ranges: Vec<(T, T, u16)> = Vec::new();
        let mut open = None;
        for (first, client) in self.firsts.iter().zip(&self.clients) {
            let group = group_of(client);
            if open.map(|(_, group)| group) == group {
                continue;
            }
            if let Some((begun, group)) = open.take() {
                ranges.push((begun, before(*first), group));
            }
            open = group.map(|group| (*first, group));
        }
        ranges.extend(open.map(|(begun, group)| (begun, highest, group)));
        ranges
    }

    #[inline]
    fn find(&self, address: T) -> Client {
        let after = self.firsts.partition_point(|first| *first <= address);
        // Invariant: the first range begins at address zero, so `after` is at least one.
        let found = self.clients.get(after.wrapping_sub(1)).copied();
        found.unwrap_or(Client { admitted: false, ..Client::in_group(0) })
    }
}

impl<T> FromIterator<(T, Client)> for Ranges<T> {
    fn from_iter<I: IntoIterator<Item = (T, Client)>>(ranges: I) -> Self {
        let (firsts, clients): (Vec<T>, Vec<Client>) = ranges.into_iter().unzip();
        Self { firsts: firsts.into(), clients: clients.into() }
    }
}

/// Cuts ranges of clients where rules begin and end.
fn overlay<T: Ord + Copy>(
    clients: &Ranges<T>,
    rules: &[(T, u32)],
    mut ruling: impl FnMut(u16, u32, T) -> u32,
) -> Ranges<T> {
    let mut ranges: Vec<(T, Client)> = Vec::with_capacity(clients.firsts.len() + rules.len());
    let mut client = clients.firsts.iter().copied().zip(&clients.clients).peekable();
    let mut rule = rules.iter().peekable();
    let (mut current, mut innermost) = (Client::in_group(0), NONE);
    loop {
        let edges = [client.peek().map(|(first, _)| *first), rule.peek().map(|(first, _)| *first)];
        let Some(first) = edges.into_iter().flatten().min() else { return ranges.into_iter().collect() };
        if let Some((_, found)) = client.next_if(|(edge, _)| *edge == first) {
            current = *found;
        }
        if let Some((_, found)) = rule.next_if(|(edge, _)| *edge == first) {
            innermost = *found;
        }
        let ruling = if innermost == NONE { NONE } else { ruling(current.group, innermost, first) };
        let found = Client { ruling, ..current };
        if ranges.last().is_none_or(|(_, last)| *last != found) {
            ranges.push((first, found));
        }
    }
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
        let client = Client { admitted: allow.iter().any(covers), ..Client::in_group(group) };
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
    fn ranges_by_group_cover_every_address_once() {
        let table = ClientTable::new(
            &[(prefix("10.0.0.0/8"), 1), (prefix("10.20.0.0/16"), 2), (prefix("2001:db8::/32"), 1)],
            &[prefix("10.7.0.0/16")],
            0,
        );
        let shown: Vec<String> =
            table.groups().map(|(first, last, group)| format!("{group} {first}-{last}")).collect();
        assert_eq!(
            shown,
            [
                "0 0.0.0.0-9.255.255.255",
                "1 10.0.0.0-10.19.255.255",
                "2 10.20.0.0-10.20.255.255",
                "1 10.21.0.0-10.255.255.255",
                "0 11.0.0.0-255.255.255.255",
                "0 ::-2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
                "1 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                "0 2001:db9::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ]
        );
    }

    #[test]
    fn ranges_of_those_who_may_ask_leave_the_others_out() {
        let table = ClientTable::new(
            &[(prefix("10.0.0.0/8"), 1), (prefix("10.20.0.0/16"), 2), (prefix("2001:db8::/32"), 1)],
            &[prefix("10.0.0.0/9"), prefix("10.255.0.0/16"), prefix("192.0.2.0/24"), prefix("ff00::/8")],
            0,
        );
        let shown: Vec<String> =
            table.admitted().map(|(first, last, group)| format!("{group} {first}-{last}")).collect();
        assert_eq!(
            shown,
            [
                "1 10.0.0.0-10.19.255.255",
                "2 10.20.0.0-10.20.255.255",
                "1 10.21.0.0-10.127.255.255",
                "1 10.255.0.0-10.255.255.255",
                "0 192.0.2.0-192.0.2.255",
                "0 ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ]
        );
    }

    #[test]
    fn the_whole_address_space_is_a_prefix() {
        let table = ClientTable::new(&[(prefix("0.0.0.0/0"), 5)], &[prefix("::/0")], 0);
        let client = table.find("0.0.0.0".parse().unwrap());
        assert_eq!((client.group, client.admitted, client.is_ruled()), (5, false, false));
        let client = table.find("::".parse().unwrap());
        assert_eq!((client.group, client.admitted, client.is_ruled()), (0, true, false));
    }

    #[test]
    fn of_many_prefixes_one_search_finds_the_one_that_holds_an_address() {
        let texts = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "2001:db8::/32", "::1"];
        let outermost = Prefix::outermost(texts.iter().map(|text| prefix(text)).collect());
        assert_eq!(outermost.len(), 4);
        for (address, held) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.1.2.3", true),
            ("11.0.0.0", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::1", true),
            ("::2", false),
            ("::a00:1", false),
            ("2001:db8::9", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(Prefix::any_holds(&outermost, address.parse().unwrap()), held, "{address}");
        }
        assert!(!Prefix::any_holds(&[], "::1".parse().unwrap()));
    }

    #[test]
    fn bad_prefixes_are_refused() {
        for text in ["10.0.0.1/8", "10.0.0.0/33", "x", "10.0.0.0/", "2001:db8::1/32"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert_eq!(prefix("192.0.2.1").to_string(), "192.0.2.1/32");
    }

    #[test]
    fn rules_cut_ranges_of_clients_and_leave_the_rest_as_it_is() {
        use super::super::address::ListedPrefix;

        let table = ClientTable::new(
            &[(prefix("10.0.0.0/8"), 1), (prefix("10.20.0.0/16"), 2)],
            &[prefix("10.0.0.0/8")],
            0,
        );
        let rules = ["10.19.0.0/16", "10.20.7.0/24", "10.20.7.9", "192.0.2.0/24", "2001:db8::/32"];
        let rules = AddressTable::new(rules.map(|text| ListedPrefix::new(prefix(text), 0, 1)).into());
        let overlaid = table.overlaid(&rules, |group, rule, address| {
            assert!(rules.covering(address).any(|(number, _)| number == rule), "{address}");
            // This group is told nothing by this rule.
            if group == 0 && rule == 3 { NONE } else { u32::from(group) * 100 + rule }
        });
        for (address, ruling) in [
            ("10.18.255.255", NONE),
            ("10.19.0.0", 100),
            ("10.20.0.0", NONE),
            ("10.20.7.8", 201),
            ("10.20.7.9", 202),
            ("10.20.7.10", 201),
            ("10.20.8.0", NONE),
            ("192.0.2.1", NONE),
            ("2001:db8::9", 4),
            ("2001:db9::", NONE),
        ] {
            let address = address.parse().unwrap();
            let (before, after) = (table.find(address), overlaid.find(address));
            assert_eq!(after, Client { ruling, ..before }, "{address}");
        }
    }
}
