//! Owns the rulebook: every rule of the catalog and the operators' lists in the form in which they are searched, the same
//! whatever the date, the groups and the exceptions, so that a change of those need not read a list again. Never decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::address::{AddressTable, ListedPrefix, Whose};
use super::catalog::{Catalog, ListedName};
use super::digest::{Written, hexadecimal};
use super::gathering::Gathering;
use super::group::SourceRules;
use super::matcher::NameTable;
use super::rule::{Action, Reach};
use super::snapshot::{DEFAULT_ACTION, Origin, RuleKind, RuleSet};
use crate::dns::CanonicalName;
use crate::problem::{Place, Problem};

/// The rules of a catalog and of lists.
#[derive(Debug)]
pub struct Rulebook {
    pub(super) catalog: Arc<Catalog>,
    pub(super) sources: Vec<Source>,
    pub(super) rules: Rules,
    /// What the bytes of the bundle hash to that it was read from.
    pub(super) bundle: Option<[u8; 32]>,
    /// What a person should look at, and why nothing can be compiled with it.
    pub(super) problems: Vec<Problem>,
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
    /// SHA-256 of its rules as written.
    pub(super) written: [u8; 32],
}

/// Rules in the form in which they are searched.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) table: NameTable,
    /// How many different names are listed.
    pub(super) names: usize,
    pub(super) kinds: Vec<RuleKind>,
    pub(super) sets: Vec<RuleSet>,
    pub(super) actions: Actions,
    /// SHA-256 over all rules about names.
    pub(super) names_digest: [u8; 32],
    /// Rules about addresses in answers, and about clients' own.
    pub(super) answers: Arc<AddressTable>,
    pub(super) clients: Arc<AddressTable>,
    /// SHA-256 over all of it.
    pub(super) digest: [u8; 32],
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
        let (catalog, rules) = (Arc::new(catalog), gathering.indexed());
        let mut book = Self { catalog, sources, rules, bundle: None, problems };
        book.check_never();
        book
    }

    /// The catalog it was made from.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Number of lists.
    pub fn list_count(&self) -> usize {
        self.sources.len()
    }

    /// Number of rules.
    pub fn rule_count(&self) -> usize {
        self.rules.table.len()
    }

    /// Number of different listed names.
    pub fn name_count(&self) -> usize {
        self.rules.names
    }

    /// SHA-256 over all rules, in hexadecimal.
    pub fn digest(&self) -> String {
        hexadecimal(&self.rules.digest)
    }

    /// Bytes held by names, rules and the index over them.
    pub fn memory(&self) -> usize {
        self.rules.memory()
    }

    /// An operator's list may cover infrastructure of uninvolved parties; somebody should know. One complaint a line of a
    /// list, however much it covers.
    pub(super) fn check_never(&mut self) {
        let rules = &self.rules;
        let mut covered: BTreeMap<(u16, u32), Vec<&ListedName>> = BTreeMap::new();
        for never in &self.catalog.never {
            rules.table.search(&CanonicalName::from(&never.name), |entry| {
                if let (Some(kind), Some((_, line))) =
                    (rules.kinds.get(entry.kind as usize), rules.table.rule(entry.number))
                    && (entry.depth == 0 || kind.reach != Reach::Exact)
                {
                    covered.entry((kind.set, line)).or_default().push(never);
                }
            });
        }
        for ((set, line), names) in covered {
            let (Some(set), [first, others @ ..]) = (rules.sets.get(usize::from(set)), names.as_slice())
            else {
                continue;
            };
            if let Origin::Source(source) = &set.origin {
                let more =
                    if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
                self.problems.push(Problem::warning(
                    Place::line(&set.file, line),
                    format!("source `{source}` covers `{}`{more}", first.name),
                    format!("{}; list the app's own names below it instead", first.purpose),
                ));
            }
        }
    }
}

impl RuleKind {
    /// What a rule of this kind adds to the digest of all.
    pub(super) fn hash_into(&self, name: &[u8], line: u32, digest: &mut Written) {
        digest.update(name);
        digest.update(self.set.to_be_bytes());
        digest.update(self.action.to_be_bytes());
        digest.update(line.to_be_bytes());
        digest.update([self.reach as u8]);
    }
}

impl Rules {
    /// Rules whose names are in a table already; those about addresses are put into theirs.
    pub(super) fn of(
        table: NameTable,
        names: usize,
        kinds: Vec<RuleKind>,
        sets: Vec<RuleSet>,
        actions: Actions,
        names_digest: [u8; 32],
        mut addresses: Vec<(Whose, ListedPrefix)>,
    ) -> Self {
        let kind = |rule: &ListedPrefix| kinds.get(rule.kind as usize).map(|kind| (kind.set, kind.action));
        addresses.sort_by_key(|(whose, rule)| (kind(rule).map(|of| of.0), *whose, rule.prefix, rule.line));
        let mut digest = Written::new();
        digest.update(names_digest);
        let [mut answers, mut clients] = [Vec::new(), Vec::new()];
        for (whose, rule) in addresses {
            digest.update(format!("{whose:?} {} {:?} {}\n", rule.prefix, kind(&rule), rule.line));
            match whose {
                Whose::Answer => answers.push(rule),
                Whose::Client => clients.push(rule),
            }
        }
        let [answers, clients] = [answers, clients].map(|rules| Arc::new(AddressTable::new(rules)));
        let digest = digest.finalize();
        Self { table, names, kinds, sets, actions, names_digest, answers, clients, digest }
    }

    pub(super) fn memory(&self) -> usize {
        let addresses = self.answers.memory() + self.clients.memory();
        self.table.memory() + addresses + self.kinds.len() * size_of::<RuleKind>()
    }
}
