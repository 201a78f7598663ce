//! Owns the step from law to decision: a draft and a moment in, a snapshot or all its problems out. Pure: the same
//! draft and moment give the same digest on every host. Never publishes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::catalog::{ListedName, Tier};
use super::client::ClientTable;
use super::enforce::{Assembly, enforce};
use super::group::Draft;
use super::instrument::Standing;
use super::labels::Labels;
use super::matcher::{HashKey, Listed, NameTable};
use super::rule::{Action, ActionKind, Reach, Rule};
use super::snapshot::{CANARIES, DEFAULT_ACTION, Origin, RuleKind, RuleSet, Snapshot};
use crate::dns::{CanonicalName, Name, Soa};
use crate::problem::{Place, Problem};

/// A snapshot and what a person should look at.
#[derive(Debug)]
pub struct Compiled {
    /// The policy.
    pub snapshot: Snapshot,
    /// Complaints that did not stop it.
    pub warnings: Vec<Problem>,
}

/// Compiles `draft` as it stands at `on`. Fails with every problem found when one of them is an error.
pub fn compile(
    draft: Draft,
    on: Timestamp,
    generation: u64,
    labels: &Labels,
) -> Result<Compiled, Vec<Problem>> {
    let mut compiler =
        Compiler { draft, sets: Vec::new(), actions: ActionTable::default(), problems: Vec::new() };
    let gathered = compiler.gather();
    let Indexed { table, names, kinds, digest: rules_digest } = compiler.index(gathered);
    compiler.check_never(&table, &kinds);
    let Compiler { draft, sets, mut actions, mut problems, .. } = compiler;

    let assembly = Assembly { draft: &draft, on, sets: &sets, kinds: kinds_by_set(&sets, &kinds, &actions) };
    let enforced = enforce(&assembly, &mut actions, labels, &mut problems);
    problems.sort();
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let allow = &draft.config.allow;
    let clients = ClientTable::new(&enforced.prefixes, allow, enforced.default_group);
    let soa = Soa::new(
        &fixed_name("interdict.invalid"),
        &fixed_name("contact.interdict.invalid"),
        generation as u32,
        draft.config.ttl,
    );
    let mut snapshot = Snapshot {
        generation,
        digest: [0; 32],
        rules_digest,
        on,
        next_transition: next_transition(&draft, on),
        table,
        names,
        kinds: kinds.into(),
        actions: actions.list.into(),
        sets: sets.into(),
        groups: enforced.groups.into(),
        clients,
        soa,
        catalog: Arc::new(draft.catalog),
        config: draft.config,
    };
    snapshot.digest = digest(&snapshot);
    Ok(Compiled { snapshot, warnings: problems })
}

struct Compiler {
    draft: Draft,
    sets: Vec<RuleSet>,
    actions: ActionTable,
    problems: Vec<Problem>,
}

/// Each different action once.
#[derive(Debug, Default)]
pub(super) struct ActionTable {
    list: Vec<Action>,
    numbers: HashMap<Action, u16>,
}

impl ActionTable {
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

/// A rule under its name, with its line.
type Gathered = Vec<(Name, RuleKind, u32)>;

/// The rules in the form in which they are searched.
struct Indexed {
    table: NameTable,
    /// How many different names there are.
    names: usize,
    kinds: Vec<RuleKind>,
    digest: [u8; 32],
}

impl Compiler {
    /// Makes the sets and attributes every rule to one. Canaries first, then apps, exceptions, sources.
    fn gather(&mut self) -> Gathered {
        let mut gathered = Gathered::new();
        self.sets.push(RuleSet {
            origin: Origin::Canary,
            app: None,
            instrument: None,
            file: "blocklists/bypass.toml".to_owned(),
            rules: 0,
        });
        let Draft { catalog, config, sources } = std::mem::take(&mut self.draft);
        for listed in &catalog.canaries {
            self.add(&mut gathered, CANARIES, listed.name.clone(), Reach::Subtree, None, listed.place.line);
        }
        for (index, app) in catalog.apps.iter().enumerate() {
            for tier in [Tier::Core, Tier::Shared] {
                let file = app.names.first().map(|listed| listed.place.file.clone()).unwrap_or_default();
                let set = self.new_set(Origin::App(tier), Some(index as u16), None, file);
                for listed in app.names.iter().filter(|listed| listed.tier == tier) {
                    self.add(&mut gathered, set, listed.name.clone(), listed.reach, None, listed.place.line);
                }
            }
        }
        for (index, exception) in config.exceptions.iter().enumerate() {
            let file = exception.place.file.clone();
            let set = self.new_set(Origin::Exception(index as u16), None, None, file);
            for name in &exception.names {
                let passthru = Some(Action::Passthru);
                self.add(&mut gathered, set, name.clone(), Reach::Subtree, passthru, exception.place.line);
            }
        }
        let mut emptied = sources.clone_without_rules();
        for (source, kept) in sources.into_iter().zip(&mut emptied) {
            let app = source.app.as_ref().and_then(|id| catalog.apps.iter().position(|app| app.id == *id));
            let instrument = source
                .instrument
                .as_ref()
                .and_then(|id| catalog.instruments.iter().position(|act| act.id == *id));
            for (id, found, kind) in
                [(&source.app, app, "app"), (&source.instrument, instrument, "instrument")]
            {
                if let (Some(id), None) = (id, found) {
                    self.problems.push(Problem::error(
                        kept.place.clone(),
                        format!(
                            "source `{}` is attributed to the {kind} `{id}`, which is not in the catalog",
                            kept.name
                        ),
                        format!("name an {kind} of the catalog, or take the line out"),
                    ));
                }
            }
            let set = self.new_set(
                Origin::Source(source.name),
                app.map(|index| index as u16),
                instrument.map(|index| index as u16),
                source.file,
            );
            for Rule { name, reach, action, line } in source.rules {
                self.add(&mut gathered, set, name, reach, action, line);
            }
        }
        self.draft = Draft { catalog, config, sources: emptied };
        gathered
    }

    fn new_set(&mut self, origin: Origin, app: Option<u16>, instrument: Option<u16>, file: String) -> u16 {
        let number = self.sets.len() as u16;
        self.sets.push(RuleSet { origin, app, instrument, file, rules: 0 });
        number
    }

    fn add(
        &mut self,
        to: &mut Gathered,
        set: u16,
        name: Name,
        reach: Reach,
        action: Option<Action>,
        line: u32,
    ) {
        let action = action.map_or(DEFAULT_ACTION, |action| self.actions.number(action));
        to.push((name, RuleKind { set, reach, action }, line));
    }

    /// Sorts, drops repetitions, and builds the table. The order does not depend on the order of the inputs.
    fn index(&mut self, mut gathered: Gathered) -> Indexed {
        gathered.sort_unstable();
        gathered.dedup_by(|later, first| (&later.0, later.1) == (&first.0, first.1));
        widen_covered(&mut gathered);
        if gathered.len() > NameTable::MOST {
            self.problems.push(Problem::error(
                Place::file("lists"),
                format!("{} rules are more than the {} that can be kept", gathered.len(), NameTable::MOST),
                "leave out a list",
            ));
            gathered.clear();
        }
        let mut numbers: HashMap<RuleKind, u32> = HashMap::new();
        let mut kinds = Vec::new();
        let mut names = 0;
        let mut digest = Sha256::new();
        let mut listed = Vec::with_capacity(gathered.len());
        for run in gathered.chunk_by(|a, b| a.0 == b.0) {
            names += 1;
            for (name, kind, line) in run {
                if let Some(set) = self.sets.get_mut(usize::from(kind.set)) {
                    set.rules += 1;
                }
                digest.update(name.as_wire());
                digest.update(kind.set.to_be_bytes());
                digest.update(kind.action.to_be_bytes());
                digest.update(line.to_be_bytes());
                digest.update([kind.reach as u8]);
                let number = *numbers.entry(*kind).or_insert_with(|| {
                    kinds.push(*kind);
                    kinds.len() as u32 - 1
                });
                listed.push(Listed { name: name.as_wire(), kind: number, line: *line });
            }
        }
        let digest = digest.finalize().into();
        Indexed { table: NameTable::new(HashKey::of(&digest), listed.into_iter()), names, kinds, digest }
    }

    /// An operator's list may cover infrastructure of uninvolved parties; somebody should know. One complaint a line of a
    /// list, however much it covers.
    fn check_never(&mut self, table: &NameTable, kinds: &[RuleKind]) {
        let mut covered: BTreeMap<(u16, u32), Vec<&ListedName>> = BTreeMap::new();
        for never in &self.draft.catalog.never {
            table.search(&CanonicalName::from(&never.name), |entry| {
                if let (Some(kind), Some((_, line))) =
                    (kinds.get(entry.kind as usize), table.rule(entry.number))
                    && (entry.depth == 0 || kind.reach != Reach::Exact)
                {
                    covered.entry((kind.set, line)).or_default().push(never);
                }
            });
        }
        for ((set, line), names) in covered {
            let (Some(set), [first, others @ ..]) = (self.sets.get(usize::from(set)), names.as_slice())
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

trait WithoutRules {
    fn clone_without_rules(&self) -> Self;
}

impl WithoutRules for Vec<super::group::SourceRules> {
    fn clone_without_rules(&self) -> Self {
        self.iter()
            .map(|source| super::group::SourceRules {
                name: source.name.clone(),
                app: source.app.clone(),
                instrument: source.instrument.clone(),
                file: source.file.clone(),
                rules: Vec::new(),
                place: source.place.clone(),
            })
            .collect()
    }
}

/// An exact rule whose set also denies everything below its name, with the same action, speaks for the whole subtree:
/// its answer may then be NXDOMAIN.
fn widen_covered(gathered: &mut Gathered) {
    let exact: HashSet<u16> = gathered
        .iter()
        .filter(|(_, kind, _)| kind.reach == Reach::Exact)
        .map(|(_, kind, _)| kind.set)
        .collect();
    let wide: HashSet<(u16, u16, &[u8])> = gathered
        .iter()
        .filter(|(_, kind, _)| kind.reach != Reach::Exact && exact.contains(&kind.set))
        .map(|(name, kind, _)| (kind.set, kind.action, name.as_wire()))
        .collect();
    if wide.is_empty() {
        return;
    }
    let covered = |(name, kind, _): &(Name, RuleKind, u32)| {
        kind.reach == Reach::Exact
            && name.suffixes().any(|above| wide.contains(&(kind.set, kind.action, above)))
    };
    let covered: Vec<usize> =
        (0..gathered.len()).filter(|at| gathered.get(*at).is_some_and(covered)).collect();
    for at in covered {
        if let Some((_, kind, _)) = gathered.get_mut(at) {
            kind.reach = Reach::Subtree;
        }
    }
}

/// Which kinds of action each set's rules name; the default action apart.
fn kinds_by_set(sets: &[RuleSet], rules: &[RuleKind], actions: &ActionTable) -> Vec<Vec<ActionKind>> {
    let mut kinds = vec![Vec::new(); sets.len()];
    for rule in rules {
        if let (Some(action), Some(kinds)) =
            (actions.list.get(usize::from(rule.action)), kinds.get_mut(usize::from(rule.set)))
            && !kinds.contains(&action.kind())
        {
            kinds.push(action.kind());
        }
    }
    kinds
}

/// The next moment after `on` at which an instrument or exception starts or ends.
fn next_transition(draft: &Draft, on: Timestamp) -> Option<Timestamp> {
    let zone = &draft.config.time_zone;
    let instruments = draft
        .catalog
        .instruments
        .iter()
        .flat_map(|act| [Some(act.in_force_from.moment), act.until.map(|until| until.moment)]);
    let exceptions = draft.config.exceptions.iter().flat_map(|exception| {
        [exception.from.map(|from| from.in_zone(zone)), Some(exception.until.in_zone(zone))]
    });
    instruments.chain(exceptions).flatten().filter(|moment| *moment > on).min()
}

/// Where an exception stands at `on`.
pub(super) fn exception_standing(draft: &Draft, index: usize, on: Timestamp) -> Standing {
    let zone = &draft.config.time_zone;
    draft.config.exceptions.get(index).map_or(Standing::InForce, |exception| {
        Standing::at(on, exception.from.map(|from| from.in_zone(zone)), Some(exception.until.in_zone(zone)))
    })
}

fn fixed_name(text: &str) -> Name {
    text.parse().unwrap_or_else(|_| Name::root())
}

/// Everything that decides a query, in a fixed order and form.
fn digest(snapshot: &Snapshot) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = |part: String| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    };
    let config = &snapshot.config;
    text(format!("{:?} {} {} {}", config.action, config.ttl, config.sinkhole_ipv4, config.sinkhole_ipv6));
    text(format!("{} {} {} {:?}", config.contact, config.block_ds, config.otherwise, config.allow));
    text(format!("{:?} {:?}", snapshot.actions, snapshot.clients));
    for set in &snapshot.sets {
        text(format!("{:?} {:?} {:?} {}", set.origin, set.app, set.instrument, set.file));
    }
    for group in &snapshot.groups {
        text(format!("{} {} {:?}", group.name, group.action, group.by_set));
        for found in &group.enforcements {
            text(format!("{} {} {} {:?}", found.position, found.mode, found.set, found.options));
        }
    }
    hash.update(snapshot.rules_digest);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Catalog, Mode, Verdict};

    const TIKTOK: &str = r#"
id = "tiktok"
title = "TikTok"
owner = "ByteDance"
[[name]]
name = "tiktok.com"
match = "subtree"
tier = "core"
purpose = "core"
certainty = "owned"
origin = ["x"]
[[name]]
name = "byteoversea.com"
match = "subtree"
tier = "shared"
purpose = "api"
certainty = "shared"
origin = ["x"]
"#;

    const BAN: &str = r#"
id = "ban"
title = "Ban"
kind = "ban"
authority = "Board"
jurisdiction = "CA"
citation = "c"
time_zone = "America/Toronto"
apps = ["tiktok"]
covers = "devices"
embedded = "unstated"
in_force_from = { date = "2023-02-28", verified = true }
origin = ["x"]
"#;

    fn compiled(config: crate::policy::Config, on: &str) -> Snapshot {
        let (catalog, problems) = Catalog::read([
            ("apps/tiktok.toml", TIKTOK),
            ("instruments/ban.toml", BAN),
            ("default.toml", "enforce = [\"ban\"]"),
            ("never.toml", ""),
        ]);
        assert_eq!(problems, []);
        let draft = Draft { catalog, config, sources: Vec::new() };
        compile(draft, on.parse().unwrap(), 1, &Labels::default()).unwrap().snapshot
    }

    fn decide(snapshot: &Snapshot, name: &str) -> Verdict {
        snapshot.decide_query(0, &CanonicalName::from(&name.parse::<Name>().unwrap()))
    }

    #[test]
    fn a_ban_counts_from_its_midnight_on() {
        let before = compiled(Default::default(), "2023-02-28T04:59:59Z");
        assert_eq!(decide(&before, "www.tiktok.com"), Verdict::Allow);
        assert_eq!(before.next_transition(), Some("2023-02-28T05:00:00Z".parse().unwrap()));
        let after = compiled(Default::default(), "2023-02-28T05:00:00Z");
        assert!(matches!(decide(&after, "www.tiktok.com"), Verdict::Deny(cause) if cause.depth == 1));
        assert_eq!(decide(&after, "xtiktok.com"), Verdict::Allow);
        assert_eq!(decide(&after, "byteoversea.com"), Verdict::Allow, "shared names need `extended`");
        assert_ne!(before.digest(), after.digest());
    }

    #[test]
    fn a_shadow_group_is_only_rehearsed() {
        let mut config = crate::policy::Config::default();
        config.groups.push(crate::policy::Group {
            name: "default".into(),
            clients: Vec::new(),
            enforce: None,
            mode: Mode::Shadow,
            extended: true,
            action: None,
            place: Place::default(),
        });
        let snapshot = compiled(config, "2024-01-01T00:00:00Z");
        assert!(matches!(decide(&snapshot, "tiktok.com"), Verdict::Shadow(_)));
        assert!(matches!(decide(&snapshot, "a.byteoversea.com"), Verdict::Shadow(_)));
    }

    #[test]
    fn the_digest_does_not_depend_on_the_host() {
        let one = compiled(Default::default(), "2024-01-01T00:00:00Z");
        let two = compiled(Default::default(), "2024-01-01T00:00:00Z");
        assert_eq!(one.digest(), two.digest());
    }
}
