//! Owns the table of listed names: open addressing over fingerprints, the names themselves in one arena, and for
//! each name the run of its rules. Exact: a fingerprint only nominates, the bytes decide. Immutable once built.

use super::hash::HashKey;
use crate::dns::CanonicalName;

/// Listed names in canonical order, and a hash index over them.
#[derive(Debug)]
pub(crate) struct NameTable {
    key: HashKey,
    /// Upper half: fingerprint, never zero; lower half: entry. Zero is an empty slot.
    slots: Box<[u64]>,
    /// Where entry `i` begins in `arena` and in the caller's rules; one more than there are entries.
    entries: Box<[Bounds]>,
    arena: Box<[u8]>,
    /// Most labels of any listed name: longer suffixes need no probe.
    deepest: usize,
}

/// Takes names in ascending wire order, each with its number of rules.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    entries: Vec<Bounds>,
    arena: Vec<u8>,
    rules: u32,
}

/// A listed name that is the searched name or an ancestor of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number in the table's order.
    pub number: u32,
    /// How many labels of the searched name stand in front of it; zero when it is the name itself.
    pub depth: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    name: u32,
    rules: u32,
}

impl Builder {
    /// Adds a name, which must be greater than the last, and says how many rules belong to it.
    pub(crate) fn push(&mut self, wire: &[u8], rules: u32) {
        self.entries.push(Bounds { name: self.arena.len() as u32, rules: self.rules });
        self.arena.extend_from_slice(wire);
        self.rules += rules;
    }

    /// Builds the index.
    pub(crate) fn build(mut self, key: HashKey) -> NameTable {
        let count = self.entries.len();
        self.entries.push(Bounds { name: self.arena.len() as u32, rules: self.rules });
        // At most three quarters full: a miss then needs two and a half probes on average, in neighbouring slots.
        let capacity = (count * 4 / 3 + 1).next_power_of_two().max(16);
        let mut table = NameTable {
            key,
            slots: vec![0; capacity].into(),
            entries: self.entries.into(),
            arena: self.arena.into(),
            deepest: 0,
        };
        for number in 0..count as u32 {
            let name = CanonicalName::read(table.name(number)).unwrap_or_else(CanonicalName::root);
            table.deepest = table.deepest.max(name.label_count());
            let hash =
                (0..name.label_count()).rev().fold(key.root(), |hash, i| key.prepend(hash, name.label(i)));
            table.insert(hash, number);
        }
        table
    }
}

impl NameTable {
    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - 1
    }

    /// The wire form of entry `number`.
    pub(crate) fn name(&self, number: u32) -> &[u8] {
        self.bounds(number, |bounds| bounds.name)
            .and_then(|(from, to)| self.arena.get(from..to))
            .unwrap_or(&[0])
    }

    /// The range of entry `number`'s rules in the order they were announced to the builder.
    pub(crate) fn rules(&self, number: u32) -> std::ops::Range<usize> {
        self.bounds(number, |bounds| bounds.rules).map_or(0..0, |(from, to)| from..to)
    }

    /// The entry whose run of rules holds rule `rule`.
    pub(crate) fn entry_of(&self, rule: u32) -> u32 {
        (self.entries.partition_point(|bounds| bounds.rules <= rule) as u32).saturating_sub(1)
    }

    /// Calls `found` for every listed name among `name` and its ancestors, shortest first.
    #[inline]
    pub(crate) fn search(&self, name: &CanonicalName, mut found: impl FnMut(Entry)) {
        let labels = name.label_count();
        let mut hash = self.key.root();
        for depth in (labels.saturating_sub(self.deepest)..labels).rev() {
            hash = self.key.prepend(hash, name.label(depth));
            if let Some(number) = self.find(hash, name.suffix(depth)) {
                found(Entry { number, depth });
            }
        }
    }

    /// Bytes this table holds.
    pub(crate) fn memory(&self) -> usize {
        self.slots.len() * 8 + self.entries.len() * size_of::<Bounds>() + self.arena.len()
    }

    #[inline]
    fn find(&self, hash: u64, wire: &[u8]) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if slot >> 32 == fingerprint(hash) && self.name(slot as u32) == wire {
                return Some(slot as u32);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, hash: u64, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = fingerprint(hash) << 32 | u64::from(number);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    #[inline]
    fn bounds(&self, number: u32, field: impl Fn(&Bounds) -> u32) -> Option<(usize, usize)> {
        match self.entries.get(number as usize..)? {
            [from, to, ..] => Some((field(from) as usize, field(to) as usize)),
            _ => None,
        }
    }
}

/// The upper half of the hash, made never zero; the lower half chose the slot.
#[inline]
fn fingerprint(hash: u64) -> u64 {
    (hash >> 32) | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;
    use std::collections::BTreeSet;

    fn table(names: &[&str]) -> NameTable {
        let names: BTreeSet<Name> = names.iter().map(|name| name.parse().unwrap()).collect();
        let mut builder = Builder::default();
        for name in &names {
            builder.push(name.as_wire(), 1);
        }
        builder.build(HashKey::random())
    }

    fn found(table: &NameTable, name: &str) -> Vec<(String, usize)> {
        let name = CanonicalName::from(&name.parse::<Name>().unwrap());
        let mut all = Vec::new();
        table.search(&name, |entry| {
            all.push((Name::from_wire(table.name(entry.number)).unwrap().to_string(), entry.depth));
        });
        all
    }

    #[test]
    fn every_listed_ancestor_is_found_shortest_first() {
        let table = table(&["com", "tiktok.com", "www.tiktok.com", "qq.net"]);
        let expected = [("com", 2), ("tiktok.com", 1), ("www.tiktok.com", 0)].map(|(n, d)| (n.to_owned(), d));
        assert_eq!(found(&table, "WWW.tiktok.com"), expected);
        assert_eq!(
            found(&table, "xtiktok.com"),
            expected[..1].iter().map(|(n, _)| (n.clone(), 1)).collect::<Vec<_>>()
        );
        assert_eq!(found(&table, "a.b.c.d.e.qq.net"), [("qq.net".to_owned(), 5)]);
        assert_eq!(found(&table, "net"), []);
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        let table = table(&[]);
        assert!(table.len() == 0 && found(&table, "a.b").is_empty());
    }

    #[test]
    fn agrees_with_a_plain_set_on_many_names() {
        let listed: Vec<String> =
            (0..5000).map(|i| format!("n{}.zone{}.test", i * 7 % 5000, i % 50)).collect();
        let table = table(&listed.iter().map(String::as_str).collect::<Vec<_>>());
        for i in 0..5000 {
            let asked = format!("n{i}.zone{}.test", i % 53);
            assert_eq!(!found(&table, &asked).is_empty(), listed.contains(&asked), "{asked}");
        }
    }

    #[test]
    fn a_rule_knows_its_name() {
        let table = table(&["a.test", "b.test", "c.test"]);
        for number in 0..3 {
            assert_eq!(table.entry_of(number), number);
            assert_eq!(table.rules(number), number as usize..number as usize + 1);
        }
    }
}
