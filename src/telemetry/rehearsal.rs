//! Owns what shadow mode would have blocked: counts by app, instrument, list and group since when, when first and last, and some
//! of the names. Reads the workers' counters; costs a query that is not rehearsed nothing. Never keeps a client.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::counters::Counters;
use crate::policy::{LabelSet, Labels, Mode};

/// What was rehearsed since counting began.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    since: Option<Timestamp>,
    /// Label sets of shadow mode that have a number, and those that the process before counted, by their labels.
    rows: BTreeMap<RowKey, Row>,
    /// The highest label number that was looked at.
    known: u32,
}

/// App, instrument, list, group and action.
type RowKey = [String; 5];

/// What one kind of rehearsed block came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    app: String,
    instrument: String,
    source: String,
    group: String,
    action: String,
    queries: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    names: Vec<String>,
    /// The number of its label set in this process, and what was counted under it before it was last looked at.
    #[serde(skip)]
    counted: Option<(u32, u64)>,
}

/// What would have been blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Since when it is counted.
    pub since: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Queries.
    pub queries: u64,
    /// The same by what would have blocked them, the most first.
    pub by: Vec<RehearsedPart>,
}

/// Queries that one part of the policy would have blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedPart {
    /// App id, or `none`.
    pub app: String,
    /// Instrument id, or `none`.
    pub instrument: String,
    /// The list: `catalog` or the source's name.
    pub source: String,
    /// The group.
    pub group: String,
    /// Queries.
    pub queries: u64,
    /// When the first came.
    pub first: Option<Timestamp>,
    /// When the last came, to the second.
    pub last: Option<Timestamp>,
    /// Some of the names, in their order.
    pub names: Vec<String>,
}

/// Names kept of each part: enough to recognise what it is about.
pub(super) const EXAMPLES: usize = 10;

impl Rehearsal {
    /// Looks at what was counted since it last did.
    pub(super) fn look(&mut self, now: Timestamp, labels: &Labels, counters: &Counters) {
        self.since.get_or_insert(now);
        for (number, set) in labels.after(self.known) {
            self.known = number;
            if set.mode == Mode::Shadow {
                let row = Row::of(set);
                self.rows.entry(row.key()).or_insert(row).counted = Some((number, 0));
            }
        }
        for row in self.rows.values_mut() {
            let Some((number, before)) = &mut row.counted else { continue };
            let count = counters.cause(*number);
            let more = count.saturating_sub(*before);
            *before = count;
            if more > 0 {
                row.queries += more;
                row.first.get_or_insert(now);
                row.last = Some(now);
            }
        }
    }

    /// Takes a name that would have been blocked as an example.
    pub(super) fn sight(&mut self, number: u32, name: impl FnOnce() -> String) {
        let row = self.rows.values_mut().find(|row| row.counted.is_some_and(|(known, _)| known == number));
        let Some(row) = row.filter(|row| row.names.len() < EXAMPLES) else { return };
        let name = name();
        if !row.names.contains(&name) {
            row.names.push(name);
        }
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Rows under which anything was counted.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|row| row.queries > 0)
    }

    /// Goes on with what the process before counted.
    pub(super) fn restore(&mut self, since: Option<Timestamp>, rows: Vec<Row>) {
        self.since = since;
        for mut row in rows.into_iter().take(Labels::CAPACITY) {
            row.names.truncate(EXAMPLES);
            self.rows.insert(row.key(), row);
        }
    }

    /// What it came to.
    pub(super) fn report(&self, now: Timestamp) -> Rehearsed {
        let mut parts: BTreeMap<[&str; 4], RehearsedPart> = BTreeMap::new();
        for row in self.rows() {
            let part = parts.entry([&row.app, &row.instrument, &row.source, &row.group]).or_default();
            part.add(row.queries, row.first, row.last, &row.names);
        }
        let by = parts.into_iter().map(|([app, instrument, source, group], part)| RehearsedPart {
            app: app.to_owned(),
            instrument: instrument.to_owned(),
            source: source.to_owned(),
            group: group.to_owned(),
            ..part
        });
        Rehearsed::of(self.since, Some(now), by.collect())
    }
}

impl Row {
    fn of(set: LabelSet) -> Self {
        let LabelSet { app, instrument, source, group, action, .. } = set;
        let (queries, first, last, names, counted) = Default::default();
        let action = action.to_string();
        Self { app, instrument, source, group, action, queries, first, last, names, counted }
    }

    fn key(&self) -> RowKey {
        [&self.app, &self.instrument, &self.source, &self.group, &self.action].map(Clone::clone)
    }
}

impl Rehearsed {
    /// Sums parts up and puts them in order.
    pub fn of(since: Option<Timestamp>, until: Option<Timestamp>, mut by: Vec<RehearsedPart>) -> Self {
        by.sort_by(|a, b| b.queries.cmp(&a.queries).then_with(|| a.app.cmp(&b.app)));
        Self { since, until, queries: by.iter().map(|part| part.queries).sum(), by }
    }
}

impl RehearsedPart {
    /// Counts more of it.
    pub fn add(&mut self, queries: u64, first: Option<Timestamp>, last: Option<Timestamp>, names: &[String]) {
        self.queries += queries;
        self.first = [self.first, first].into_iter().flatten().min();
        self.last = self.last.max(last);
        for name in names {
            if let Err(place) = self.names.binary_search(name)
                && self.names.len() < EXAMPLES
            {
                self.names.insert(place, name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ActionKind;

    fn set(source: &str, action: ActionKind, mode: Mode) -> LabelSet {
        let none = || "none".to_owned();
        let (app, instrument, group) = (none(), none(), "default".to_owned());
        LabelSet { app, instrument, source: source.to_owned(), group, action, mode }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn what_is_rehearsed_is_summed_over_actions_and_goes_on_after_a_restart() {
        let (labels, counters) = (Labels::default(), Counters::new(16));
        let cell = counters.single_writer();
        let one = labels.number(&set("one", ActionKind::Nxdomain, Mode::Shadow));
        let dropped = labels.number(&set("one", ActionKind::Drop, Mode::Shadow));
        let enforced = labels.number(&set("two", ActionKind::Nxdomain, Mode::Enforce));
        let mut rehearsal = Rehearsal::default();
        rehearsal.look(at(0), &labels, &counters);
        [one, one, dropped, enforced].into_iter().for_each(|number| cell.bump_cause(number));
        rehearsal.look(at(5), &labels, &counters);
        cell.bump_cause(one);
        rehearsal.look(at(9), &labels, &counters);
        for number in 0..100 {
            rehearsal.sight(one, || format!("n{number}.example"));
            rehearsal.sight(enforced, || "enforced.example".to_owned());
        }
        let found = rehearsal.report(at(10));
        assert_eq!(
            (found.since, found.until, found.queries, found.by.len()),
            (Some(at(0)), Some(at(10)), 4, 1)
        );
        let part = &found.by[0];
        assert_eq!((part.queries, part.first, part.last), (4, Some(at(5)), Some(at(9))));
        assert_eq!(part.names.len(), EXAMPLES);
        // Another process: its counters begin at nothing, and its labels have other numbers.
        let mut next = Rehearsal::default();
        next.restore(rehearsal.since(), rehearsal.rows().cloned().collect());
        let (labels, counters) = (Labels::default(), Counters::new(16));
        labels.number(&set("two", ActionKind::Nxdomain, Mode::Shadow));
        let one = labels.number(&set("one", ActionKind::Nxdomain, Mode::Shadow));
        counters.single_writer().bump_cause(one);
        next.look(at(20), &labels, &counters);
        let found = next.report(at(20));
        assert_eq!((found.since, found.queries, found.by[0].queries), (Some(at(0)), 5, 5));
        assert_eq!((found.by[0].first, found.by[0].last), (Some(at(5)), Some(at(20))));
    }
}
