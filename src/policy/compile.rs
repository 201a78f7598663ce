//! Owns the step from law to decision: a draft and a moment in, a snapshot or all its problems out. Pure: the same
//! draft and moment give the same digest on every host. Never publishes.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::address::Addresses;
use super::client::ClientTable;
use super::digest::Written;
use super::enforce::{Assembly, enforce};
use super::group::Draft;
use super::identity::IdentityTable;
use super::instrument::Standing;
use super::labels::Labels;
use super::matcher::{HashKey, Listed, NameTable};
use super::outbound::{Ech, Outbound};
use super::rule::{Action, ActionKind, Reach};
use super::rulebook::Actions;
use super::snapshot::{Origin, RuleKind, RuleSet, Snapshot};
use crate::dns::{Name, Soa};
use crate::problem::Problem;

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
    let mut problems = draft.book.problems();
    check_attribution(&draft, &mut problems);
    let book = Arc::clone(&draft.book);
    let mut actions = book.actions.clone();
    let Freed { sets, kinds: freed, rules, digest: exceptions_digest } =
        freed(&draft, actions.number(Action::Passthru));
    let addresses = Addresses::behind(&book);
    let kinds: Box<[RuleKind]> = book.kinds.iter().chain(&freed).copied().collect();
    let names: BTreeSet<&[u8]> = rules.iter().map(|rule| rule.name).collect();
    let names = book.names + names.len();
    let came = book.since.added.iter();
    let came = came.map(|((name, kind), line)| Listed { name: name.as_wire(), kind: *kind, line: *line });
    // Few, whatever came: the background puts them in order before they are many.
    let beside: Vec<Listed<'_>> = came.chain(rules).collect();
    let beside = NameTable::new(HashKey::of(&exceptions_digest), beside.as_slice());

    let mixed = mixed(&sets, &kinds);
    let named = kinds_by_set(&sets, &kinds, &actions);
    let assembly = Assembly { draft: &draft, on, sets: &sets, kinds: named, mixed };
    let enforced = enforce(&assembly, &mut actions, labels, &mut problems);
    problems.sort();
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let allow = &draft.config.allow;
    let clients = ClientTable::new(&enforced.prefixes, allow, enforced.default_group);
    let identities = enforced.identities.iter().map(|(identity, group)| (identity, *group));
    let identified = IdentityTable::new(identities, |group| ClientTable::new(&[], allow, group));
    let soa = Soa::new(
        &fixed_name("interdict.invalid"),
        &fixed_name("contact.interdict.invalid"),
        generation as u32,
        draft.config.ttl,
    );
    let mut snapshot = Snapshot {
        generation,
        digest: [0; 32],
        on,
        next_transition: next_transition(&draft, on),
        names,
        book,
        beside,
        exceptions_digest,
        kinds,
        actions: actions.list.into(),
        sets: sets.into(),
        groups: enforced.groups.into(),
        clients,
        identified,
        addresses,
        soa,
        config: draft.config,
    };
    snapshot.digest = digest(&snapshot);
    snapshot.settle_addresses();
    snapshot.settle_name_servers();
    Ok(Compiled { snapshot, warnings: problems })
}

/// A list's rules are attributed to what the catalog knows.
fn check_attribution(draft: &Draft, problems: &mut Vec<Problem>) {
    let catalog = draft.book.catalog();
    for (source, place) in draft.sources() {
        let (app, act) = (source.app.as_deref(), source.instrument.as_deref());
        let app = app.filter(|id| catalog.app(id).is_none()).map(|id| ("app", id));
        let act = act.filter(|id| catalog.instrument(id).is_none()).map(|id| ("instrument", id));
        for (kind, id) in app.into_iter().chain(act) {
            problems.push(Problem::error(
                place.clone(),
                format!(
                    "source `{}` is attributed to the {kind} `{id}`, which is not in the catalog",
                    source.name
                ),
                format!("name an {kind} of the catalog, or take the line out"),
            ));
        }
    }
}

/// The names that exceptions free.
struct Freed<'d> {
    /// The rulebook's sets, and one for each exception.
    sets: Vec<RuleSet>,
    /// Behind the rulebook's.
    kinds: Vec<RuleKind>,
    /// Each once an exception.
    rules: Vec<Listed<'d>>,
    digest: [u8; 32],
}

fn freed(draft: &Draft, passthru: u16) -> Freed<'_> {
    let mut sets = draft.book.sets.clone();
    let mut kinds = Vec::new();
    let mut rules = Vec::new();
    let mut digest = Written::new();
    digest.update(draft.book.digest);
    for (index, exception) in (0..).zip(&draft.config.exceptions) {
        let (set, line) = (sets.len() as u16, exception.place.line);
        let kind = (draft.book.kinds.len() + kinds.len()) as u32;
        let names: BTreeSet<&[u8]> = exception.names.iter().map(Name::as_wire).collect();
        kinds.push(RuleKind { set, reach: Reach::Subtree, action: passthru });
        sets.push(RuleSet {
            origin: Origin::Exception(index),
            app: None,
            instrument: None,
            file: exception.place.file.clone(),
            rules: names.len() as u32,
        });
        for name in names {
            digest.update(set.to_be_bytes());
            digest.update(name);
            rules.push(Listed { name, kind, line });
        }
        digest.update(line.to_be_bytes());
    }
    Freed { sets, kinds, rules, digest: digest.finalize() }
}

/// Which kinds of action each set's rules name; the default action apart.
fn kinds_by_set(sets: &[RuleSet], rules: &[RuleKind], actions: &Actions) -> Vec<Vec<ActionKind>> {
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

/// Which sets have rules for names alone, and others for what is below.
fn mixed(sets: &[RuleSet], rules: &[RuleKind]) -> Vec<bool> {
    let has = |set: usize, exact: bool| {
        rules
            .iter()
            .filter(|kind| usize::from(kind.set) == set && !kind.reach.is_about_name_servers())
            .any(|kind| (kind.reach == Reach::Exact) == exact)
    };
    (0..sets.len()).map(|set| has(set, true) && has(set, false)).collect()
}

/// The next moment after `on` at which an instrument or exception starts or ends.
fn next_transition(draft: &Draft, on: Timestamp) -> Option<Timestamp> {
    let zone = &draft.config.time_zone;
    let instruments = draft
        .book
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
    let mut hash = Written::new();
    let mut text = |part: String| hash.text(&part);
    let config = &snapshot.config;
    text(format!("{:?} {} {} {}", config.action, config.ttl, config.sinkhole_ipv4, config.sinkhole_ipv6));
    text(format!("{} {} {} {:?}", config.contact, config.block_ds, config.otherwise, config.allow));
    text(config.local.written().to_owned());
    text(format!("{:?}", config.rebinding));
    text(format!("{:?}", snapshot.clients));
    for (identity, group) in snapshot.identified.listed() {
        text(format!("{identity} {group}"));
    }
    for set in &snapshot.sets {
        text(format!("{:?} {:?} {:?} {}", set.origin, set.app, set.instrument, set.file));
    }
    for group in &snapshot.groups {
        // Numbers of actions depend on what was listed before.
        let action = snapshot.actions.get(usize::from(group.action));
        text(format!("{} {action:?} {:?}", group.name, group.by_set));
        for found in &group.enforcements {
            text(format!("{} {} {} {:?}", found.position, found.mode, found.set, found.options));
        }
        if group.ech != Ech::Keep {
            text(format!("ech {}", group.ech));
        }
        if group.outbound != Outbound::Off {
            text(format!("{} {:?}", group.outbound, group.reach));
        }
    }
    hash.update(snapshot.book.digest);
    hash.update(snapshot.exceptions_digest);
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::CanonicalName;
    use crate::policy::{Catalog, Mode, Rulebook, Verdict};
    use crate::problem::Place;

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
        let book = Arc::new(Rulebook::new(catalog, Vec::new()));
        let draft = Draft { book, config, places: Vec::new() };
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
            identities: Vec::new(),
            enforce: None,
            mode: Mode::Shadow,
            extended: true,
            action: None,
            outbound: Outbound::Off,
            reach: Vec::new(),
            ech: Ech::Keep,
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
