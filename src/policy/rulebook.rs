//! Owns the rulebook: every rule of the catalog and the operators' lists in the form in which they are searched, the same
//! whatever the date, the groups and the exceptions, so that a change of those need not read a list again. Never decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::address::{AddressTable, Whose};
use super::catalog::{Catalog, ListedName};
use super::digest::{Sum, Written, hexadecimal};
use super::gathering::{Gathering, Indexed};
use super::group::SourceRules;
use super::matcher::{Entry, NameTable};
use super::overlay::Overlay;
use super::rule::{Action, Reach};
use super::snapshot::{DEFAULT_ACTION, Origin, RuleKind, RuleSet};
use crate::dns::CanonicalName;
use crate::problem::{Place, Problem};

/// The rules of a catalog and of lists.
#[derive(Debug)]
pub struct Rulebook {
    pub(super) catalog: Arc<Catalog>,
    pub(super) sources: Vec<Source>,
    /// The rules about names, as they were when they were last put in order.
    pub(super) base: Arc<Base>,
    /// What came and went since.
    pub(super) since: Overlay,
    /// How many different names are listed.
    pub(super) names: usize,
    pub(super) kinds: Vec<RuleKind>,
    pub(super) sets: Vec<RuleSet>,
    pub(super) actions: Actions,
    /// Rules about addresses in answers, about clients' own, and about those of zones' servers.
    pub(super) answers: Arc<AddressTable>,
    pub(super) clients: Arc<AddressTable>,
    pub(super) name_servers: Arc<AddressTable>,
    /// SHA-256 over the names of the catalog.
    pub(super) catalog_digest: [u8; 32],
    /// SHA-256 over all rules.
    pub(super) digest: [u8; 32],
    /// What the bytes of the bundle hash to that it was read from.
    pub(super) bundle: Option<[u8; 32]>,
    /// What a person should look at, and why nothing can be compiled with it.
    pub(super) problems: Vec<Problem>,
    /// Of that what follows from the rules.
    pub(super) covering: Vec<Problem>,
}

/// A list without its rules.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    /// The app and the instrument that its rules are attributed to, by id.
    pub(super) app: Option<String>,
    pub(super) instrument: Option<String>,
    /// Whether its rules are only rehearsed, whoever enforces them.
    pub(super) disabled: bool,
    /// Its rules about names, run by run; none are known of a bundle's.
    pub(super) runs: Vec<Run>,
    /// SHA-256 of its rules about addresses as written.
    pub(super) about_addresses: [u8; 32],
    /// SHA-256 of its rules as written.
    pub(super) written: [u8; 32],
    /// SHA-256 of where they stand.
    pub(super) placed: [u8; 32],
}

/// Rules that follow each other in a list; see [`super::Rule::ends_run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Line of the first.
    pub(super) line: u32,
    /// SHA-256 of what they say.
    pub(super) written: [u8; 32],
    /// SHA-256 of how far below the first each stands.
    pub(super) placed: [u8; 32],
}

/// Rules about names in the form in which they are searched, put in order once.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) table: NameTable,
    /// Over all of them, in no order.
    pub(super) digest: [u8; 32],
    /// Those that their list says more than once, as keys, sorted.
    pub(super) repeated: Box<[u64]>,
}

/// Each different action once.
#[derive(Clone, Debug, Default)]
pub(super) struct Actions {
    pub(super) list: Vec<Action>,
    numbers: HashMap<Action, u16>,
}

impl Actions {
    /// Actions numbered in this order; `None` when one stands twice, or there are more than have a number.
    pub(super) fn of(list: Vec<Action>) -> Option<Self> {
        let numbers: HashMap<Action, u16> = list.iter().cloned().zip(0..DEFAULT_ACTION).collect();
        (numbers.len() == list.len()).then_some(Self { list, numbers })
    }

    pub(super) fn number(&mut self, action: Action) -> u16 {
        if let Some(&number) = self.numbers.get(&action) {
            return number;
        }
        let number = self.list.len().min(usize::from(DEFAULT_ACTION - 1)) as u16;
        self.list.push(action.clone());
        self.numbers.insert(action, number);
        number
    }
}

impl Default for Rulebook {
    /// No rules.
    fn default() -> Self {
        Self::new(Catalog::default(), Vec::new())
    }
}

impl Rulebook {
    /// The rules of `catalog` and of `sources`, in the order of the configuration. The same inputs make the same rulebook on
    /// every host.
    pub fn new(catalog: Catalog, sources: Vec<SourceRules>) -> Self {
        let mut gathering = Gathering::default();
        gathering.catalog(&catalog);
        let sources: Vec<Source> =
            sources.into_iter().map(|source| gathering.source(&catalog, source)).collect();
        let mut problems = Vec::new();
        if gathering.len() > NameTable::MOST {
            problems.push(Problem::error(
                Place::file("lists"),
                format!("{} rules are more than the {} that can be kept", gathering.len(), NameTable::MOST),
                "leave out a list",
            ));
            gathering = Gathering::default();
        }
        Self::of(catalog, sources, gathering.indexed(), None, problems)
    }

    /// Rules that are in order already.
    pub(super) fn of(
        catalog: Catalog,
        sources: Vec<Source>,
        indexed: Indexed,
        bundle: Option<[u8; 32]>,
        problems: Vec<Problem>,
    ) -> Self {
        let Indexed { base, names, kinds, sets, actions, addresses, catalog_digest } = indexed;
        let [mut answers, mut clients, mut name_servers] = [const { Vec::new() }; 3];
        for (whose, rule) in addresses {
            match whose {
                Whose::Answer => answers.push(rule),
                Whose::Client => clients.push(rule),
                Whose::NameServer => name_servers.push(rule),
            }
        }
        let [answers, clients, name_servers] =
            [answers, clients, name_servers].map(|rules| Arc::new(AddressTable::new(rules)));
        let mut book = Self {
            catalog: Arc::new(catalog),
            sources,
            base: Arc::new(base),
            since: Overlay::default(),
            names,
            kinds,
            sets,
            actions,
            answers,
            clients,
            name_servers,
            catalog_digest,
            digest: [0; 32],
            bundle,
            problems,
            covering: Vec::new(),
        };
        book.settle();
        book
    }

    /// Works out what follows from the rules as they are now.
    pub(super) fn settle(&mut self) {
        self.digest = self.all_rules();
        self.covering = self.check_never();
    }

    fn all_rules(&self) -> [u8; 32] {
        let mut digest = Written::new();
        digest.update(self.catalog_digest);
        for source in &self.sources {
            digest.update(source.written);
            digest.update(source.placed);
        }
        let mut addresses = Vec::new();
        for (whose, table) in [
            (Whose::Answer, &self.answers),
            (Whose::Client, &self.clients),
            (Whose::NameServer, &self.name_servers),
        ] {
            for rule in table.rules() {
                let Some(kind) = self.kinds.get(rule.kind as usize) else { continue };
                let action = self.actions.list.get(usize::from(kind.action));
                let line = self.since.line(kind.set, rule.line);
                addresses.push((kind.set, whose, rule.prefix, line, action));
            }
        }
        addresses.sort();
        for rule in addresses {
            digest.text(&format!("{rule:?}"));
        }
        digest.finalize()
    }

    /// The catalog it was made from.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Number of lists.
    pub fn list_count(&self) -> usize {
        self.sources.len()
    }

    /// Number of rules about names.
    pub fn rule_count(&self) -> usize {
        self.base.table.len() + self.since.added.len() - self.since.removed.len()
    }

    /// Number of different listed names.
    pub fn name_count(&self) -> usize {
        self.names
    }

    /// SHA-256 over all rules, in hexadecimal.
    pub fn digest(&self) -> String {
        hexadecimal(&self.digest)
    }

    /// Bytes held by names, rules and the index over them.
    pub fn memory(&self) -> usize {
        self.base.table.memory() + self.memory_beside()
    }

    /// Bytes that it holds and another with the same table does not.
    pub fn memory_beside(&self) -> usize {
        let addresses = self.answers.memory() + self.clients.memory() + self.name_servers.memory();
        let runs: usize = self.sources.iter().map(|source| size_of_val(source.runs.as_slice())).sum();
        self.since.memory() + addresses + runs + self.kinds.len() * size_of::<RuleKind>()
    }

    /// True when both were made from one table, which they share.
    pub fn shares_table(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
    }

    /// What a person should look at, and why nothing can be compiled with it.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.problems.iter().chain(&self.covering).cloned().collect()
    }

    /// Calls `found` for the table's rules and for those that came since, where their names are among `name` and its ancestors:
    /// the kind, the line, and the labels in front.
    fn each_covering(&self, name: &CanonicalName, mut found: impl FnMut(u32, u32, usize)) {
        self.base.table.search(name, |Entry { number, kind, depth }| {
            if let Some((_, _, line)) = self.base.table.rule(number).filter(|_| self.since.leaves(number)) {
                let set = self.kinds.get(kind as usize).map_or(0, |kind| kind.set);
                found(kind, self.since.line(set, line), depth);
            }
        });
        for depth in 0..name.label_count() {
            for (kind, line) in self.since.named(name.suffix(depth)) {
                found(kind, line, depth);
            }
        }
    }

    /// An operator's list may cover infrastructure of uninvolved parties; somebody should know. One complaint a line of a
    /// list, however much it covers.
    fn check_never(&self) -> Vec<Problem> {
        let mut covered: BTreeMap<(u16, u32), Vec<&ListedName>> = BTreeMap::new();
        for never in &self.catalog.never {
            self.each_covering(&CanonicalName::from(&never.name), |kind, line, depth| {
                if let Some(kind) = self.kinds.get(kind as usize)
                    && (depth == 0 || kind.reach != Reach::Exact)
                    && !kind.reach.is_about_name_servers()
                {
                    covered.entry((kind.set, line)).or_default().push(never);
                }
            });
        }
        let mut problems = Vec::new();
        for ((set, line), names) in covered {
            let (Some(set), [first, others @ ..]) = (self.sets.get(usize::from(set)), names.as_slice())
            else {
                continue;
            };
            if let Origin::Source(source) = &set.origin {
                let more =
                    if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
                problems.push(Problem::warning(
                    Place::line(&set.file, line),
                    format!("source `{source}` covers `{}`{more}", first.name),
                    format!("{}; list the app's own names below it instead", first.purpose),
                ));
            }
        }
        problems
    }
}

impl RuleKind {
    /// Adds a rule of this kind to the digest of all.
    pub(super) fn add_to(&self, digest: &mut Sum, name: &[u8], line: u32) {
        let [set, action] = [self.set, self.action].map(u16::to_be_bytes);
        digest.add(&[name, &set, &action, &line.to_be_bytes(), &[self.reach as u8]]);
    }
}

impl Source {
    /// Works out its digests from its runs.
    pub(super) fn sum_up(&mut self) {
        let [mut written, mut placed] = [Written::new(), Written::new()];
        for run in &self.runs {
            written.update(run.written);
            placed.update(run.line.to_be_bytes());
            placed.update(run.placed);
        }
        written.update(self.about_addresses);
        (self.written, self.placed) = (written.finalize(), placed.finalize());
    }
}
