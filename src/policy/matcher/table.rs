//! Owns the table of listed names: groups of one-byte tags that say where to look, and behind each group the rules
//! themselves, their names in a code of half the size. Exact: a tag only nominates, the name's code decides. Immutable.

use std::sync::Arc;

use super::code::Code;
use super::hash::HashKey;
use super::image::Image;
use super::rules::{Listed, Rules};
use crate::dns::CanonicalName;

/// Rules by the names they are listed under, each rule an entry of its own.
///
/// A name's hash chooses a group and a tag. A group has places for [`PLACES`] entries, filled from the first; what finds
/// no place goes to the next group with one. A search reads the group's tags, nearly always nothing else: groups take
/// less than two bytes a name, so that those of millions of names stay in the processor's caches.
///
/// Groups and entries are bytes of one fixed form, so that a table is used as it lies in a file. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct NameTable {
    pub(super) key: HashKey,
    pub(super) code: Arc<Code>,
    /// Each group: [`PLACES`] tags, and where its entries begin in little-endian form.
    pub(super) groups: Image,
    /// Each entry: the length of what follows; kind; line; the name's code. Numbers are in LEB128.
    pub(super) entries: Image,
    pub(super) length: usize,
    /// Fewest and most labels of any listed name: other suffixes need no look.
    pub(super) shallowest: usize,
    pub(super) deepest: usize,
}

/// A group as it is searched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'t> {
    /// A byte of the hash of each entry; zero for an empty place.
    pub(super) tags: &'t [u8; PLACES],
    /// Where its entries begin.
    pub(super) start: u32,
}

/// A group as bytes. Sixteen of them, which never straddle two cache lines: allocations of whole groups and sections of
/// a file begin at a multiple of sixteen.
type Row = [u8; GROUP];

/// A rule whose listed name is the searched name or an ancestor of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number; not dense.
    pub number: u32,
    /// The number of its kind.
    pub kind: u32,
    /// How many labels of the searched name stand in front of the listed one; zero when it is the name itself.
    pub depth: usize,
}

/// Bytes of a group.
pub(super) const GROUP: usize = 16;
/// Places in a group.
pub(super) const PLACES: usize = 12;
/// Entries a group is meant for. Three quarters full, one group in eight is too small for what hashes to it.
const MEANT: usize = 9;

/// One stored entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'t> {
    pub(super) kind: u32,
    pub(super) line: u32,
    pub(super) code: &'t [u8],
}

impl NameTable {
    /// Most rules a table holds: their numbers fit 32 bits, and their entries four gigabytes.
    pub(crate) const MOST: usize = 100_000_000;

    /// Builds the table from at most [`Self::MOST`] rules. The same rules in the same order under the same key make the
    /// same table. Beside it, making one takes eight bytes a rule.
    pub(crate) fn new(key: HashKey, rules: &(impl Rules + ?Sized)) -> Self {
        let groups = (rules.count() / MEANT + 1).max(rules.count().div_ceil(PLACES));
        let mut rows: Vec<Row> = vec![Row::default(); groups];
        let mut table = Self {
            key,
            code: Arc::new(Code::for_names(rules)),
            groups: Image::default(),
            entries: Image::default(),
            length: rules.count(),
            shallowest: usize::MAX,
            deepest: 0,
        };
        let mut places: Vec<u32> = Vec::with_capacity(rules.count());
        let mut room = Vec::new();
        for at in 0..rules.count() {
            let name = rules.rule(at, &mut room).map_or(&[][..], |rule| rule.name);
            let (hash, labels) = table.hash(name);
            table.shallowest = table.shallowest.min(labels);
            table.deepest = table.deepest.max(labels);
            places.push(take_place(&mut rows, hash));
        }
        // Which rule is in which place; one in four places stays empty.
        let mut order = vec![u32::MAX; groups * PLACES];
        for (rule, place) in (0..).zip(places) {
            if let Some(slot) = order.get_mut(place as usize) {
                *slot = rule;
            }
        }
        table.write(rows, &order, rules);
        table
    }

    /// How many rules there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// More than the largest number of any rule.
    pub(crate) fn numbers(&self) -> u32 {
        (self.rows().len() * PLACES) as u32
    }

    /// Calls `found` for every rule whose listed name is among `name` and its ancestors, shortest name first.
    #[inline]
    pub(crate) fn search(&self, name: &CanonicalName, mut found: impl FnMut(Entry)) {
        for (depth, hash) in self.suffixes(name) {
            self.find(hash, name.suffix(depth), |number, kind| found(Entry { number, kind, depth }));
        }
    }

    /// Reads ahead what searching for the names of one batch will read. Three walks, in each of which no step waits for the
    /// one before: hashes, then groups, then entries; the processor fetches what they touch side by side. Returns a number
    /// that depends on all that was read, so that nothing is left out.
    pub(crate) fn look_ahead<'n>(
        &self,
        names: impl Iterator<Item = &'n CanonicalName>,
        hashes: &mut Vec<u64>,
    ) -> u64 {
        hashes.clear();
        for name in names {
            hashes.extend(self.suffixes(name).map(|(_, hash)| hash));
        }
        let group = |hash: &u64| self.group_at(self.group(*hash));
        let mut read: u64 = hashes.iter().filter_map(group).map(|group| u64::from(group.start)).sum();
        for hash in hashes.iter() {
            if let Some(Group { tags, start }) =
                group(hash).filter(|group| places_of(tag(*hash), group.tags) != 0)
            {
                // A group's entries take two cache lines, now and then three.
                let lines = [0, 64].map(|line| self.entries.get(start as usize + line).copied().unwrap_or(0));
                read += lines.into_iter().map(u64::from).sum::<u64>() + u64::from(tags[0]);
            }
        }
        read
    }

    /// The wire form of rule `number`'s name, its kind and its line.
    pub(crate) fn rule(&self, number: u32) -> Option<(Vec<u8>, u32, u32)> {
        let mut name = Vec::new();
        let (kind, line) = self.rule_into(number, &mut name)?;
        Some((name, kind, line))
    }

    /// The same, with the name in place of what `name` held.
    pub(crate) fn rule_into(&self, number: u32, name: &mut Vec<u8>) -> Option<(u32, u32)> {
        let number = number as usize;
        let stored = self.stored(number / PLACES, number % PLACES)?;
        self.code.read_into(stored.code, name);
        Some((stored.kind, stored.line))
    }

    /// The line of rule `number`.
    pub(crate) fn line(&self, number: u32) -> Option<u32> {
        let number = number as usize;
        self.stored(number / PLACES, number % PLACES).map(|stored| stored.line)
    }

    /// Calls `found` with number and kind of every rule that is listed under that very name, in wire form.
    pub(crate) fn each_named(&self, name: &[u8], found: impl FnMut(u32, u32)) {
        self.find(self.hash(name).0, name, found);
    }

    /// Every rule: its number, the wire form of its name, its kind and its line. In no order that means anything.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (u32, Vec<u8>, u32, u32)> {
        self.places().filter_map(|(group, place)| {
            let stored = self.stored(group, place)?;
            let number = (group * PLACES + place) as u32;
            Some((number, self.code.read(stored.code), stored.kind, stored.line))
        })
    }

    /// The number of every rule.
    pub(crate) fn rule_numbers(&self) -> impl Iterator<Item = u32> {
        self.places().map(|(group, place)| (group * PLACES + place) as u32)
    }

    /// Every place that is taken, by group.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let filled = |row: &Row| row.iter().take(PLACES).filter(|tag| **tag != 0).count();
        (0..).zip(self.rows()).flat_map(move |(at, row)| (0..filled(row)).map(move |place| (at, place)))
    }

    /// Bytes this table holds.
    pub(crate) fn memory(&self) -> usize {
        self.groups.len() + self.entries.len() + self.code.memory()
    }

    /// The suffixes of `name` that may be listed, shortest first: the labels in front of each, and its hash.
    #[inline]
    fn suffixes(&self, name: &CanonicalName) -> impl Iterator<Item = (usize, u64)> {
        let labels = name.label_count();
        let mut hash = self.key.root();
        let all = (labels.saturating_sub(self.deepest)..labels).rev().map(move |depth| {
            hash = self.key.prepend(hash, name.label(depth));
            (depth, hash)
        });
        all.filter(move |(depth, _)| labels - depth >= self.shallowest)
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, name: &[u8], mut found: impl FnMut(u32, u32)) {
        let tag = tag(hash);
        let mut group = self.group(hash);
        loop {
            let Some(Group { tags, .. }) = self.group_at(group) else { return };
            let mut matches = places_of(tag, tags);
            while matches != 0 {
                let place = matches.trailing_zeros() as usize;
                matches &= matches - 1;
                if let Some(stored) =
                    self.stored(group, place).filter(|stored| self.code.is(stored.code, name))
                {
                    found((group * PLACES + place) as u32, stored.kind);
                }
            }
            // A group that is not full has room for whatever came after it.
            if tags.last() == Some(&0) {
                return;
            }
            group = self.after(group);
        }
    }

    pub(super) fn stored(&self, group: usize, place: usize) -> Option<Stored<'_>> {
        let mut rest = self.entries.get(self.group_at(group)?.start as usize..)?;
        for _ in 0..place {
            let length = number(&mut rest)?;
            rest = rest.get(length as usize..)?;
        }
        let length = number(&mut rest)?;
        let mut entry = rest.get(..length as usize)?;
        Some(Stored { kind: number(&mut entry)?, line: number(&mut entry)?, code: entry })
    }

    #[inline]
    pub(super) fn rows(&self) -> &[Row] {
        self.groups.as_chunks().0
    }

    #[inline]
    pub(super) fn group_at(&self, group: usize) -> Option<Group<'_>> {
        let (tags, start) = self.rows().get(group)?.split_first_chunk()?;
        Some(Group { tags, start: u32::from_le_bytes(*start.first_chunk()?) })
    }

    #[inline]
    pub(super) fn group(&self, hash: u64) -> usize {
        home(hash, self.rows().len())
    }

    #[inline]
    fn after(&self, group: usize) -> usize {
        next(group, self.rows().len())
    }

    pub(super) fn hash(&self, name: &[u8]) -> (u64, usize) {
        let name = CanonicalName::read(name).unwrap_or_else(CanonicalName::root);
        let labels = name.label_count();
        let hash = (0..labels).rev().fold(self.key.root(), |hash, at| self.key.prepend(hash, name.label(at)));
        (hash, labels)
    }

    fn write(&mut self, mut rows: Vec<Row>, order: &[u32], rules: &(impl Rules + ?Sized)) {
        /// What hardly any list needs a rule: memory that is reserved and not written to is none, growing would need it twice.
        const ROOM: usize = 24;
        let mut entries = Vec::with_capacity(self.length * ROOM);
        let (mut entry, mut room) = (Vec::new(), Vec::new());
        for (row, rules_of) in rows.iter_mut().zip(order.chunks(PLACES)) {
            if let Some(start) = row.last_chunk_mut() {
                *start = (entries.len() as u32).to_le_bytes();
            }
            for rule in rules_of {
                let Some(Listed { name, kind, line }) = rules.rule(*rule as usize, &mut room) else {
                    continue;
                };
                entry.clear();
                write_number(kind, &mut entry);
                write_number(line, &mut entry);
                self.code.write(name, &mut entry);
                write_number(entry.len() as u32, &mut entries);
                entries.extend_from_slice(&entry);
            }
        }
        self.entries = entries.into();
        self.groups = rows.into_flattened().into();
    }
}

/// The group of a hash: its upper half, scaled to the number of groups.
#[inline]
fn home(hash: u64, groups: usize) -> usize {
    (((hash >> 32) * groups as u64) >> 32) as usize
}

/// The group that takes what finds no place in that one.
#[inline]
fn next(group: usize, groups: usize) -> usize {
    if group + 1 < groups { group + 1 } else { 0 }
}

fn take_place(rows: &mut [Row], hash: u64) -> u32 {
    let groups = rows.len();
    let mut group = home(hash, groups);
    loop {
        let row = rows.get_mut(group).and_then(|row| row.first_chunk_mut::<PLACES>());
        if let Some(tags) = row
            && let Some(place) = tags.iter().position(|tag| *tag == 0)
        {
            if let Some(slot) = tags.get_mut(place) {
                *slot = tag(hash);
            }
            return (group * PLACES + place) as u32;
        }
        // There are more places than rules, so one is free.
        group = next(group, groups);
    }
}

/// The lower bits of the hash, made never zero; the upper half chose the group.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

/// The places, by bit, whose tag is `tag`. Written so that it compiles to one comparison of all.
#[inline]
fn places_of(tag: u8, tags: &[u8; PLACES]) -> u16 {
    let mut places = 0;
    for (place, other) in tags.iter().enumerate() {
        places |= u16::from(*other == tag) << place;
    }
    places
}

/// Takes a number in LEB128 from the front of `rest`.
#[inline]
pub(super) fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u32::from(byte & 0x7F).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn write_number(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;

    fn table(names: &[impl AsRef<str>]) -> NameTable {
        let names: Vec<Name> = names.iter().map(|name| name.as_ref().parse().unwrap()).collect();
        let listed = (0..).zip(&names).map(|(at, name)| (at, name.as_wire()));
        let listed: Vec<Listed<'_>> =
            listed.map(|(at, name)| Listed { name, kind: at % 100, line: at }).collect();
        NameTable::new(HashKey::of(&[7; 32]), listed.as_slice())
    }

    fn found(table: &NameTable, name: &str) -> Vec<(String, usize)> {
        let name = CanonicalName::from(&name.parse::<Name>().unwrap());
        let mut all = Vec::new();
        table.search(&name, |entry| {
            let (wire, _, line) = table.rule(entry.number).unwrap();
            assert_eq!(line % 100, entry.kind);
            all.push((Name::from_wire(&wire).unwrap().to_string(), entry.depth));
        });
        all
    }

    #[test]
    fn every_listed_ancestor_is_found_shortest_first() {
        let table = table(&["com", "tiktok.com", "www.tiktok.com", "qq.net"]);
        let expected = [("com", 2), ("tiktok.com", 1), ("www.tiktok.com", 0)].map(|(n, d)| (n.to_owned(), d));
        assert_eq!(found(&table, "WWW.tiktok.com"), expected);
        assert_eq!(found(&table, "xtiktok.com"), [("com".to_owned(), 1)]);
        assert_eq!(found(&table, "a.b.c.d.e.qq.net"), [("qq.net".to_owned(), 5)]);
        assert_eq!(found(&table, "net"), []);
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        let table = table(&[""; 0]);
        assert!(table.len() == 0 && found(&table, "a.b").is_empty() && table.rules().count() == 0);
    }

    #[test]
    fn a_name_listed_by_several_lists_is_found_for_each() {
        let table = table(&["a.test"; 40]);
        assert_eq!(found(&table, "x.a.test").len(), 40, "also when they fill more than a group");
    }

    #[test]
    fn agrees_with_a_plain_set_on_many_names() {
        let listed: Vec<String> =
            (0..5000).map(|i| format!("n{}.zone{}.test", i * 7 % 5000, i % 50)).collect();
        let table = table(&listed);
        for i in 0..5000 {
            let asked = format!("n{i}.zone{}.test", i % 53);
            assert_eq!(!found(&table, &asked).is_empty(), listed.contains(&asked), "{asked}");
        }
        let mut kept: Vec<String> =
            table.rules().map(|(_, wire, ..)| Name::from_wire(&wire).unwrap().to_string()).collect();
        let mut listed = listed;
        kept.sort();
        listed.sort();
        assert_eq!(kept, listed);
    }

    #[test]
    fn a_rule_takes_at_most_sixteen_bytes() {
        let listed: Vec<String> = (0..100_000u64)
            .map(|i| {
                format!(
                    "{}-{}.{}",
                    ["ads", "tracker", "metrics", "cdn"][i as usize % 4],
                    i * 7919 % 999_983,
                    ["com", "net", "de"][i as usize % 3]
                )
            })
            .collect();
        let table = table(&listed);
        assert!(table.memory() <= 16 * table.len(), "{} bytes", table.memory() as f64 / table.len() as f64);
    }

    #[test]
    fn numbers_are_read_back() {
        let mut out = Vec::new();
        let all = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, u32::MAX];
        all.iter().for_each(|value| write_number(*value, &mut out));
        let mut rest = out.as_slice();
        assert_eq!(std::iter::from_fn(|| number(&mut rest)).collect::<Vec<_>>(), all);
    }
}
