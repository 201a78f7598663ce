//! Owns what a snapshot lists: the rulebook's table, what came and went since it was built, and the names that exceptions
//! free, searched and told as one. Never decides.

use super::matcher::Entry;
use super::snapshot::Snapshot;
use crate::dns::CanonicalName;

impl Snapshot {
    /// True when the lists are too long for a processor's own caches, so that [`Snapshot::look_ahead`] pays.
    #[inline]
    pub fn is_large(&self) -> bool {
        /// A core's second-level cache holds this much beside all else.
        const CACHED: usize = 512 << 10;
        self.book.base.table.memory() > CACHED
    }

    /// Reads ahead what deciding `names`, a batch of questions, will read. `scratch` is the caller's to keep. The number
    /// returned means nothing.
    pub fn look_ahead<'n>(
        &self,
        names: impl Iterator<Item = &'n CanonicalName>,
        scratch: &mut Vec<u64>,
    ) -> u64 {
        self.book.base.table.look_ahead(names, scratch)
    }

    /// Calls `found` for every rule whose name is among `name` and its ancestors: the table's, then those beside it.
    #[inline]
    pub(super) fn search(&self, name: &CanonicalName, mut found: impl FnMut(Entry)) {
        let since = &self.book.since;
        self.book.base.table.search(name, |entry| {
            if since.leaves(entry.number) {
                found(entry);
            }
        });
        if self.beside.len() > 0 {
            self.search_beside(name, &mut found);
        }
    }

    /// Out of line: most policies have nothing there.
    #[inline(never)]
    fn search_beside(&self, name: &CanonicalName, found: &mut dyn FnMut(Entry)) {
        let first = self.book.base.table.numbers();
        self.beside.search(name, |entry| found(Entry { number: first + entry.number, ..entry }));
    }

    /// The wire form of rule `number`'s name, and its line.
    pub(super) fn rule(&self, number: u32) -> Option<(Vec<u8>, u32)> {
        let table = &self.book.base.table;
        match number.checked_sub(table.numbers()) {
            None => {
                let (name, kind, line) = table.rule(number)?;
                Some((name, self.line(kind, line)))
            }
            Some(beside) => self.beside.rule(beside).map(|(name, _, line)| (name, line)),
        }
    }

    /// The line of rule `number`, which is of that kind.
    pub(super) fn line_of(&self, number: u32, kind: u32) -> Option<u32> {
        let table = &self.book.base.table;
        match number.checked_sub(table.numbers()) {
            None => table.line(number).map(|line| self.line(kind, line)),
            Some(beside) => self.beside.line(beside),
        }
    }

    /// Where a line stands now that a rule of `kind` had when the rulebook's table was built.
    pub(super) fn line(&self, kind: u32, line: u32) -> u32 {
        self.kinds.get(kind as usize).map_or(line, |kind| self.book.since.line(kind.set, line))
    }

    /// Every rule: the wire form of its name, and its kind.
    pub(super) fn rules(&self) -> impl Iterator<Item = (Vec<u8>, u32)> {
        let table = self.book.base.table.rules();
        let listed = table.filter(|(number, ..)| self.book.since.leaves(*number));
        listed.map(|(_, name, kind, _)| (name, kind)).chain(self.rules_beside())
    }

    /// Those of them that are not in the rulebook's table.
    pub(super) fn rules_beside(&self) -> impl Iterator<Item = (Vec<u8>, u32)> {
        self.beside.rules().map(|(_, name, kind, _)| (name, kind))
    }

    /// Those of the names that exceptions free.
    pub(super) fn rules_of_exceptions(&self) -> impl Iterator<Item = (Vec<u8>, u32)> {
        self.rules_beside().filter(|(_, kind)| *kind as usize >= self.book.kinds.len())
    }

    /// The rules of the table that are listed no more, and that `other`, of the same table, lists.
    pub(super) fn removed_since(&self, other: &Self) -> impl Iterator<Item = (Vec<u8>, u32)> {
        let removed = self.book.since.removed.iter();
        let only_here = removed.filter(|number| other.book.since.leaves(**number));
        only_here.filter_map(|number| self.book.base.table.rule(*number)).map(|(name, kind, _)| (name, kind))
    }

    /// True when both list catalog and lists under the same names.
    pub(super) fn is_titled_as(&self, other: &Self) -> bool {
        let titles = |snapshot: &Self| -> Vec<String> {
            (0..snapshot.book.sets.len()).map(|set| snapshot.set_title(set as u16)).collect()
        };
        titles(self) == titles(other)
    }

    /// How many rules [`Self::rules`] gives.
    pub(super) fn listed_count(&self) -> usize {
        self.book.base.table.len() + self.beside.len() - self.book.since.removed.len()
    }

    /// True when a rule of `kind` is listed under `name`, in wire form.
    pub(super) fn holds(&self, name: &[u8], kind: u32) -> bool {
        let mut held = false;
        self.each_named(name, |found| held |= found == kind);
        held
    }

    /// True when any rule is listed under that very name.
    pub fn lists(&self, name: &CanonicalName) -> bool {
        let mut listed = false;
        self.each_named(name.as_wire(), |_| listed = true);
        listed
    }

    /// Every name that any rule is listed under, each once, in no order that means anything.
    pub fn listed_names(&self) -> impl Iterator<Item = CanonicalName> {
        let since = &self.book.since;
        let table = &self.book.base.table;
        // Several rules may be listed under a name: the one of the lowest number speaks for all.
        let first = |name: &[u8]| {
            let mut first = u32::MAX;
            table.each_named(name, |number, _| {
                if since.leaves(number) {
                    first = first.min(number);
                }
            });
            first
        };
        let in_table = table.rules().filter(move |(number, name, ..)| first(name) == *number);
        let beside = self.beside.rules().filter(move |(number, name, ..)| {
            let mut lowest = u32::MAX;
            self.beside.each_named(name, |number, _| lowest = lowest.min(number));
            lowest == *number && first(name) == u32::MAX
        });
        in_table.chain(beside).filter_map(|(_, wire, ..)| CanonicalName::read(&wire))
    }

    /// Calls `found` with the kind of every rule that is listed under that very name, in wire form.
    fn each_named(&self, name: &[u8], mut found: impl FnMut(u32)) {
        self.book.base.table.each_named(name, |number, kind| {
            if self.book.since.leaves(number) {
                found(kind);
            }
        });
        self.beside.each_named(name, |_, kind| found(kind));
    }
}
