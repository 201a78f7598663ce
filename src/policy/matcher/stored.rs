//! Owns a table as a file keeps it, and the checks by which such bytes become a table again: whatever they are, a search in
//! what passes neither panics, nor reads outside, nor runs on for long. Never reads a file, and never judges a rule.

use std::sync::Arc;

use super::code::Code;
use super::hash::HashKey;
use super::image::Image;
use super::table::{GROUP, NameTable, PLACES, number};
use crate::dns::CanonicalName;

/// A table in the parts that are kept: two large ones, used where they lie, and a small one that is read.
#[derive(Clone, Debug)]
pub(crate) struct StoredTable {
    pub(crate) groups: Image,
    pub(crate) entries: Image,
    /// Parents, then the length of each word.
    pub(crate) code: Vec<u8>,
    /// Fewest and most labels of any listed name.
    pub(crate) labels: (usize, usize),
}

/// Why parts are no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of its {part}")]
pub(crate) struct Damage {
    part: &'static str,
    at: usize,
    what: &'static str,
}

/// Full groups that may follow each other, and a search then walks: 49,152 rules under one name, or by chance never.
const LONGEST_RUN: usize = 4096;
/// Longest entry: 255 bytes of name in the longest words, and two numbers.
const LONGEST_ENTRY: usize = 1024;
/// Most labels of a name (RFC 1035 section 2.3.4: 255 bytes).
const MOST_LABELS: usize = 127;

impl NameTable {
    /// The table in parts; the large ones are shared with it.
    pub(crate) fn store(&self) -> StoredTable {
        let mut code = (self.code.parents.len() as u32).to_le_bytes().to_vec();
        for parent in &self.code.parents {
            code.push(parent.len() as u8);
            code.extend_from_slice(parent);
        }
        code.extend(self.code.lengths());
        let (groups, entries) = (self.groups.clone(), self.entries.clone());
        StoredTable { groups, entries, code, labels: (self.shallowest, self.deepest) }
    }

    /// Makes a table of parts that somebody else may have written. Every entry is looked at once: `counted` is told the kind of
    /// each, which is below `kinds`.
    pub(crate) fn restore(
        key: HashKey,
        stored: StoredTable,
        kinds: usize,
        counted: impl FnMut(u32),
    ) -> Result<Self, Damage> {
        let StoredTable { groups, entries, code, labels: (shallowest, deepest) } = stored;
        let code = read_code(&code)?;
        if deepest > MOST_LABELS {
            return Err(Damage { part: "head", at: 0, what: "more labels than a name has" });
        }
        let mut table = Self { key, code: Arc::new(code), groups, entries, length: 0, shallowest, deepest };
        table.length = table.walk(kinds, counted)?;
        Ok(table)
    }

    /// Whether each rule is where a search for its name finds it, and its name is one.
    pub(crate) fn is_searchable(&self) -> bool {
        self.rule_numbers().all(|number| {
            let Some((wire, ..)) = self.rule(number) else { return false };
            let Some(name) = CanonicalName::read(&wire).filter(|name| name.as_wire() == wire) else {
                return false;
            };
            let mut found = false;
            match name.label_count() {
                // Nobody asks for what is above a name's last label; a rule for the root is there all the same.
                0 => self.find(self.hash(&wire).0, &wire, |other, _| found |= other == number),
                _ => self.search(&name, |entry| found |= entry.number == number),
            }
            found
        })
    }

    /// Follows every group and entry from the first to the last; returns how many entries there are.
    fn walk(&self, kinds: usize, mut counted: impl FnMut(u32)) -> Result<usize, Damage> {
        let in_groups = |group: usize, what| Err(Damage { part: "groups", at: group * GROUP, what });
        let rows = self.rows().len();
        if rows == 0 || self.groups.len() != rows * GROUP || rows > Self::MOST {
            return in_groups(0, "not a number of groups that a table has");
        }
        if u32::try_from(self.entries.len()).is_err() {
            return Err(Damage { part: "entries", at: 0, what: "more than four gigabytes" });
        }
        let (mut at, mut length) = (0, 0);
        let (mut run, mut first_run, mut longest) = (0, None, 0);
        for number in 0..rows {
            let Some(group) = self.group_at(number) else { return in_groups(number, "no group") };
            let filled = group.tags.iter().take_while(|tag| **tag != 0).count();
            if group.tags.iter().skip(filled).any(|tag| *tag != 0) {
                return in_groups(number, "an empty place before a full one");
            }
            if group.start as usize != at {
                return in_groups(number, "a group that does not begin where the one before ends");
            }
            for _ in 0..filled {
                let (kind, next) = self.entry_at(at)?;
                if kind as usize >= kinds {
                    return Err(Damage { part: "entries", at, what: "a kind that there is not" });
                }
                counted(kind);
                at = next;
            }
            length += filled;
            run = if filled == PLACES { run + 1 } else { 0 };
            longest = longest.max(run);
            if run == 0 && first_run.is_none() {
                first_run = Some(number);
            }
        }
        if at != self.entries.len() {
            return Err(Damage { part: "entries", at, what: "bytes that no group names" });
        }
        // A search that comes to the last group goes on at the first.
        match first_run {
            Some(first) if longest.max(run + first) <= LONGEST_RUN => Ok(length),
            _ => in_groups(0, "too many full groups in a row"),
        }
    }

    /// The kind of the entry that begins there, and where the next one begins.
    fn entry_at(&self, at: usize) -> Result<(u32, usize), Damage> {
        let damage = |what| Damage { part: "entries", at, what };
        let entry = || {
            let whole = self.entries.get(at..)?;
            let mut rest = whole;
            let length = number(&mut rest)? as usize;
            let mut entry = rest.get(..length)?;
            let kind = number(&mut entry)?;
            number(&mut entry)?;
            let end = at + (whole.len() - rest.len()) + length;
            (!entry.is_empty() && length <= LONGEST_ENTRY).then_some((kind, end))
        };
        entry().ok_or_else(|| damage("not an entry"))
    }
}

fn read_code(bytes: &[u8]) -> Result<Code, Damage> {
    let damage = Damage { part: "code", at: 0, what: "not a code" };
    let read = || {
        let (count, mut rest) = bytes.split_first_chunk()?;
        let mut parents: Vec<Box<[u8]>> = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            let (&length, after) = rest.split_first()?;
            let (parent, after) = after.split_at_checked(usize::from(length))?;
            // Lower case and whole, as names are that are looked for.
            if CanonicalName::read(parent)?.as_wire() != parent {
                return None;
            }
            parents.push(parent.into());
            rest = after;
        }
        Code::of(parents, rest)
    };
    read().ok_or(damage)
}

#[cfg(test)]
mod tests {
    use super::super::rules::Listed;
    use super::*;
    use crate::dns::Name;

    fn table(count: usize) -> NameTable {
        let names: Vec<Name> =
            (0..count).map(|i| format!("n{i}.zone{}.example", i % 7).parse().unwrap()).collect();
        let listed =
            (0..).zip(&names).map(|(at, name)| Listed { name: name.as_wire(), kind: at % 3, line: at });
        NameTable::new(HashKey::of(&[7; 32]), listed.collect::<Vec<_>>().as_slice())
    }

    fn restore(stored: StoredTable) -> Result<NameTable, Damage> {
        NameTable::restore(HashKey::of(&[7; 32]), stored, 3, |_| {})
    }

    #[test]
    fn a_table_comes_back_as_it_was() {
        for count in [0, 1, 500] {
            let table = table(count);
            let mut kinds = [0; 3];
            let back =
                NameTable::restore(HashKey::of(&[7; 32]), table.store(), 3, |kind| kinds[kind as usize] += 1);
            let back = back.unwrap();
            assert!(back.len() == count && kinds.iter().sum::<usize>() == count && back.is_searchable());
            assert!(back.rules().eq(table.rules()));
        }
    }

    #[test]
    fn what_a_search_would_trip_over_is_refused() {
        let good = table(500).store();
        assert!(restore(good.clone()).is_ok());
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.groups.to_vec();
            change(&mut bytes);
            restore(StoredTable { groups: bytes.into(), ..good.clone() }).unwrap_err().to_string()
        };
        assert_eq!(
            with(&|groups| groups[12] = 1),
            "a group that does not begin where the one before ends at byte 0 of its groups"
        );
        assert_eq!(
            with(&|groups| groups[11] = 1),
            "an empty place before a full one at byte 0 of its groups"
        );
        assert!(with(&|groups| groups.truncate(17)).starts_with("not a number of groups"));
        let cut = good.entries.len() - 1;
        let entries = |bytes: &[u8]| restore(StoredTable { entries: bytes.to_vec().into(), ..good.clone() });
        assert_eq!(entries(&good.entries[..cut]).unwrap_err().what, "not an entry");
        assert_eq!(
            entries(&[&good.entries[..], &[0]].concat()).unwrap_err().what,
            "bytes that no group names"
        );
        assert_eq!(
            NameTable::restore(HashKey::of(&[7; 32]), good.clone(), 2, |_| {}).unwrap_err().what,
            "a kind that there is not"
        );
        for cut in 0..good.code.len() {
            assert!(restore(StoredTable { code: good.code[..cut].to_vec(), ..good.clone() }).is_err());
        }
    }

    #[test]
    fn groups_that_are_all_full_are_refused() {
        let entry = [3, 0, 0, 0];
        let group = |number: u32| [vec![1; PLACES], (number * 48).to_le_bytes().to_vec()].concat();
        let stored = |groups: u32| StoredTable {
            groups: (0..groups).flat_map(group).collect::<Vec<u8>>().into(),
            entries: entry.repeat(groups as usize * PLACES).into(),
            ..table(1).store()
        };
        for groups in [1, 2, 5000] {
            assert_eq!(restore(stored(groups)).unwrap_err().what, "too many full groups in a row");
        }
    }
}
