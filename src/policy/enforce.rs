//! Owns the resolution of groups: which sets of rules count for whom at the moment compiled for, in which order, and
//! which do not and why. Never looks at a name.

use jiff::Timestamp;

use super::catalog::Tier;
use super::client::Prefix;
use super::compile::exception_standing;
use super::group::{Draft, Enforce, Group, Mode};
use super::identity::Identity;
use super::instrument::Standing;
use super::labels::{LabelSet, Labels};
use super::outbound::{Ech, Outbound};
use super::rule::ActionKind;
use super::rulebook::Actions;
use super::snapshot::{CompiledGroup, Counting, Enforcement, Idle, IdleReason, NONE, Origin, RuleSet};
use crate::dns::ExtendedError;
use crate::document;
use crate::problem::{Place, Problem};

/// What groups are resolved against.
pub(super) struct Assembly<'d> {
    pub(super) draft: &'d Draft,
    pub(super) on: Timestamp,
    pub(super) sets: &'d [RuleSet],
    /// The kinds of action that the rules of each set name.
    pub(super) kinds: Vec<Vec<ActionKind>>,
    /// Which sets have rules for names alone, and others for what is below.
    pub(super) mixed: Vec<bool>,
}

/// All groups, and who belongs to them.
pub(super) struct Enforced {
    pub(super) groups: Vec<CompiledGroup>,
    pub(super) prefixes: Vec<(Prefix, u16)>,
    pub(super) identities: Vec<(Identity, u16)>,
    pub(super) default_group: u16,
}

/// The group of clients that no other group names.
const DEFAULT_GROUP: &str = "default";

pub(super) fn enforce(
    assembly: &Assembly<'_>,
    actions: &mut Actions,
    labels: &Labels,
    problems: &mut Vec<Problem>,
) -> Enforced {
    let config = &assembly.draft.config;
    let mut groups: Vec<Group> = config.groups.clone();
    if !groups.iter().any(|group| group.name == DEFAULT_GROUP) {
        groups.push(default_group());
    }
    check_groups(assembly, &groups, problems);
    let policy_action = actions.number(config.action.clone());
    let mut enforced =
        Enforced { groups: Vec::new(), prefixes: Vec::new(), identities: Vec::new(), default_group: 0 };
    for (number, group) in groups.iter().enumerate() {
        let number = number as u16;
        if group.name == DEFAULT_GROUP {
            enforced.default_group = number;
        }
        enforced.prefixes.extend(group.clients.iter().map(|prefix| (*prefix, number)));
        enforced.identities.extend(group.identities.iter().map(|identity| (identity.clone(), number)));
        let action = group.action.clone().map_or(policy_action, |action| actions.number(action));
        let kind = group.action.as_ref().unwrap_or(&config.action).kind();
        let mut resolver =
            Resolver { assembly, group, kind, labels, enforcements: Vec::new(), idle: Vec::new() };
        resolver.exceptions();
        resolver.entries(problems);
        let by_set = resolver.by_set();
        resolver.number_labels(&by_set);
        let Resolver { enforcements, idle, .. } = resolver;
        enforced.groups.push(CompiledGroup {
            name: group.name.clone(),
            action,
            by_set,
            enforcements: enforcements.into(),
            idle,
            screens_addresses: false,
            addresses_from: NONE,
            screens_name_servers: false,
            name_servers_from: NONE,
            outbound: group.outbound,
            reach: group.reach.clone().into(),
            ech: group.ech,
        });
    }
    enforced
}

fn default_group() -> Group {
    Group {
        name: DEFAULT_GROUP.to_owned(),
        clients: Vec::new(),
        identities: Vec::new(),
        enforce: None,
        mode: Mode::Enforce,
        extended: false,
        action: None,
        outbound: Outbound::Off,
        reach: Vec::new(),
        ech: Ech::Keep,
        place: Place::default(),
    }
}

fn check_groups(assembly: &Assembly<'_>, groups: &[Group], problems: &mut Vec<Problem>) {
    let (catalog, config) = (assembly.draft.book.catalog(), &assembly.draft.config);
    let mut prefixes: Vec<(Prefix, &str)> = Vec::new();
    let mut identities: Vec<(&Identity, &str)> = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        if groups.iter().take(index).any(|other| other.name == group.name) {
            problems.push(Problem::error(
                group.place.clone(),
                format!("two groups are called `{}`", group.name),
                "a group's name is unique",
            ));
        }
        for prefix in &group.clients {
            if let Some((_, other)) = prefixes.iter().find(|(known, _)| known == prefix) {
                problems.push(Problem::error(
                    group.place.clone(),
                    format!("{prefix} belongs to `{other}` and to `{}`", group.name),
                    "a client belongs to one group; give one of them a longer prefix",
                ));
            }
            prefixes.push((*prefix, &group.name));
        }
        for identity in &group.identities {
            if let Some((_, other)) = identities.iter().find(|(known, _)| *known == identity) {
                problems.push(Problem::error(
                    group.place.clone(),
                    format!("{identity} belongs to `{other}` and to `{}`", group.name),
                    "a client belongs to one group",
                ));
            }
            identities.push((identity, &group.name));
        }
    }
    for (index, (source, place)) in assembly.draft.sources().enumerate() {
        let taken = assembly.draft.sources().take(index).any(|(other, _)| other.name == source.name)
            || catalog.app(&source.name).is_some()
            || catalog.instrument(&source.name).is_some();
        if taken {
            problems.push(Problem::error(
                place.clone(),
                format!("`{}` already names an app, an instrument or another source", source.name),
                "give the source another name",
            ));
        }
        let used = groups.iter().any(|group| match &group.enforce {
            Some(entries) => entries.iter().any(|entry| entry.id == source.name),
            None => true,
        });
        if !used {
            problems.push(Problem::warning(
                place.clone(),
                format!("no group enforces the source `{}`", source.name),
                "name it in a group's `enforce`",
            ));
        }
    }
    for (index, exception) in config.exceptions.iter().enumerate() {
        let mut complain =
            |what: String, hint: &str| problems.push(Problem::error(exception.place.clone(), what, hint));
        if config.exceptions.iter().take(index).any(|other| other.id == exception.id) {
            complain(format!("two exceptions are called `{}`", exception.id), "an exception's id is unique");
        }
        if let Some(group) = &exception.group
            && !groups.iter().any(|known| known.name == *group)
        {
            complain(
                format!("exception `{}` is for `{group}`, which is no group", exception.id),
                "name a group",
            );
        }
        for app in exception.apps.iter().filter(|app| catalog.app(app).is_none()) {
            complain(
                format!("exception `{}` frees `{app}`, which is not in the catalog", exception.id),
                "name an app",
            );
        }
        if exception.apps.is_empty() && exception.names.is_empty() {
            complain(format!("exception `{}` frees nothing", exception.id), "give it `apps` or `names`");
        }
        if let Standing::Ended(end) = exception_standing(assembly.draft, index, assembly.on) {
            problems.push(Problem::warning(
                exception.place.clone(),
                format!("exception `{}` ended at {end}", exception.id),
                "take it out, or renew it",
            ));
        }
    }
}

struct Resolver<'a, 'd> {
    assembly: &'a Assembly<'d>,
    group: &'a Group,
    /// Kind of the group's default action.
    kind: ActionKind,
    labels: &'a Labels,
    enforcements: Vec<Enforcement>,
    idle: Vec<Idle>,
}

impl Resolver<'_, '_> {
    /// Exceptions stand in front of everything: position 0.
    fn exceptions(&mut self) {
        let assembly = self.assembly;
        for (index, exception) in assembly.draft.config.exceptions.iter().enumerate() {
            if exception.group.as_ref().is_some_and(|group| *group != self.group.name) {
                continue;
            }
            let standing = exception_standing(assembly.draft, index, assembly.on);
            for (set, found) in (0..).zip(assembly.sets) {
                let frees = match &found.origin {
                    Origin::Exception(own) => usize::from(*own) == index && found.rules > 0,
                    _ => self.app_id(found.app).is_some_and(|id| exception.apps.iter().any(|app| app == id)),
                };
                if frees {
                    self.add(0, Mode::Enforce, set, None, Some(index as u16), standing);
                }
            }
        }
    }

    fn entries(&mut self, problems: &mut Vec<Problem>) {
        let assembly = self.assembly;
        let catalog = assembly.draft.book.catalog();
        let entries = self.group.enforce.clone().unwrap_or_else(|| {
            let laws = catalog.default.iter().map(|id| (id.value.clone(), id.place.clone()));
            let lists = assembly.draft.sources().map(|(source, place)| (source.name.clone(), place.clone()));
            let plain = |(id, place)| Enforce { id, mode: Mode::Enforce, extended: false, place };
            laws.chain(lists).map(plain).collect()
        });
        for (position, entry) in (1..).zip(&entries) {
            let mode = entry.mode.and(self.group.mode);
            let extended = entry.extended || self.group.extended;
            if let Some(index) = catalog.instruments.iter().position(|act| act.id == entry.id) {
                let Some(act) = catalog.instruments.get(index) else { continue };
                let standing = act.standing(assembly.on);
                for app in &act.apps {
                    self.app(position, mode, app, Some(index as u16), extended, standing);
                }
            } else if catalog.app(&entry.id).is_some() {
                self.app(position, mode, &entry.id, None, extended, Standing::InForce);
            } else if let Some((set, found)) = (0..)
                .zip(assembly.sets)
                .find(|(_, set)| matches!(&set.origin, Origin::Source(name) if *name == entry.id))
            {
                let disabled =
                    assembly.draft.sources().any(|(source, _)| source.name == entry.id && source.disabled);
                let mode = if disabled { mode.and(Mode::Shadow) } else { mode };
                self.add(position, mode, set, found.instrument, None, Standing::InForce);
            } else {
                let known: Vec<&str> = catalog
                    .instruments
                    .iter()
                    .map(|act| act.id.as_str())
                    .chain(catalog.apps.iter().map(|app| app.id.as_str()))
                    .chain(assembly.draft.sources().map(|(source, _)| source.name.as_str()))
                    .collect();
                let hint = match document::nearest(&entry.id, &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "name an instrument, an app or a source; `interdict check` lists them".to_owned(),
                };
                problems.push(Problem::error(
                    entry.place.clone(),
                    format!("group `{}` enforces `{}`, which is not known", self.group.name, entry.id),
                    hint,
                ));
            }
        }
    }

    fn app(
        &mut self,
        position: u16,
        mode: Mode,
        app: &str,
        act: Option<u16>,
        extended: bool,
        standing: Standing,
    ) {
        for (set, found) in (0..).zip(self.assembly.sets) {
            let Origin::App(tier) = found.origin else { continue };
            if self.app_id(found.app) != Some(app) || found.rules == 0 {
                continue;
            }
            if tier == Tier::Shared && !extended {
                self.idle.push(Idle { set, instrument: act, exception: None, why: IdleReason::NotExtended });
            } else {
                self.add(position, mode, set, act, None, standing);
            }
        }
    }

    fn add(
        &mut self,
        position: u16,
        mode: Mode,
        set: u16,
        act: Option<u16>,
        exception: Option<u16>,
        standing: Standing,
    ) {
        let why = match (mode, standing) {
            (Mode::Off, _) => Some(IdleReason::Off),
            (_, Standing::Ended(at)) => Some(IdleReason::Ended(at)),
            (_, Standing::NotYet(at)) => Some(IdleReason::NotYet(at)),
            (_, Standing::InForce) => None,
        };
        if let Some(why) = why {
            self.idle.push(Idle { set, instrument: act, exception, why });
            return;
        }
        let error = self.extended_error(act);
        let text = self.extra_text(set, act);
        let options = error.option(&text);
        let forged_options = [ExtendedError::ForgedAnswer.option(""), options.clone()].concat();
        self.enforcements.push(Enforcement {
            position,
            mode,
            set,
            mixed: self.assembly.mixed.get(usize::from(set)).copied().unwrap_or_default(),
            instrument: act,
            exception,
            labels: [0; ActionKind::ALL.len()],
            options: options.into(),
            forged_options: forged_options.into(),
        });
    }

    /// For each set the first enforcement in the group's order, enforced and rehearsed apart.
    fn by_set(&self) -> Box<[Counting]> {
        let mut by_set = vec![Counting { enforced: NONE, shadow: NONE }; self.assembly.sets.len()];
        for (number, found) in (0..NONE).zip(&self.enforcements) {
            let Some(counting) = by_set.get_mut(usize::from(found.set)) else { continue };
            let slot = if found.mode == Mode::Shadow { &mut counting.shadow } else { &mut counting.enforced };
            if *slot == NONE {
                *slot = number;
            }
        }
        by_set.into()
    }

    /// Only what can decide a query is counted apart: a ban behind another ban of the same app makes no series.
    fn number_labels(&mut self, by_set: &[Counting]) {
        for number in by_set.iter().flat_map(|counting| [counting.enforced, counting.shadow]) {
            let Some(found) = self.enforcements.get(usize::from(number)) else { continue };
            let labels = self.label_numbers(found.set, found.instrument, found.mode);
            if let Some(found) = self.enforcements.get_mut(usize::from(number)) {
                found.labels = labels;
            }
        }
    }

    fn label_numbers(&self, set: u16, act: Option<u16>, mode: Mode) -> [u32; ActionKind::ALL.len()] {
        let mut numbers = [0; ActionKind::ALL.len()];
        let named = self.assembly.kinds.get(usize::from(set)).map_or(&[][..], Vec::as_slice);
        for kind in named.iter().copied().chain([self.kind]) {
            if let Some(slot) = numbers.get_mut(kind as usize) {
                *slot = self.labels.number(&LabelSet {
                    app: self.set_app(set).unwrap_or("none").to_owned(),
                    instrument: self.act_id(act).unwrap_or("none").to_owned(),
                    source: self.set_source(set).to_owned(),
                    group: self.group.name.clone(),
                    action: kind,
                    mode,
                });
            }
        }
        numbers
    }

    fn extended_error(&self, act: Option<u16>) -> ExtendedError {
        let acts = &self.assembly.draft.book.catalog.instruments;
        act.and_then(|index| acts.get(usize::from(index)))
            .map_or(ExtendedError::Blocked, |act| act.extended_error)
    }

    /// Short and for people: app, instrument, contact.
    fn extra_text(&self, set: u16, act: Option<u16>) -> String {
        let found = self.assembly.sets.get(usize::from(set));
        let apps = &self.assembly.draft.book.catalog.apps;
        let app = found.and_then(|set| set.app).and_then(|index| apps.get(usize::from(index)));
        let mut text = match (app, found.map(|set| &set.origin)) {
            (Some(app), _) => format!("{} is blocked", app.title),
            (None, Some(Origin::Source(name))) => format!("blocked by the list {name}"),
            (None, _) => "blocked".to_owned(),
        };
        if let Some(id) = self.act_id(act) {
            text.push_str(&format!(" under {id}"));
        }
        if !self.assembly.draft.config.contact.is_empty() {
            text.push_str(&format!("; contact {}", self.assembly.draft.config.contact));
        }
        text
    }

    fn set_source(&self, set: u16) -> &str {
        match self.assembly.sets.get(usize::from(set)).map(|set| &set.origin) {
            Some(Origin::Source(name)) => name,
            _ => "catalog",
        }
    }

    fn set_app(&self, set: u16) -> Option<&str> {
        self.app_id(self.assembly.sets.get(usize::from(set))?.app)
    }

    fn app_id(&self, app: Option<u16>) -> Option<&str> {
        self.assembly.draft.book.catalog.apps.get(usize::from(app?)).map(|app| app.id.as_str())
    }

    fn act_id(&self, act: Option<u16>) -> Option<&str> {
        self.assembly.draft.book.catalog.instruments.get(usize::from(act?)).map(|act| act.id.as_str())
    }
}
