//! Owns the putting in order of a rulebook that was edited: what came and went since its table was built becomes a table again.
//! Made from the table and not from the lists' text, name by name, so that it costs little more than the table itself. Never changes a rule.

use std::sync::Arc;

use super::address::{AddressTable, ListedPrefix};
use super::digest::Sum;
use super::matcher::{HashKey, Listed, NameTable, Rules};
use super::overlay::Overlay;
use super::rulebook::{Base, Rulebook};
use super::snapshot::RuleKind;

/// The rules of a rulebook as they are now: those of its table that are listed still, then those that came.
struct Now<'b> {
    book: &'b Rulebook,
    /// Numbers of the table's.
    stayed: Vec<u32>,
    came: Vec<Listed<'b>>,
}

impl Rulebook {
    /// The same rules with nothing beside the table.
    pub fn folded(&self) -> Self {
        let now = Now::of(self);
        let mut digest = Sum::default();
        let mut room = Vec::new();
        for at in 0..now.count() {
            if let Some(Listed { name, kind, line }) = now.rule(at, &mut room)
                && let Some(kind) = self.kinds.get(kind as usize)
            {
                kind.add_to(&mut digest, name, line);
            }
        }
        let digest = digest.finalize();
        let table = NameTable::new(HashKey::of(&digest), &now);
        let mut repeated: Vec<u64> = self.base.repeated.to_vec();
        repeated.extend(&self.since.repeated);
        repeated.sort_unstable();
        repeated.dedup();
        let base = Base { table, digest, repeated: repeated.into() };
        let [answers, clients, name_servers] = [&self.answers, &self.clients, &self.name_servers]
            .map(|table| Arc::new(AddressTable::new(self.moved(table))));
        let mut book = Self {
            base: Arc::new(base),
            since: Overlay::default(),
            kinds: self.kinds.clone(),
            answers,
            clients,
            name_servers,
            ..self.shared()
        };
        book.settle();
        book
    }

    /// The rules about addresses with their lines as they are now.
    fn moved(&self, table: &AddressTable) -> Vec<ListedPrefix> {
        let moved = |rule: &ListedPrefix| {
            ListedPrefix::new(rule.prefix, rule.kind, self.line_now(rule.kind, rule.line))
        };
        table.rules().iter().map(moved).collect()
    }

    /// Where a rule of that kind stands now that stood in that line when the table was built.
    fn line_now(&self, kind: u32, line: u32) -> u32 {
        let set = self.kinds.get(kind as usize).map_or(0, |RuleKind { set, .. }| *set);
        self.since.line(set, line)
    }
}

impl<'b> Now<'b> {
    fn of(book: &'b Rulebook) -> Self {
        let stayed = book.base.table.rule_numbers().filter(|number| book.since.leaves(*number)).collect();
        let came = book.since.added.iter();
        let came = came.map(|((name, kind), line)| Listed { name: name.as_wire(), kind: *kind, line: *line });
        Self { book, stayed, came: came.collect() }
    }
}

impl Rules for Now<'_> {
    fn count(&self) -> usize {
        self.stayed.len() + self.came.len()
    }

    fn rule<'r>(&'r self, at: usize, room: &'r mut Vec<u8>) -> Option<Listed<'r>> {
        match self.stayed.get(at) {
            Some(number) => {
                let (kind, line) = self.book.base.table.rule_into(*number, room)?;
                Some(Listed { name: room, kind, line: self.book.line_now(kind, line) })
            }
            None => self.came.get(at - self.stayed.len()).copied(),
        }
    }
}
