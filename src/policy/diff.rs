//! Owns the difference between two snapshots: rules that came and went, and what changed for each group.
//! Never judges it; the guard does.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::snapshot::{CompiledGroup, CompiledRule, DEFAULT_ACTION, Snapshot};
use crate::dns::Name;

/// What publishing the later snapshot would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// How many.
    pub count: usize,
    /// At most twenty of the names, in canonical order.
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

    /// Number of rules that came.
    pub fn added_count(&self) -> usize {
        self.added.values().map(|change| change.count).sum()
    }

    /// Number of rules that went.
    pub fn removed_count(&self) -> usize {
        self.removed.values().map(|change| change.count).sum()
    }

    /// Both tables are sorted by name, so one walk over both finds every difference.
    fn compare_rules(&mut self, earlier: &Snapshot, later: &Snapshot) {
        let (mut old, mut new) = (0, 0);
        let (old_end, new_end) = (earlier.table.len() as u32, later.table.len() as u32);
        while old < old_end || new < new_end {
            let order = match (old < old_end, new < new_end) {
                (true, true) => earlier.table.name(old).cmp(later.table.name(new)),
                (true, false) => Ordering::Less,
                (false, _) => Ordering::Greater,
            };
            if order == Ordering::Equal {
                let before = keys(earlier, old);
                let after = keys(later, new);
                for (list, _, _) in before.difference(&after) {
                    note(&mut self.removed, list, earlier.table.name(old));
                }
                for (list, _, _) in after.difference(&before) {
                    note(&mut self.added, list, later.table.name(new));
                }
            } else if order == Ordering::Less {
                for (list, _, _) in keys(earlier, old) {
                    note(&mut self.removed, &list, earlier.table.name(old));
                }
            } else {
                for (list, _, _) in keys(later, new) {
                    note(&mut self.added, &list, later.table.name(new));
                }
            }
            old += u32::from(order != Ordering::Greater);
            new += u32::from(order != Ordering::Less);
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

fn keys(snapshot: &Snapshot, entry: u32) -> BTreeSet<(String, u8, String)> {
    let rules = snapshot.rules.get(snapshot.table.rules(entry)).unwrap_or(&[]);
    rules
        .iter()
        .map(|rule| (snapshot.set_title(rule.set), rule.reach as u8, action_text(snapshot, rule)))
        .collect()
}

fn action_text(snapshot: &Snapshot, rule: &CompiledRule) -> String {
    match rule.action {
        DEFAULT_ACTION => String::new(),
        own => snapshot.actions.get(usize::from(own)).map(|action| format!("{action:?}")).unwrap_or_default(),
    }
}

fn note(changes: &mut BTreeMap<String, Change>, list: &str, wire: &[u8]) {
    let change = changes.entry(list.to_owned()).or_default();
    change.count += 1;
    if change.names.len() < EXAMPLES {
        change.names.extend(Name::from_wire(wire).map(|name| name.to_string()));
    }
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
        lines
    };
    snapshot.groups.iter().flat_map(of).collect()
}
