//! Owns the putting in order of a rulebook that was edited: what came and went since its table was built becomes a table again.
//! Made from the table and not from the lists' text, so that it costs little more than the table itself. Never changes a rule.

use std::sync::Arc;

use super::address::{AddressTable, ListedPrefix};
use super::digest::Written;
use super::matcher::{HashKey, Listed, NameTable};
use super::overlay::Overlay;
use super::rulebook::{Base, Rulebook};
use super::snapshot::RuleKind;

/// Rules with their names one behind the other in one piece of memory: a name on the heap for each would take twice as much as
/// the table does.
struct Gathered {
    names: Vec<u8>,
    rules: Vec<Rule>,
}

/// A rule whose name stands among the others.
#[derive(Clone, Copy)]
struct Rule {
    /// The first bytes of the name, which nearly always tell two apart without a look at the names themselves.
    first: u64,
    /// Where the name begins.
    at: u32,
    length: u8,
    kind: u32,
    line: u32,
}

impl Rulebook {
    /// The same rules with nothing beside the table. `None` when their names are more than can be told apart by where they
    /// stand, which are four gigabytes.
    pub fn folded(&self) -> Option<Self> {
        let gathered = self.gathered()?;
        let mut digest = Written::new();
        for rule in &gathered.rules {
            if let Some(kind) = self.kinds.get(rule.kind as usize) {
                kind.hash_into(gathered.name(rule), rule.line, &mut digest);
            }
        }
        let digest = digest.finalize();
        let listed = |rule: &Rule| Listed { name: gathered.name(rule), kind: rule.kind, line: rule.line };
        let table = NameTable::new(HashKey::of(&digest), &gathered.rules, listed);
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
        Some(book)
    }

    /// Every rule about a name, in the order of the names, then of the kinds.
    fn gathered(&self) -> Option<Gathered> {
        /// Memory that is reserved and not written to is none; growing would need it twice.
        const LONGEST: usize = 4;
        let names = Vec::with_capacity(self.base.table.memory().saturating_mul(LONGEST));
        let mut gathered = Gathered { names, rules: Vec::with_capacity(self.rule_count()) };
        for (number, name, kind, line) in self.base.table.rules() {
            if self.since.leaves(number) {
                let set = self.kinds.get(kind as usize).map_or(0, |kind| kind.set);
                gathered.add(&name, kind, self.since.line(set, line))?;
            }
        }
        for ((name, kind), line) in &self.since.added {
            gathered.add(name.as_wire(), *kind, *line)?;
        }
        let Gathered { names, rules } = &mut gathered;
        let name =
            |rule: &Rule| names.get(rule.at as usize..).and_then(|rest| rest.get(..usize::from(rule.length)));
        let kind = |rule: &Rule| self.kinds.get(rule.kind as usize);
        rules.sort_unstable_by(|a, b| {
            let by_name = || name(a).cmp(&name(b));
            let by_kind = || kind(a).cmp(&kind(b));
            a.first.cmp(&b.first).then_with(by_name).then_with(by_kind).then(a.line.cmp(&b.line))
        });
        Some(gathered)
    }

    /// The rules about addresses with their lines as they are now.
    fn moved(&self, table: &AddressTable) -> Vec<ListedPrefix> {
        let moved = |rule: &ListedPrefix| {
            let set = self.kinds.get(rule.kind as usize).map_or(0, |RuleKind { set, .. }| *set);
            ListedPrefix::new(rule.prefix, rule.kind, self.since.line(set, rule.line))
        };
        table.rules().iter().map(moved).collect()
    }
}

impl Gathered {
    fn add(&mut self, name: &[u8], kind: u32, line: u32) -> Option<()> {
        let mut first = [0; 8];
        first.iter_mut().zip(name).for_each(|(byte, of_name)| *byte = *of_name);
        let (first, at) = (u64::from_be_bytes(first), u32::try_from(self.names.len()).ok()?);
        self.names.extend_from_slice(name);
        self.rules.push(Rule { first, at, length: u8::try_from(name.len()).ok()?, kind, line });
        Some(())
    }

    fn name(&self, rule: &Rule) -> &[u8] {
        let rest = self.names.get(rule.at as usize..);
        rest.and_then(|rest| rest.get(..usize::from(rule.length))).unwrap_or_default()
    }
}
