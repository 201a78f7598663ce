//! Owns the way of rules into a rulebook: each attributed to a set, sorted, repetitions dropped, numbered by kind. Never looks
//! at a date, a group or an exception.

use std::collections::HashMap;

use super::address::{AddressRule, ListedPrefix, Whose};
use super::catalog::{Catalog, Tier};
use super::digest::{Sum, Written, key_of};
use super::group::SourceRules;
use super::matcher::{HashKey, Listed, NameTable, Rules};
use super::rule::{Reach, Rule};
use super::rulebook::{Actions, Base, Run, Source};
use super::snapshot::{CANARIES, DEFAULT_ACTION, Origin, RuleKind, RuleSet};
use crate::dns::Name;

/// A rule with its line. Of the size of a [`Rule`], so that a long list of those becomes one of these where it lies.
#[derive(Debug)]
struct Gathered {
    /// The first bytes of the name, which nearly always tell two apart without a look at the names themselves.
    first: u64,
    name: Name,
    /// The number of its kind.
    kind: u32,
    line: u32,
}

const _: () = assert!(size_of::<Gathered>() == size_of::<Rule>());

impl Gathered {
    fn new(name: Name, kind: u32, line: u32) -> Self {
        let mut first = [0; 8];
        first.iter_mut().zip(name.as_wire()).for_each(|(byte, of_name)| *byte = *of_name);
        Self { first: u64::from_be_bytes(first), name, kind, line }
    }
}

impl Rules for [Gathered] {
    fn count(&self) -> usize {
        self.len()
    }

    fn rule<'r>(&'r self, at: usize, _room: &'r mut Vec<u8>) -> Option<Listed<'r>> {
        self.get(at).map(|Gathered { name, kind, line, .. }| Listed {
            name: name.as_wire(),
            kind: *kind,
            line: *line,
        })
    }
}

/// Each different kind of rule once.
#[derive(Default)]
struct Kinds {
    list: Vec<RuleKind>,
    numbers: HashMap<RuleKind, u32>,
    /// The one asked for last: rules of one kind come in runs.
    last: Option<(RuleKind, u32)>,
}

impl Kinds {
    fn number(&mut self, kind: RuleKind) -> u32 {
        if let Some((known, number)) = self.last
            && known == kind
        {
            return number;
        }
        let number = *self.numbers.entry(kind).or_insert_with(|| {
            self.list.push(kind);
            self.list.len() as u32 - 1
        });
        self.last = Some((kind, number));
        number
    }
}

/// Rules in order, and all that is said of them once.
pub(super) struct Indexed {
    pub(super) base: Base,
    /// How many different names are listed.
    pub(super) names: usize,
    pub(super) kinds: Vec<RuleKind>,
    pub(super) sets: Vec<RuleSet>,
    pub(super) actions: Actions,
    pub(super) addresses: Vec<(Whose, ListedPrefix)>,
    /// SHA-256 over the names of the catalog.
    pub(super) catalog_digest: [u8; 32],
}

/// The sets of a rulebook of that catalog and those lists, whose rules are not looked at; and the digest of the catalog's names.
pub(super) fn sets(
    catalog: &Catalog,
    sources: impl Iterator<Item = SourceRules>,
) -> (Vec<RuleSet>, Vec<Source>, [u8; 32]) {
    let mut gathering = Gathering::default();
    gathering.catalog(catalog);
    let sources = sources.map(|source| gathering.source(catalog, source)).collect();
    (gathering.sets, sources, gathering.catalog_digest)
}

/// Rules run by run.
pub(super) fn runs(rules: &[Rule]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut rest = rules;
    while let [first, ..] = rest {
        let end = rest.iter().position(Rule::ends_run).map_or(rest.len(), |last| last + 1);
        let (run, others) = rest.split_at(end);
        let [mut written, mut placed] = [Written::new(), Written::new()];
        for Rule { name, reach, action, line } in run {
            written.update([*reach as u8, u8::from(action.is_some())]);
            written.update(name.as_wire());
            if let Some(action) = action {
                written.text(&format!("{action:?}"));
            }
            placed.update((line - first.line).to_be_bytes());
        }
        runs.push(Run { line: first.line, written: written.finalize(), placed: placed.finalize() });
        rest = others;
    }
    runs
}

/// Rules on their way into a table, each attributed to a set.
#[derive(Default)]
pub(super) struct Gathering {
    /// With their lines.
    rules: Vec<Gathered>,
    kinds: Kinds,
    addresses: Vec<(u16, AddressRule)>,
    sets: Vec<RuleSet>,
    actions: Actions,
    catalog_digest: [u8; 32],
}

impl Gathering {
    /// Canaries first, then apps.
    pub(super) fn catalog(&mut self, catalog: &Catalog) {
        let bypass = "blocklists/bypass.toml".to_owned();
        let canaries = self.set(Origin::Canary, None, None, bypass);
        debug_assert_eq!(canaries, CANARIES, "the data plane knows the number");
        for listed in &catalog.canaries {
            self.add(canaries, listed.name.clone(), Reach::Subtree, listed.place.line);
        }
        for (index, app) in (0..).zip(&catalog.apps) {
            for tier in [Tier::Core, Tier::Shared] {
                let file = app.names.first().map(|listed| listed.place.file.clone()).unwrap_or_default();
                let set = self.set(Origin::App(tier), Some(index), None, file);
                for listed in app.names.iter().filter(|listed| listed.tier == tier) {
                    self.add(set, listed.name.clone(), listed.reach, listed.place.line);
                }
            }
        }
        let mut digest = Sum::default();
        for Gathered { name, kind, line, .. } in &self.rules {
            if let Some(kind) = self.kinds.list.get(*kind as usize) {
                kind.add_to(&mut digest, name.as_wire(), *line);
            }
        }
        self.catalog_digest = digest.finalize();
    }

    pub(super) fn source(&mut self, catalog: &Catalog, source: SourceRules) -> Source {
        let SourceRules { name, app, instrument, file, rules, addresses, disabled } = source;
        let known = app.as_ref().and_then(|id| catalog.apps.iter().position(|app| app.id == *id));
        let act = instrument.as_ref().and_then(|id| catalog.instruments.iter().position(|act| act.id == *id));
        let [known, act] = [known, act].map(|index| index.map(|index| index as u16));
        let set = self.set(Origin::Source(name.clone()), known, act, file);
        let runs = runs(&rules);
        let gathered = |Rule { name, reach, action, line }| {
            let action = action.map_or(DEFAULT_ACTION, |action| self.actions.number(*action));
            Gathered::new(name, self.kinds.number(RuleKind { set, reach, action }), line)
        };
        let mut gathered: Vec<Gathered> = rules.into_iter().map(gathered).collect();
        // What is long stays where it lies.
        if gathered.len() > self.rules.len() {
            std::mem::swap(&mut gathered, &mut self.rules);
        }
        self.rules.append(&mut gathered);
        let mut about_addresses = Written::new();
        for rule in addresses {
            about_addresses.update(format!("{:?} {} {:?}\n", rule.whose, rule.prefix, rule.action));
            self.addresses.push((set, rule));
        }
        let about_addresses = about_addresses.finalize();
        let [written, placed] = [[0; 32]; 2];
        let mut source = Source { name, app, instrument, disabled, runs, about_addresses, written, placed };
        source.sum_up();
        source
    }

    /// How many rules there are so far.
    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    fn set(&mut self, origin: Origin, app: Option<u16>, instrument: Option<u16>, file: String) -> u16 {
        let number = self.sets.len() as u16;
        self.sets.push(RuleSet { origin, app, instrument, file, rules: 0 });
        number
    }

    fn add(&mut self, set: u16, name: Name, reach: Reach, line: u32) {
        let kind = self.kinds.number(RuleKind { set, reach, action: DEFAULT_ACTION });
        self.rules.push(Gathered::new(name, kind, line));
    }

    /// Sorts, drops repetitions, and builds the table. The order does not depend on the order of the inputs.
    pub(super) fn indexed(mut self) -> Indexed {
        let (gathered, kinds) = (&mut self.rules, &self.kinds.list);
        // By name, then by list, then by line.
        gathered.sort_unstable_by(|a, b| {
            let kind = |rule: &Gathered| kinds.get(rule.kind as usize);
            a.first
                .cmp(&b.first)
                .then_with(|| a.name.cmp(&b.name))
                .then_with(|| kind(a).cmp(&kind(b)))
                .then(a.line.cmp(&b.line))
        });
        let mut repeated = Vec::new();
        gathered.dedup_by(|later, first| {
            let same = later.kind == first.kind && later.name == first.name;
            if let Some(kind) = kinds.get(later.kind as usize).filter(|_| same) {
                repeated.push(key_of(later.name.as_wire(), kind));
            }
            same
        });
        repeated.sort_unstable();
        repeated.dedup();
        let mut names = 0;
        let mut digest = Sum::default();
        for run in gathered.chunk_by(|a, b| a.first == b.first && a.name == b.name) {
            names += 1;
            for Gathered { name, kind, line, .. } in run {
                let Some(kind) = kinds.get(*kind as usize) else { continue };
                if let Some(set) = self.sets.get_mut(usize::from(kind.set)) {
                    set.rules += 1;
                }
                kind.add_to(&mut digest, name.as_wire(), *line);
            }
        }
        let digest = digest.finalize();
        let table = NameTable::new(HashKey::of(&digest), gathered.as_slice());
        let addresses = self.numbered_addresses();
        let Self { sets, actions, catalog_digest, kinds, .. } = self;
        let base = Base { table, digest, repeated: repeated.into() };
        Indexed { base, names, kinds: kinds.list, sets, actions, addresses, catalog_digest }
    }

    /// The rules about addresses, each of a kind that has a number.
    fn numbered_addresses(&mut self) -> Vec<(Whose, ListedPrefix)> {
        let mut numbered = Vec::new();
        for (set, AddressRule { whose, prefix, action, line }) in std::mem::take(&mut self.addresses) {
            let kind = RuleKind { set, reach: Reach::Exact, action: self.actions.number(action) };
            if let Some(set) = self.sets.get_mut(usize::from(set)) {
                set.rules += 1;
            }
            numbered.push((whose, ListedPrefix::new(prefix, self.kinds.number(kind), line)));
        }
        numbered
    }
}
