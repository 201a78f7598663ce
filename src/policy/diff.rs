//! Owns the difference between two snapshots: rules that came and went, and what changed for each group.
//! Never judges it; the guard does.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::address::Whose;
use super::outbound::{Ech, Outbound};
use super::snapshot::{CompiledGroup, DEFAULT_ACTION, RuleKind, Snapshot};
use crate::dns::Name;

/// What publishing the later snapshot would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Generation of the earlier snapshot.
    pub from: u64,
    /// Rules of the earlier snapshot.
    pub rules_before: usize,
    /// Rules of the later one.
    pub rules_after: usize,
    /// Rules that came, by list.
    pub added: BTreeMap<String, Change>,
    /// Rules that went, by list.
    pub removed: BTreeMap<String, Change>,
    /// What each group starts or stops doing, in words.
    pub groups: Vec<String>,
}

/// How many rules of a list changed, and the first of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How many.
    pub count: usize,
    /// At most twenty of the names, in canonical order, then of the prefixes.
    pub names: Vec<String>,
}

/// Enough to recognise a change, few enough to read.
const EXAMPLES: usize = 20;

impl Difference {
    /// Compares two snapshots.
    pub fn between(earlier: &Snapshot, later: &Snapshot) -> Self {
        let mut difference = Self {
            from: earlier.generation(),
            rules_before: earlier.rule_count(),
            rules_after: later.rule_count(),
            ..Self::default()
        };
        difference.compare_rules(earlier, later);
        difference.compare_groups(earlier, later);
        difference
    }

    /// True when no rule and no enforcement differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.groups.is_empty()
    }

    /// What changed, in a few lines for people: a line for each list and group.
    pub fn summary(&self) -> Vec<String> {
        /// Names of each list that are told.
        const TOLD: usize = 5;
        let mut lines = Vec::new();
        for (sign, changes) in [('+', &self.added), ('-', &self.removed)] {
            for (list, change) in changes {
                let names: Vec<&str> = change.names.iter().take(TOLD).map(String::as_str).collect();
                let more = if change.count > names.len() { " …" } else { "" };
                lines.push(format!("{sign} {list}: {} rules: {}{more}", change.count, names.join(" ")));
            }
        }
        lines.extend(self.groups.iter().cloned());
        lines
    }

    /// Number of rules that came.
    pub fn added_count(&self) -> usize {
        self.added.values().map(|change| change.count).sum()
    }

    /// Number of rules that went.
    pub fn removed_count(&self) -> usize {
        self.removed.values().map(|change| change.count).sum()
    }

    fn compare_rules(&mut self, earlier: &Snapshot, later: &Snapshot) {
        let same = earlier.book.digest == later.book.digest && earlier.is_titled_as(later);
        if earlier.book.shares_table(&later.book) {
            // What one table lacks and what stands beside it is all that can differ.
            let added = later.rules_beside().chain(earlier.removed_since(later));
            self.added = not_in(earlier, later, added, usize::MAX);
            let removed = earlier.rules_beside().chain(later.removed_since(earlier));
            self.removed = not_in(later, earlier, removed, usize::MAX);
        } else if same {
            self.added = not_in(earlier, later, later.rules_of_exceptions(), usize::MAX);
            self.removed = not_in(later, earlier, earlier.rules_of_exceptions(), usize::MAX);
        } else {
            // Each rule is listed once, so what is new in one also says how many are missing from the other.
            self.added = not_in(earlier, later, later.rules(), usize::MAX);
            let added: usize = self.added.values().map(|change| change.count).sum();
            let missing = (earlier.listed_count() + added).saturating_sub(later.listed_count());
            self.removed = not_in(later, earlier, earlier.rules(), missing);
        }
        if !same {
            addresses_only_in(later, earlier, &mut self.added);
            addresses_only_in(earlier, later, &mut self.removed);
        }
    }

    fn compare_groups(&mut self, earlier: &Snapshot, later: &Snapshot) {
        let before = duties(earlier);
        let after = duties(later);
        self.groups.extend(before.difference(&after).map(|duty| format!("no longer: {duty}")));
        self.groups.extend(after.difference(&before).map(|duty| format!("from now on: {duty}")));
        self.groups.sort();
    }
}

/// Those among `rules` of `one` that `other` has not, by list. Kinds are compared by what they say, as their numbers mean
/// something in one snapshot only. There are at most so many, which ends the search.
fn not_in(
    other: &Snapshot,
    one: &Snapshot,
    rules: impl Iterator<Item = (Vec<u8>, u32)>,
    most: usize,
) -> BTreeMap<String, Change> {
    let others: BTreeMap<_, u32> = other.kinds.iter().map(|kind| kind_text(other, kind)).zip(0..).collect();
    let kinds: Vec<_> = one.kinds.iter().map(|kind| kind_text(one, kind)).collect();
    let twins: Vec<Option<u32>> = kinds.iter().map(|kind| others.get(kind).copied()).collect();
    let mut names: BTreeMap<u32, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    let mut left = most;
    for (name, kind) in rules {
        if left == 0 {
            break;
        }
        let twin = twins.get(kind as usize).copied().flatten();
        if twin.is_none_or(|twin| !other.holds(&name, twin)) {
            let list = kinds.get(kind as usize).map_or("", |(list, _, _)| list);
            changes.entry(list.to_owned()).or_default().count += 1;
            left -= 1;
            let first = names.entry(kind).or_default();
            first.insert(name);
            if first.len() > EXAMPLES {
                first.pop_last();
            }
        }
    }
    for (list, change) in &mut changes {
        let of_list =
            names.iter().filter(|(kind, _)| kinds.get(**kind as usize).is_some_and(|kind| kind.0 == *list));
        let first: BTreeSet<&Vec<u8>> = of_list.flat_map(|(_, names)| names).collect();
        let first = first.into_iter().filter_map(|wire| Name::from_wire(wire).ok());
        change.names = first.take(EXAMPLES).map(|name| name.to_string()).collect();
    }
    changes
}

/// The same of rules about addresses; their prefixes come behind the names.
fn addresses_only_in(one: &Snapshot, other: &Snapshot, changes: &mut BTreeMap<String, Change>) {
    for whose in [Whose::Client, Whose::Answer, Whose::NameServer] {
        let texts = |snapshot: &Snapshot| -> Vec<_> {
            let text = |kind: u32| snapshot.kinds.get(kind as usize).map(|kind| kind_text(snapshot, kind));
            let rules = snapshot.addresses_of(whose).rules().iter();
            rules.map(|rule| (rule.prefix, text(rule.kind).unwrap_or_default())).collect()
        };
        let others: BTreeSet<_> = texts(other).into_iter().collect();
        for (prefix, kind) in texts(one).into_iter().filter(|rule| !others.contains(rule)) {
            let change = changes.entry(kind.0).or_default();
            change.count += 1;
            if change.names.len() < EXAMPLES {
                change.names.push(match whose {
                    Whose::Answer => prefix.to_string(),
                    Whose::Client => format!("client {prefix}"),
                    Whose::NameServer => format!("name server {prefix}"),
                });
            }
        }
    }
}

/// The list a kind belongs to, its reach and its action.
fn kind_text(snapshot: &Snapshot, kind: &RuleKind) -> (String, u8, String) {
    let action = match kind.action {
        DEFAULT_ACTION => String::new(),
        own => snapshot.actions.get(usize::from(own)).map(|action| format!("{action:?}")).unwrap_or_default(),
    };
    (snapshot.set_title(kind.set), kind.reach as u8, action)
}

/// What every group does, one line for each list.
fn duties(snapshot: &Snapshot) -> BTreeSet<String> {
    let of = |group: &CompiledGroup| {
        let action =
            snapshot.actions.get(usize::from(group.action)).map_or("", |action| action.kind().as_str());
        let mut lines: Vec<String> = group
            .enforcements
            .iter()
            .map(|found| {
                let list = snapshot.set_title(found.set);
                match (snapshot.exception(found.exception), snapshot.instrument(found.instrument)) {
                    (Some(exception), _) => {
                        format!("group {}: {list} freed by exception {}", group.name, exception.id)
                    }
                    (None, Some(act)) => {
                        format!("group {}: {list} under {} ({})", group.name, act.id, found.mode)
                    }
                    (None, None) => format!("group {}: {list} ({})", group.name, found.mode),
                }
            })
            .collect();
        lines.push(format!("group {}: action {action}", group.name));
        if group.outbound != Outbound::Off {
            lines.push(format!("group {}: egress {}", group.name, group.outbound));
        }
        lines.extend(group.reach.iter().map(|to| format!("group {}: reach {to}", group.name)));
        if group.ech != Ech::Keep {
            lines.push(format!("group {}: ech {}", group.name, group.ech));
        }
        lines
    };
    let known = snapshot.identified.listed().into_iter();
    let known = known.map(|(identity, group)| format!("group {}: {identity}", snapshot.group_name(group)));
    snapshot.groups.iter().flat_map(of).chain(known).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{
        Action, Catalog, Config, Draft, Group, Identity, Labels, Mode, Reach, Rule, Rulebook, SourceRules,
        compile,
    };
    use crate::problem::Place;

    type Lines<'a> = &'a [(&'a str, Reach, Option<Action>)];

    fn snapshot(lists: &[(&str, Lines<'_>)]) -> Snapshot {
        let mut sources = Vec::new();
        for (name, rules) in lists {
            let rules = (1..).zip(rules.iter()).map(|(line, (name, reach, action))| Rule {
                name: name.parse().unwrap(),
                reach: *reach,
                action: action.clone().map(Box::new),
                line,
            });
            sources.push(SourceRules {
                name: (*name).to_owned(),
                app: None,
                instrument: None,
                file: format!("{name}.txt"),
                rules: rules.collect(),
                addresses: Vec::new(),
                disabled: false,
            });
        }
        let places = vec![Place::default(); sources.len()];
        let book = Arc::new(Rulebook::new(Catalog::default(), sources));
        let draft = Draft { book, places, ..Draft::default() };
        compile(draft, "2026-01-01T00:00:00Z".parse().unwrap(), 1, &Labels::default()).unwrap().snapshot
    }

    #[test]
    fn rules_that_mean_the_same_are_no_change_whatever_their_numbers() {
        use Reach::{Exact, Subtree};
        let own: Lines<'_> = &[("one.example", Exact, None), ("two.example", Subtree, Some(Action::Refused))];
        let before = snapshot(&[("own", own)]);
        let after = snapshot(&[("first", &[("zero.example", Exact, Some(Action::Drop))]), ("own", own)]);
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.added.keys().collect::<Vec<_>>(), ["first"]);
        assert!(difference.removed.is_empty());
        assert_eq!(difference.added["first"].names, ["zero.example"]);
    }

    #[test]
    fn another_reach_action_or_list_is_a_change() {
        use Reach::{Exact, Subtree};
        let before = snapshot(&[("own", &[("one.example", Exact, Some(Action::Drop))])]);
        for (list, reach, action) in
            [("own", Subtree, Action::Drop), ("own", Exact, Action::Refused), ("other", Exact, Action::Drop)]
        {
            let after = snapshot(&[(list, &[("one.example", reach, Some(action))])]);
            let difference = Difference::between(&before, &after);
            assert_eq!((difference.added_count(), difference.removed_count()), (1, 1), "{list} {reach:?}");
        }
        assert!(Difference::between(&before, &before).is_empty());
    }

    #[test]
    fn what_a_group_may_reach_and_who_is_in_it_are_changes() {
        let snapshot = |group: Option<Group>| {
            let config = Config { groups: group.into_iter().collect(), ..Config::default() };
            let draft = Draft { config, ..Draft::default() };
            compile(draft, "2026-01-01T00:00:00Z".parse().unwrap(), 1, &Labels::default()).unwrap().snapshot
        };
        let group = |outbound, reach: &[&str], ech, identities| Group {
            name: "lab".to_owned(),
            clients: Vec::new(),
            identities,
            enforce: Some(Vec::new()),
            mode: Mode::Enforce,
            extended: false,
            action: None,
            outbound,
            reach: reach.iter().map(|text| text.parse().unwrap()).collect(),
            ech,
            place: Place::default(),
        };
        let before =
            snapshot(Some(group(Outbound::Off, &["udp/123"], Ech::Keep, vec![Identity::user("ada")])));
        let identities = vec![Identity::user("ben"), Identity::certificate("*.example")];
        let to = ["192.0.2.0/24 tcp/22-23", "udp/123"];
        let after = snapshot(Some(group(Outbound::ResolvedOnly, &to, Ech::Strip, identities)));
        let difference = Difference::between(&before, &after);
        assert_eq!(
            difference.groups,
            [
                "from now on: group lab: certificate:*.example",
                "from now on: group lab: ech strip",
                "from now on: group lab: egress resolved-only",
                "from now on: group lab: reach 192.0.2.0/24 tcp/22-23",
                "from now on: group lab: user:ben",
                "no longer: group lab: user:ada",
            ]
        );
        assert!(!difference.is_empty() && Difference::between(&after, &after).is_empty());
    }

    #[test]
    fn what_went_is_found_where_as_much_came_and_a_rule_was_listed_twice() {
        use Reach::{Exact, Subtree};
        let twice: Lines<'_> =
            &[("a.example", Exact, None), ("a.example", Exact, None), ("b.example", Subtree, None)];
        let before = snapshot(&[("own", twice)]);
        assert_eq!(before.rule_count(), 2, "a rule is one however often it is written");
        let after = snapshot(&[("own", &[("a.example", Exact, None), ("c.example", Exact, None)])]);
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.removed["own"].names, ["b.example"]);
        assert_eq!(difference.added["own"].names, ["c.example"]);
        let back = Difference::between(&after, &before);
        assert_eq!((back.added_count(), back.removed_count()), (1, 1));
    }

    #[test]
    fn rules_about_addresses_come_and_go_like_others() {
        use crate::policy::AddressRule;

        let snapshot = |rules: &[(Whose, &str, Action)]| {
            let rules = rules.iter().map(|(whose, prefix, action)| AddressRule {
                whose: *whose,
                prefix: prefix.parse().unwrap(),
                action: action.clone(),
                line: 1,
            });
            let source = SourceRules {
                name: "own".to_owned(),
                app: None,
                instrument: None,
                file: "own.rpz".to_owned(),
                rules: Vec::new(),
                addresses: rules.collect(),
                disabled: false,
            };
            let book = Arc::new(Rulebook::new(Catalog::default(), vec![source]));
            let draft = Draft { book, places: vec![Place::default()], ..Draft::default() };
            compile(draft, "2026-01-01T00:00:00Z".parse().unwrap(), 1, &Labels::default()).unwrap().snapshot
        };
        let before = snapshot(&[(Whose::Answer, "192.0.2.0/24", Action::Drop)]);
        let after = snapshot(&[
            (Whose::Answer, "192.0.2.0/24", Action::Nodata),
            (Whose::Client, "10.0.0.0/8", Action::Drop),
        ]);
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.removed["own"].names, ["192.0.2.0/24"]);
        assert_eq!(difference.added["own"].names, ["client 10.0.0.0/8", "192.0.2.0/24"]);
        assert_eq!((difference.rules_before, difference.rules_after), (1, 2));
        assert!(Difference::between(&after, &after).is_empty());
    }
}
