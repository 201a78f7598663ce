//! Owns what came to a rulebook and went from it since its table was built: few rules, so that a change of a line costs what
//! the line costs and not what the list does. Never reads a list; edits say what changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::digest::key_of;
use super::edit::{Edit, Sorted};
use super::gathering::runs;
use super::lines::LineMap;
use super::rule::Rule;
use super::rulebook::{Rulebook, Run, Source};
use super::snapshot::{DEFAULT_ACTION, RuleKind};
use crate::dns::Name;

/// Rules beside a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay {
    /// Numbers of the table's rules that are listed no more, sorted.
    pub(super) removed: Vec<u32>,
    /// Rules that are listed now and not in the table: name and kind, and line.
    pub(super) added: BTreeMap<(Name, u32), u32>,
    /// Where the lines of each set stand now.
    lines: BTreeMap<u16, LineMap>,
    /// Rules that stand in their list more than once, as keys; besides those the table knows of.
    pub(super) repeated: BTreeSet<u64>,
}

impl Overlay {
    /// How many rules differ from the table's, and how often lines moved.
    pub(super) fn len(&self) -> usize {
        self.removed.len() + self.added.len() + self.lines.values().map(LineMap::len).sum::<usize>()
    }

    /// True while the table's rule of that number is listed.
    #[inline]
    pub(super) fn leaves(&self, number: u32) -> bool {
        self.removed.is_empty() || self.removed.binary_search(&number).is_err()
    }

    /// Takes a rule of the table out; `None` when it is out.
    fn remove(&mut self, number: u32) -> Option<()> {
        let place = self.removed.binary_search(&number).err()?;
        self.removed.insert(place, number);
        Some(())
    }

    /// Where a line of a set stands now that stood there when the table was built.
    pub(super) fn line(&self, set: u16, line: u32) -> u32 {
        self.lines.get(&set).map_or(line, |map| map.now(line))
    }

    /// Kind and line of each rule added under that name, in wire form.
    pub(super) fn named(&self, name: &[u8]) -> impl Iterator<Item = (u32, u32)> {
        let name = if self.added.is_empty() { None } else { Name::from_wire(name).ok() };
        name.into_iter().flat_map(|name| {
            let all = self.added.range((name.clone(), 0)..=(name, u32::MAX));
            all.map(|((_, kind), line)| (*kind, *line))
        })
    }

    /// Bytes held, about.
    pub(super) fn memory(&self) -> usize {
        /// A name on the heap, and its share of a tree.
        const ADDED: usize = 128;
        self.removed.len() * size_of::<u32>()
            + self.added.len() * ADDED
            + self.lines.values().map(|map| map.len() * size_of::<(u32, i64)>()).sum::<usize>()
    }
}

/// A rulebook on its way to the next.
struct Revision<'b> {
    book: &'b Rulebook,
    kinds: Vec<RuleKind>,
    numbers: HashMap<RuleKind, u32>,
    next: Rulebook,
}

impl Rulebook {
    /// How many rules it has that its table does not, or otherwise: what a search pays for besides.
    pub fn overlay_len(&self) -> usize {
        self.since.len()
    }

    /// The rulebook after `edits` of lists, each named by its place in the order of the configuration: the same as if all lists
    /// had been read again. `None` when that has to be done, because of what else hangs on a rule that changed.
    pub fn edited(&self, edits: &[(usize, Vec<Edit>)]) -> Option<Self> {
        let sorted: Vec<(usize, Vec<(&Edit, Sorted<'_>)>)> = edits
            .iter()
            .map(|(source, edits)| (*source, edits.iter().map(|edit| (edit, edit.sorted())).collect()))
            .collect();
        let mut revision = Revision {
            book: self,
            kinds: self.kinds.clone(),
            numbers: self.kinds.iter().copied().zip(0..).collect(),
            next: self.shared(),
        };
        for (source, edits) in &sorted {
            let set = self.set_of_source(*source)?;
            revision.move_lines(set, edits);
            for rule in edits.iter().flat_map(|(_, sorted)| &sorted.removed) {
                revision.remove(set, rule)?;
            }
        }
        for (source, edits) in &sorted {
            let set = self.set_of_source(*source)?;
            for rule in edits.iter().flat_map(|(_, sorted)| &sorted.added) {
                revision.add(set, rule)?;
            }
            revision.next.sources.get_mut(*source)?.edit(edits.iter().map(|(edit, _)| *edit));
        }
        let Revision { mut next, kinds, .. } = revision;
        next.kinds = kinds;
        next.settle();
        Some(next)
    }

    fn set_of_source(&self, source: usize) -> Option<u16> {
        let first = self.sets.len().checked_sub(self.sources.len())?;
        u16::try_from(first + source).ok()
    }

    /// A copy that shares what is large.
    pub(super) fn shared(&self) -> Self {
        Self {
            catalog: Arc::clone(&self.catalog),
            sources: self.sources.clone(),
            base: Arc::clone(&self.base),
            since: self.since.clone(),
            names: self.names,
            kinds: Vec::new(),
            sets: self.sets.clone(),
            actions: self.actions.clone(),
            answers: Arc::clone(&self.answers),
            clients: Arc::clone(&self.clients),
            name_servers: Arc::clone(&self.name_servers),
            catalog_digest: self.catalog_digest,
            digest: self.digest,
            bundle: self.bundle,
            problems: self.problems.clone(),
            covering: Vec::new(),
        }
    }

    /// The number of the table's rule of that name and kind, if it is listed still.
    fn number_of(&self, name: &[u8], kind: u32) -> Option<u32> {
        let mut all = None;
        self.base.table.each_named(name, |number, found| {
            if found == kind && self.since.leaves(number) {
                all = Some(number);
            }
        });
        all
    }

    /// True when any rule is listed under that very name, in wire form.
    pub(super) fn lists(&self, name: &Name) -> bool {
        let mut listed = self.since.named(name.as_wire()).next().is_some();
        self.base.table.each_named(name.as_wire(), |number, _| listed |= self.since.leaves(number));
        listed
    }
}

impl Revision<'_> {
    fn kind(&mut self, set: u16, rule: &Rule) -> (RuleKind, u32) {
        let action = rule.action.clone().map_or(DEFAULT_ACTION, |action| self.next.actions.number(*action));
        let kind = RuleKind { set, reach: rule.reach, action };
        let number = *self.numbers.entry(kind).or_insert_with(|| {
            self.kinds.push(kind);
            self.kinds.len() as u32 - 1
        });
        (kind, number)
    }

    fn move_lines(&mut self, set: u16, edits: &[(&Edit, Sorted<'_>)]) {
        let mut change = LineMap::default();
        for (edit, Sorted { kept, .. }) in edits {
            for (before, now) in kept {
                change.push(*before, *now);
            }
            if edit.until != u32::MAX {
                change.push(edit.until, edit.until_now);
            }
        }
        if change.len() == 0 {
            return;
        }
        let since = &mut self.next.since;
        let known = since.lines.entry(set).or_default();
        *known = known.then(&change);
        for ((_, kind), line) in &mut since.added {
            if self.kinds.get(*kind as usize).is_some_and(|kind| kind.set == set) {
                *line = change.now(*line);
            }
        }
    }

    fn remove(&mut self, set: u16, rule: &Rule) -> Option<()> {
        let (kind, number) = self.kind(set, rule);
        let key = key_of(rule.name.as_wire(), &kind);
        if self.book.base.repeated.binary_search(&key).is_ok() || self.next.since.repeated.contains(&key) {
            // Another line says the same, who knows which.
            return None;
        }
        if self.next.since.added.remove(&(rule.name.clone(), number)).is_none() {
            let listed = self.next.number_of(rule.name.as_wire(), number)?;
            self.next.since.remove(listed)?;
        }
        self.count(set, -1);
        if !self.next.lists(&rule.name) {
            self.next.names -= 1;
        }
        Some(())
    }

    fn add(&mut self, set: u16, rule: &Rule) -> Option<()> {
        let (kind, number) = self.kind(set, rule);
        let name = &rule.name;
        let own = (name.clone(), number);
        let listed = self.next.number_of(name.as_wire(), number);
        let known = match (self.next.since.added.get(&own), listed) {
            (Some(line), _) => Some(*line),
            (None, Some(listed)) => {
                let (_, _, line) = self.next.base.table.rule(listed)?;
                Some(self.next.since.line(set, line))
            }
            (None, None) => None,
        };
        if let Some(line) = known {
            self.next.since.repeated.insert(key_of(name.as_wire(), &kind));
            // The first line that says it counts.
            if rule.line < line {
                if let Some(listed) = listed {
                    self.next.since.remove(listed)?;
                }
                self.next.since.added.insert(own, rule.line);
            }
            return Some(());
        }
        if !self.next.lists(name) {
            self.next.names += 1;
        }
        self.count(set, 1);
        self.next.since.added.insert(own, rule.line);
        Some(())
    }

    fn count(&mut self, set: u16, by: i32) {
        if let Some(set) = self.next.sets.get_mut(usize::from(set)) {
            set.rules = set.rules.saturating_add_signed(by);
        }
    }
}

impl Source {
    /// The runs after some edits, in order: those of the lines between are the same, elsewhere.
    fn edit<'e>(&mut self, edits: impl Iterator<Item = &'e Edit>) {
        let mut now = Vec::with_capacity(self.runs.len() + 2);
        let mut rest = self.runs.as_slice();
        let mut moved = 0i64;
        let shifted = |run: &Run, by: i64| Run { line: (i64::from(run.line) + by) as u32, ..*run };
        for edit in edits {
            let (before, others) = rest.split_at(rest.partition_point(|run| run.line < edit.from));
            now.extend(before.iter().map(|run| shifted(run, moved)));
            now.extend(runs(&edit.come));
            rest = others.get(others.partition_point(|run| run.line < edit.until)..).unwrap_or(&[]);
            moved = i64::from(edit.until_now) - i64::from(edit.until);
        }
        now.extend(rest.iter().map(|run| shifted(run, moved)));
        self.runs = now;
        self.sum_up();
    }
}
