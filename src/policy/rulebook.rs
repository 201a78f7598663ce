//! Owns the rulebook: every rule of the catalog and the operators' lists in the form in which they are searched, the same
//! whatever the date, the groups and the exceptions, so that a change of those need not read a list again. Never decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::address::{AddressRule, AddressTable, ListedPrefix, Whose};
use super::catalog::{Catalog, ListedName, Tier};
use super::group::SourceRules;
use super::matcher::{HashKey, Listed, NameTable};
use super::rule::{Action, Reach, Rule};
use super::snapshot::{CANARIES, DEFAULT_ACTION, Origin, RuleKind, RuleSet};
use crate::dns::{CanonicalName, Name};
use crate::problem::{Place, Problem};

/// The rules of a catalog and of lists.
#[derive(Debug)]
pub struct Rulebook {
    pub(super) catalog: Arc<Catalog>,
    pub(super) sources: Vec<Source>,
    pub(super) rules: Rules,
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
        if gathering.rules.len() > NameTable::MOST {
            problems.push(Problem::error(
                Place::file("lists"),
                format!(
                    "{} rules are more than the {} that can be kept",
                    gathering.rules.len(),
                    NameTable::MOST
                ),
                "leave out a list",
            ));
            gathering.rules.clear();
        }
        let mut book = Self { catalog: Arc::new(catalog), sources, rules: gathering.indexed(), problems };
        book.check_never();
        book
    }

    /// The catalog it was made from.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Bytes held by names, rules and the index over them.
    pub fn memory(&self) -> usize {
        self.rules.memory()
    }

    /// An operator's list may cover infrastructure of uninvolved parties; somebody should know. One complaint a line of a
    /// list, however much it covers.
    fn check_never(&mut self) {
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

impl Rules {
    pub(super) fn memory(&self) -> usize {
        let addresses = self.answers.memory() + self.clients.memory();
        self.table.memory() + addresses + self.kinds.len() * size_of::<RuleKind>()
    }
}

/// A rule with its line. The order is that of the names, then of the kinds, then of the lines.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Gathered {
    /// The first bytes of the name, which nearly always tell two apart without a look at the names themselves.
    first: u64,
    name: Name,
    kind: RuleKind,
    line: u32,
}

impl Gathered {
    fn new(name: Name, kind: RuleKind, line: u32) -> Self {
        let mut first = [0; 8];
        first.iter_mut().zip(name.as_wire()).for_each(|(byte, of_name)| *byte = *of_name);
        Self { first: u64::from_be_bytes(first), name, kind, line }
    }
}

/// Hashes many small pieces as one long text.
#[derive(Clone)]
struct Written {
    hash: Sha256,
    pieces: Vec<u8>,
}

impl Written {
    /// Enough to share the cost of a call.
    const ENOUGH: usize = 4096;

    fn new() -> Self {
        Self { hash: Sha256::new(), pieces: Vec::with_capacity(2 * Self::ENOUGH) }
    }

    fn update(&mut self, piece: impl AsRef<[u8]>) {
        self.pieces.extend_from_slice(piece.as_ref());
        if self.pieces.len() > Self::ENOUGH {
            self.hash.update(&self.pieces);
            self.pieces.clear();
        }
    }

    fn finalize(mut self) -> [u8; 32] {
        self.hash.update(&self.pieces);
        self.hash.finalize().into()
    }
}

/// Rules on their way into a table, each attributed to a set.
#[derive(Default)]
pub(super) struct Gathering {
    /// With their lines.
    rules: Vec<Gathered>,
    addresses: Vec<(u16, AddressRule)>,
    sets: Vec<RuleSet>,
    actions: Actions,
}

impl Gathering {
    /// Rules that will stand behind `others`: their sets and actions are numbered on from those.
    pub(super) fn behind(others: &Rules) -> Self {
        Self { sets: others.sets.clone(), actions: others.actions.clone(), ..Self::default() }
    }

    /// Canaries first, then apps.
    fn catalog(&mut self, catalog: &Catalog) {
        let bypass = "blocklists/bypass.toml".to_owned();
        let canaries = self.set(Origin::Canary, None, None, bypass);
        debug_assert_eq!(canaries, CANARIES, "the data plane knows the number");
        for listed in &catalog.canaries {
            self.add(canaries, listed.name.clone(), Reach::Subtree, None, listed.place.line);
        }
        for (index, app) in (0..).zip(&catalog.apps) {
            for tier in [Tier::Core, Tier::Shared] {
                let file = app.names.first().map(|listed| listed.place.file.clone()).unwrap_or_default();
                let set = self.set(Origin::App(tier), Some(index), None, file);
                for listed in app.names.iter().filter(|listed| listed.tier == tier) {
                    self.add(set, listed.name.clone(), listed.reach, None, listed.place.line);
                }
            }
        }
    }

    fn source(&mut self, catalog: &Catalog, source: SourceRules) -> Source {
        let SourceRules { name, app, instrument, file, rules, addresses, disabled } = source;
        let known = app.as_ref().and_then(|id| catalog.apps.iter().position(|app| app.id == *id));
        let act = instrument.as_ref().and_then(|id| catalog.instruments.iter().position(|act| act.id == *id));
        let [known, act] = [known, act].map(|index| index.map(|index| index as u16));
        let set = self.set(Origin::Source(name.clone()), known, act, file);
        let mut written = Written::new();
        for Rule { name, reach, action, line } in rules {
            written.update([reach as u8, u8::from(action.is_some())]);
            written.update(name.as_wire());
            if let Some(action) = &action {
                let text = format!("{action:?}");
                written.update((text.len() as u64).to_be_bytes());
                written.update(text.as_bytes());
            }
            self.add(set, name, reach, action, line);
        }
        for rule in addresses {
            written.update(format!("{:?} {} {:?}\n", rule.whose, rule.prefix, rule.action));
            self.addresses.push((set, rule));
        }
        Source { name, app, instrument, disabled, written: written.finalize() }
    }

    pub(super) fn set(
        &mut self,
        origin: Origin,
        app: Option<u16>,
        instrument: Option<u16>,
        file: String,
    ) -> u16 {
        let number = self.sets.len() as u16;
        self.sets.push(RuleSet { origin, app, instrument, file, rules: 0 });
        number
    }

    pub(super) fn add(&mut self, set: u16, name: Name, reach: Reach, action: Option<Action>, line: u32) {
        let action = action.map_or(DEFAULT_ACTION, |action| self.actions.number(action));
        self.rules.push(Gathered::new(name, RuleKind { set, reach, action }, line));
    }

    /// Sorts, drops repetitions, and builds the table. The order does not depend on the order of the inputs.
    pub(super) fn indexed(mut self) -> Rules {
        let gathered = &mut self.rules;
        widen_covered(gathered);
        gathered.sort_unstable();
        gathered.dedup_by(|later, first| (&later.name, later.kind) == (&first.name, first.kind));
        let mut numbers: HashMap<RuleKind, u32> = HashMap::new();
        let mut kinds = Vec::new();
        let mut names = 0;
        let mut digest = Written::new();
        let mut listed = Vec::with_capacity(gathered.len());
        // Rules of one kind come in runs.
        let mut last = None;
        for run in gathered.chunk_by(|a, b| a.first == b.first && a.name == b.name) {
            names += 1;
            for Gathered { name, kind, line, .. } in run {
                if let Some(set) = self.sets.get_mut(usize::from(kind.set)) {
                    set.rules += 1;
                }
                digest.update(name.as_wire());
                digest.update(kind.set.to_be_bytes());
                digest.update(kind.action.to_be_bytes());
                digest.update(line.to_be_bytes());
                digest.update([kind.reach as u8]);
                let number = match last {
                    Some((known, number)) if known == *kind => number,
                    _ => *numbers.entry(*kind).or_insert_with(|| {
                        kinds.push(*kind);
                        kinds.len() as u32 - 1
                    }),
                };
                last = Some((*kind, number));
                listed.push(Listed { name: name.as_wire(), kind: number, line: *line });
            }
        }
        let names_digest = digest.clone().finalize();
        let table = NameTable::new(HashKey::of(&names_digest), listed.into_iter());
        let [answers, clients] = self.indexed_addresses(&mut kinds, &mut numbers, &mut digest);
        let digest = digest.finalize();
        Rules { table, names, kinds, sets: self.sets, actions: self.actions, answers, clients, digest }
    }
}

impl Gathering {
    /// Puts the rules about addresses into their tables, gives those of a new kind one, and has them count in the digest.
    fn indexed_addresses(
        &mut self,
        kinds: &mut Vec<RuleKind>,
        numbers: &mut HashMap<RuleKind, u32>,
        digest: &mut Written,
    ) -> [Arc<AddressTable>; 2] {
        let mut rules = std::mem::take(&mut self.addresses);
        rules.sort_by_key(|(set, rule)| (*set, rule.whose, rule.prefix, rule.line));
        let [mut answers, mut clients] = [Vec::new(), Vec::new()];
        for (set, AddressRule { whose, prefix, action, line }) in rules {
            let kind = RuleKind { set, reach: Reach::Exact, action: self.actions.number(action) };
            let number = *numbers.entry(kind).or_insert_with(|| {
                kinds.push(kind);
                kinds.len() as u32 - 1
            });
            digest.update(format!("{whose:?} {prefix} {set} {} {line}\n", kind.action));
            if let Some(set) = self.sets.get_mut(usize::from(set)) {
                set.rules += 1;
            }
            let rules = match whose {
                Whose::Answer => &mut answers,
                Whose::Client => &mut clients,
            };
            rules.push(ListedPrefix::new(prefix, number, line));
        }
        [answers, clients].map(|rules| Arc::new(AddressTable::new(rules)))
    }
}

/// An exact rule whose set also denies everything below its name, with the same action, speaks for the whole subtree:
/// its answer may then be NXDOMAIN.
fn widen_covered(gathered: &mut [Gathered]) {
    let mut exact = HashSet::new();
    // Sets come in runs, and there are few.
    for run in gathered.chunk_by(|a, b| a.kind == b.kind) {
        exact.extend(run.first().filter(|rule| rule.kind.reach == Reach::Exact).map(|rule| rule.kind.set));
    }
    let wide: HashSet<(u16, u16, &[u8])> = gathered
        .iter()
        .filter(|rule| rule.kind.reach != Reach::Exact && exact.contains(&rule.kind.set))
        .map(|rule| (rule.kind.set, rule.kind.action, rule.name.as_wire()))
        .collect();
    if wide.is_empty() {
        return;
    }
    let covered = |Gathered { name, kind, .. }: &Gathered| {
        kind.reach == Reach::Exact
            && name.suffixes().any(|above| wide.contains(&(kind.set, kind.action, above)))
    };
    let covered: Vec<usize> =
        (0..gathered.len()).filter(|at| gathered.get(*at).is_some_and(covered)).collect();
    for at in covered {
        if let Some(rule) = gathered.get_mut(at) {
            rule.kind.reach = Reach::Subtree;
        }
    }
}
