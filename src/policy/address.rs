//! Owns rules about addresses, a client's, an answer's or a name server's, and the table that finds those whose prefix covers an address.
//! Never decides which of them counts; `address_verdict` does.

use std::net::IpAddr;
use std::sync::Arc;

use super::client::Prefix;
use super::rule::Action;
use super::rulebook::Rulebook;
use super::verdict::{Cause, Trigger};

/// A rule met by an address instead of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRule {
    /// Whose address meets it.
    pub whose: Whose,
    /// The addresses it is about.
    pub prefix: Prefix,
    /// What is done.
    pub action: Action,
    /// Line in the source, from 1.
    pub line: u32,
}

/// Whose address meets a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// One in the answer: `rpz-ip`.
    Answer,
    /// The client's own: `rpz-client-ip`.
    Client,
    /// That of a server of a zone that a name is in: `rpz-nsip`.
    NameServer,
}

/// All rules about addresses of one policy.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Rules about the addresses in answers.
    pub(super) answers: Arc<AddressTable>,
    /// Rules about clients' own addresses; only explanations search here, see [`Addresses::rulings`].
    pub(super) clients: Arc<AddressTable>,
    /// Rules about the addresses of zones' servers.
    pub(super) name_servers: Arc<AddressTable>,
    /// What the clients' come to: one for each group and stack of prefixes that a client can be in.
    pub(super) rulings: Box<[Ruling]>,
}

impl Addresses {
    /// The rules of a rulebook, before anybody's groups are known.
    pub(super) fn behind(book: &Rulebook) -> Self {
        let [answers, clients, name_servers] =
            [&book.answers, &book.clients, &book.name_servers].map(Arc::clone);
        Self { answers, clients, name_servers, rulings: Box::default() }
    }
}

/// What the rules about a client's own address come to for its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    pub(super) enforced: Option<Cause>,
    pub(super) shadow: Option<Cause>,
}

/// Prefixes, and for every range of addresses the longest that covers it: one binary search, then a walk outwards.
#[derive(Debug, Default)]
pub(super) struct AddressTable {
    listed: Box<[ListedPrefix]>,
    ipv4: Box<[(u32, u32)]>,
    ipv6: Box<[(u128, u32)]>,
}

/// A rule as it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListedPrefix {
    pub(super) prefix: Prefix,
    /// The number of its kind.
    pub(super) kind: u32,
    pub(super) line: u32,
    /// The number of the next rule outwards whose prefix covers this one, or [`NONE`].
    wider: u32,
}

/// No rule, no ruling.
pub(super) const NONE: u32 = u32::MAX;

impl Whose {
    /// What meeting such a rule is called.
    pub fn trigger(self) -> Trigger {
        match self {
            Self::Answer => Trigger::ResponseAddress,
            Self::Client => Trigger::ClientAddress,
            Self::NameServer => Trigger::NameServerAddress,
        }
    }
}

impl ListedPrefix {
    pub(super) fn new(prefix: Prefix, kind: u32, line: u32) -> Self {
        Self { prefix, kind, line, wider: NONE }
    }
}

impl AddressTable {
    /// Builds the table; the order of `rules` counts for nothing.
    pub(super) fn new(mut rules: Vec<ListedPrefix>) -> Self {
        // A prefix comes before all that it covers.
        rules.sort_unstable_by_key(|rule| (rule.prefix, rule.kind, rule.line));
        let ipv6 = rules.partition_point(|rule| rule.prefix.is_ipv4());
        let (v4, v6) = rules.split_at_mut(ipv6);
        let ipv4 = ranges(v4, 0, u128::from(u32::MAX));
        let ipv6 = ranges(v6, ipv6 as u32, u128::MAX);
        Self {
            ipv4: ipv4.into_iter().map(|(first, rule)| (first as u32, rule)).collect(),
            ipv6: ipv6.into(),
            listed: rules.into(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// Bytes it holds.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.listed) + size_of_val(&*self.ipv4) + size_of_val(&*self.ipv6)
    }

    /// The rule of that number.
    pub(super) fn rule(&self, number: u32) -> Option<&ListedPrefix> {
        self.listed.get(number as usize)
    }

    /// Every rule, in the order of the prefixes.
    pub(super) fn rules(&self) -> &[ListedPrefix] {
        &self.listed
    }

    /// Every rule whose prefix covers `address`, the longest first, with its number. IPv4-mapped IPv6 addresses are looked
    /// up as IPv4.
    #[inline]
    pub(super) fn covering(&self, address: IpAddr) -> impl Iterator<Item = (u32, &ListedPrefix)> {
        let innermost = match address.to_canonical() {
            IpAddr::V4(address) => search(&self.ipv4, u32::from(address)),
            IpAddr::V6(address) => search(&self.ipv6, u128::from(address)),
        };
        self.outwards(innermost)
    }

    /// Rule `number` and every rule around it.
    pub(super) fn outwards(&self, number: u32) -> impl Iterator<Item = (u32, &ListedPrefix)> {
        let mut next = number;
        std::iter::from_fn(move || {
            let number = next;
            let rule = self.rule(number)?;
            next = rule.wider;
            Some((number, rule))
        })
    }

    /// For each range of IPv4 addresses, by its first, the innermost rule.
    pub(super) fn ipv4(&self) -> &[(u32, u32)] {
        &self.ipv4
    }

    /// For each range of IPv6 addresses, by its first, the innermost rule.
    pub(super) fn ipv6(&self) -> &[(u128, u32)] {
        &self.ipv6
    }
}

#[inline]
fn search<T: Ord + Copy>(ranges: &[(T, u32)], address: T) -> u32 {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    ranges.get(after.wrapping_sub(1)).map_or(NONE, |(_, rule)| *rule)
}

/// Ranges of one family's sorted rules, which are numbered from `start`; says of each rule which is around it.
fn ranges(rules: &mut [ListedPrefix], start: u32, highest: u128) -> Vec<(u128, u32)> {
    let mut ranges: Vec<(u128, u32)> = Vec::new();
    let mut begin = |first: u128, rule: u32| match ranges.last_mut() {
        Some(last) if last.0 == first => last.1 = rule,
        _ => ranges.push((first, rule)),
    };
    // The rules around the place reached, the outermost first, with the last address of each. Prefixes nest or are apart.
    let mut open: Vec<(u128, u32)> = Vec::new();
    for (number, rule) in (start..).zip(rules) {
        let (first, last) = rule.prefix.range();
        while let Some((end, _)) = open.pop_if(|(end, _)| *end < first) {
            begin(end + 1, open.last().map_or(NONE, |(_, rule)| *rule));
        }
        rule.wider = open.last().map_or(NONE, |(_, rule)| *rule);
        begin(first, number);
        open.push((last, number));
    }
    while let Some((end, _)) = open.pop() {
        if end < highest {
            begin(end + 1, open.last().map_or(NONE, |(_, rule)| *rule));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(prefixes: &[&str]) -> AddressTable {
        let rules = (0..).zip(prefixes);
        AddressTable::new(
            rules.map(|(kind, text)| ListedPrefix::new(text.parse().unwrap(), kind, 1)).collect(),
        )
    }

    fn found(table: &AddressTable, address: &str) -> Vec<String> {
        table.covering(address.parse().unwrap()).map(|(_, rule)| rule.prefix.to_string()).collect()
    }

    #[test]
    fn every_covering_prefix_is_found_the_longest_first() {
        let table = table(&[
            "10.20.0.0/16",
            "10.0.0.0/8",
            "10.20.30.40",
            "255.255.255.255",
            "2001:db8::/32",
            "2001:db8::1",
            "ffff::/16",
        ]);
        let none: Vec<String> = Vec::new();
        assert_eq!(found(&table, "9.255.255.255"), none);
        assert_eq!(found(&table, "10.0.0.0"), ["10.0.0.0/8"]);
        assert_eq!(found(&table, "10.20.30.40"), ["10.20.30.40/32", "10.20.0.0/16", "10.0.0.0/8"]);
        assert_eq!(found(&table, "10.20.30.41"), ["10.20.0.0/16", "10.0.0.0/8"]);
        assert_eq!(found(&table, "10.21.0.0"), ["10.0.0.0/8"]);
        assert_eq!(found(&table, "11.0.0.0"), none);
        assert_eq!(found(&table, "255.255.255.255"), ["255.255.255.255/32"]);
        assert_eq!(found(&table, "::ffff:10.21.0.0"), ["10.0.0.0/8"]);
        assert_eq!(found(&table, "2001:db8::1"), ["2001:db8::1/128", "2001:db8::/32"]);
        assert_eq!(found(&table, "2001:db8::2"), ["2001:db8::/32"]);
        assert_eq!(found(&table, "2001:db9::"), none);
        assert_eq!(found(&table, "ffff:ffff::"), ["ffff::/16"]);
        assert_eq!(found(&AddressTable::default(), "::"), none);
    }

    #[test]
    fn one_prefix_may_be_listed_twice() {
        let table = table(&["192.0.2.0/24", "192.0.2.0/24"]);
        assert_eq!(found(&table, "192.0.2.255").len(), 2);
        assert_eq!(found(&table, "192.0.3.0").len(), 0);
    }

    #[test]
    fn a_search_agrees_with_looking_at_every_prefix() {
        let mut seed = 7u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        let prefixes: Vec<String> = (0..300)
            .map(|_| {
                let length = 20 + random(13);
                let address = (10 << 24 | random(1 << 12)) & (u32::MAX << (32 - length));
                format!("{}/{length}", std::net::Ipv4Addr::from(address))
            })
            .collect();
        let texts: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let table = table(&texts);
        for _ in 0..2000 {
            let address = 10 << 24 | random(1 << 13);
            let mut lengths: Vec<u8> = texts
                .iter()
                .map(|text| text.parse::<Prefix>().unwrap())
                .filter(|prefix| {
                    prefix.range().0 <= address.into() && u128::from(address) <= prefix.range().1
                })
                .map(Prefix::length)
                .collect();
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            let found = table.covering(IpAddr::from(address.to_be_bytes()));
            assert_eq!(found.map(|(_, rule)| rule.prefix.length()).collect::<Vec<_>>(), lengths);
        }
    }
}
