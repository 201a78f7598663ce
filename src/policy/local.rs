//! Owns the operator's own records: names that are answered from the configuration. Part of a policy, so that they change with it
//! and at once. Never decides whether a name is banned; a ban goes before them.

use std::collections::{BTreeMap, HashMap};

use super::rule::LocalRecord;
use crate::dns::{CanonicalName, Name, RecordType};
use crate::problem::{Place, Problem};

/// What is written of one name.
#[derive(Clone, Debug)]
pub struct LocalName {
    /// The name; `*` as its first label stands for every name below the rest that does not exist (RFC 4592).
    pub name: Name,
    /// Its records; their TTL is set.
    pub records: Vec<LocalRecord>,
    /// The name whose records it has instead, and for how many seconds.
    pub alias: Option<(Name, u32)>,
    /// It follows from what is written of another name, as a reverse name does; several may.
    pub follows: bool,
    /// Where it is written.
    pub place: Place,
}

/// Names with records of their own.
#[derive(Clone, Debug, Default)]
pub struct LocalNames {
    names: HashMap<Box<[u8]>, Node>,
    has_wildcards: bool,
    /// All that is said, in one order whatever the order of the configuration.
    written: String,
}

#[derive(Clone, Debug)]
enum Node {
    /// Names are below it, and nothing at it.
    Empty,
    Records(Box<[LocalRecord]>),
    /// Where it leads, and for how long.
    Alias(Name, u32),
}

/// Aliases in a row.
const LONGEST_CHAIN: usize = 8;

/// What is known of a name, aliases followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAnswer<'s> {
    links: [Option<(&'s Name, u32)>; LONGEST_CHAIN],
    /// All records of the name, or of the one that its aliases lead to; none of the type asked for means that there is none. `None` when
    /// others know that name.
    pub records: Option<&'s [LocalRecord]>,
}

impl<'s> LocalAnswer<'s> {
    /// Where aliases lead one after the other, and for how many seconds each.
    pub fn links(&self) -> impl Iterator<Item = (&'s Name, u32)> + use<'s> {
        self.links.into_iter().flatten()
    }
}

impl LocalNames {
    /// All of them, or what is wrong with them.
    pub fn new(written: Vec<LocalName>) -> Result<Self, Vec<Problem>> {
        let (known, mut problems) = by_name(written);
        let mut all = Self::default();
        for (name, one) in &known {
            all.written.push_str(&format!("{name} {:?} {:?}\n", one.alias, one.records));
            all.has_wildcards |= name.as_wire().starts_with(b"\x01*");
            let node = match &one.alias {
                None => Node::Records(one.records.clone().into()),
                Some((target, ttl)) => Node::Alias(target.clone(), *ttl),
            };
            let canonical = CanonicalName::from(name);
            for depth in 1..canonical.label_count() {
                all.names.entry(canonical.suffix(depth).into()).or_insert(Node::Empty);
            }
            all.names.insert(canonical.as_wire().into(), node);
        }
        for (name, one) in known {
            if all.node(&CanonicalName::from(&name)).is_some_and(|node| all.follow(node).is_none()) {
                let what = format!("`{name}` is an alias that leads round and round, or too far");
                problems.push(Problem::error(one.place, what, "name the last of them"));
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    /// True when there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All that they say, in one order.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// True when there is something at `name`, or below it.
    pub fn holds(&self, name: &CanonicalName) -> bool {
        self.names.contains_key(name.as_wire())
    }

    /// What is known of `name`: its own records, or those of a wildcard; `None` when others are to be asked. A name above others has no
    /// records only if it is below a name that is the operator's: what is above all of them is somebody else's.
    #[inline]
    pub fn find(&self, name: &CanonicalName) -> Option<LocalAnswer<'_>> {
        self.follow(self.node(name)?)
    }

    /// What aliases from `node` on lead to; `None` when they do not end.
    fn follow<'s>(&'s self, mut node: &'s Node) -> Option<LocalAnswer<'s>> {
        let mut links = [None; LONGEST_CHAIN];
        for link in &mut links {
            let (target, ttl) = match node {
                Node::Empty => return Some(LocalAnswer { links, records: Some(&[]) }),
                Node::Records(records) => return Some(LocalAnswer { links, records: Some(records) }),
                Node::Alias(target, ttl) => (target, *ttl),
            };
            *link = Some((target, ttl));
            match self.node(&CanonicalName::from(target)) {
                Some(next) => node = next,
                None => return Some(LocalAnswer { links, records: None }),
            }
        }
        None
    }

    fn node(&self, name: &CanonicalName) -> Option<&Node> {
        match self.names.get(name.as_wire()) {
            Some(Node::Empty) => return None,
            Some(node) => return Some(node),
            None if !self.has_wildcards => return None,
            None => {}
        }
        for depth in 1..name.label_count() {
            let parent = name.suffix(depth);
            let mut wildcard = [0; crate::dns::MAX_NAME];
            let room = wildcard.get_mut(..parent.len() + 2)?;
            let (asterisk, rest) = room.split_at_mut(2);
            asterisk.copy_from_slice(b"\x01*");
            rest.copy_from_slice(parent);
            if let Some(node) = self.names.get(&*room) {
                return Some(node);
            }
            // The closest name that exists; a wildcard further up does not reach below it.
            if self.names.contains_key(parent) {
                return None;
            }
        }
        None
    }
}

/// What is written, each name once; and what is wrong with it.
fn by_name(written: Vec<LocalName>) -> (BTreeMap<Name, LocalName>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut known: BTreeMap<Name, LocalName> = BTreeMap::new();
    for one in written {
        match known.get_mut(&one.name) {
            None => drop(known.insert(one.name.clone(), one)),
            Some(other) if one.alias.is_some() || other.alias.is_some() => {
                let what = format!("`{}` is an alias and has other records, at {}", one.name, other.place);
                let hint = "an alias has no other records (RFC 1034 section 3.6.2)";
                problems.push(Problem::error(one.place, what, hint));
            }
            Some(other) if !one.follows && !other.follows => {
                let what = format!("`{}` is written twice, first at {}", one.name, other.place);
                problems.push(Problem::error(
                    one.place,
                    what,
                    "write all records of a name in one `[[local]]`",
                ));
            }
            Some(other) => {
                other.records.extend(one.records);
                other.follows &= one.follows;
            }
        }
    }
    for one in known.values_mut() {
        // The records of one type have one TTL (RFC 2181 section 5.2).
        let mut lowest: BTreeMap<u16, Option<u32>> = BTreeMap::new();
        for record in &one.records {
            let ttl = lowest.entry(record.record_type.0).or_insert(record.ttl);
            *ttl = (*ttl).min(record.ttl);
        }
        for record in &mut one.records {
            record.ttl = lowest.get(&record.record_type.0).copied().flatten();
        }
        one.records.sort();
        one.records.dedup();
    }
    (known, problems)
}

/// The name under which an address is asked for its name: `in-addr.arpa` (RFC 1035 section 3.5), `ip6.arpa` (RFC 3596 section 2.5).
pub fn reverse_name(address: std::net::IpAddr) -> Option<Name> {
    let text = match address {
        std::net::IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        std::net::IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    };
    text.parse().ok()
}

impl LocalRecord {
    /// A pointer to a name.
    pub fn pointer(target: &Name, ttl: u32) -> Self {
        Self { record_type: RecordType::PTR, ttl: Some(ttl), rdata: target.as_wire().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, address: [u8; 4]) -> LocalName {
        let records = vec![LocalRecord::ipv4(address.into(), Some(300))];
        LocalName {
            name: name.parse().unwrap(),
            records,
            alias: None,
            follows: false,
            place: Place::line("interdict.toml", 1),
        }
    }

    fn alias(name: &str, target: &str) -> LocalName {
        let alias = Some((target.parse().unwrap(), 300));
        LocalName {
            name: name.parse().unwrap(),
            records: Vec::new(),
            alias,
            follows: false,
            place: Place::line("interdict.toml", 2),
        }
    }

    fn found<'n>(names: &'n LocalNames, name: &str) -> Option<LocalAnswer<'n>> {
        names.find(&CanonicalName::from(&name.parse::<Name>().unwrap()))
    }

    #[test]
    fn names_wildcards_and_what_is_between() {
        let names = LocalNames::new(vec![
            one("printer.corp.example", [10, 0, 0, 1]),
            one("*.apps.corp.example", [10, 0, 0, 2]),
            one("a.b.apps.corp.example", [10, 0, 0, 3]),
        ])
        .unwrap();
        let address = |name: &str| match found(&names, name) {
            Some(LocalAnswer { records: Some([record]), .. }) => Some(record.rdata[3]),
            Some(other) => panic!("{other:?}"),
            None => None,
        };
        assert_eq!(address("PRINTER.corp.example"), Some(1));
        assert_eq!(address("x.apps.corp.example"), Some(2));
        assert_eq!(address("y.x.apps.corp.example"), Some(2));
        assert_eq!(address("a.b.apps.corp.example"), Some(3));
        assert_eq!(
            address("c.b.apps.corp.example"),
            None,
            "b.apps.corp.example is there (RFC 4592 section 2.2.1)"
        );
        for other in ["corp.example", "other.corp.example", "example", "apps.corp.example"] {
            assert_eq!(address(other), None, "{other}");
        }
    }

    #[test]
    fn aliases_lead_to_records_or_outside_and_never_round() {
        let names = LocalNames::new(vec![
            one("one.example", [10, 0, 0, 1]),
            alias("two.example", "one.example"),
            alias("three.example", "two.example"),
            alias("out.example", "www.elsewhere.test"),
        ])
        .unwrap();
        let links =
            |answer: LocalAnswer<'_>| answer.links().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let three = found(&names, "three.example").unwrap();
        assert_eq!(links(three), ["two.example", "one.example"]);
        assert_eq!(three.records.unwrap()[0].rdata[3], 1);
        let out = found(&names, "out.example").unwrap();
        assert_eq!((links(out), out.records), (vec!["www.elsewhere.test".to_owned()], None));
        let round = LocalNames::new(vec![alias("a.example", "b.example"), alias("b.example", "a.example")]);
        assert!(round.unwrap_err()[0].what.contains("round and round"));
        let both = LocalNames::new(vec![one("a.example", [10, 0, 0, 1]), alias("a.example", "b.example")]);
        assert!(both.unwrap_err()[0].what.contains("is an alias and has other records"));
        let wild = LocalNames::new(vec![alias("*.a.example", "b.a.example")]);
        assert!(wild.unwrap_err()[0].what.contains("round and round"));
    }

    #[test]
    fn a_name_is_written_once_but_for_what_follows_from_others() {
        let twice = LocalNames::new(vec![one("a.example", [10, 0, 0, 1]), one("a.example", [10, 0, 0, 2])]);
        assert!(twice.unwrap_err()[0].what.contains("written twice"));
        let pointer = |target: &str, ttl, follows| LocalName {
            records: vec![LocalRecord::pointer(&target.parse().unwrap(), ttl)],
            follows,
            ..one("1.0.0.10.in-addr.arpa", [0; 4])
        };
        let names = LocalNames::new(vec![
            pointer("a.example", 300, false),
            pointer("b.example", 60, true),
            pointer("a.example", 60, true),
        ]);
        let names = names.unwrap();
        let records = found(&names, "1.0.0.10.in-addr.arpa").unwrap().records.unwrap();
        assert_eq!(records.iter().map(|record| record.ttl).collect::<Vec<_>>(), [Some(60), Some(60)]);
    }

    #[test]
    fn addresses_have_names() {
        let reverse = |address: &str| reverse_name(address.parse().unwrap()).unwrap().to_string();
        assert_eq!(reverse("10.1.2.3"), "3.2.1.10.in-addr.arpa");
        assert_eq!(reverse("2001:db8::1"), format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23)));
    }

    #[test]
    fn the_order_of_the_configuration_counts_for_nothing() {
        let [a, b] = [one("a.example", [10, 0, 0, 1]), one("b.example", [10, 0, 0, 2])];
        let [one, other] = [vec![a.clone(), b.clone()], vec![b, a]].map(|all| LocalNames::new(all).unwrap());
        assert_eq!(one.written(), other.written());
    }
}
