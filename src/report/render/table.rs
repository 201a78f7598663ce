//! Owns what stands in which column of a report's tables, whatever they are drawn with. Never draws one.

use jiff::tz::TimeZone;

use super::language::Language;
use super::words::{exemption, named, speak, when_of};
use crate::report::summary::{Device, Devices, Exempted, Part, PartRow, Report, Suspect, Totals};

/// A table: its columns' titles, and its rows.
#[derive(Debug)]
pub struct Table {
    /// The titles.
    pub header: Vec<&'static str>,
    /// As many cells each.
    pub rows: Vec<Vec<Cell>>,
}

/// What stands in a table, as it is written.
#[derive(Debug)]
pub enum Cell {
    /// A number.
    Number(String),
    /// Anything else.
    Text(String),
}

/// How often what happened, now and before.
pub fn totals(report: &Report, language: Language) -> Table {
    let words = speak(language);
    let rows = named_counts(language).into_iter().zip(counts(&report.totals)).zip(counts(&report.before));
    let row = |((what, now), before): ((&str, u64), u64)| {
        let [now_written, before_written] = [now, before].map(|count| Cell::Number(language.number(count)));
        let change = Cell::Number(language.change(now, before));
        vec![Cell::Text(what.to_owned()), now_written, before_written, change]
    };
    Table { header: vec!["", words.this_period, words.before, words.change], rows: rows.map(row).collect() }
}

/// The same of each day.
pub fn days(report: &Report, language: Language) -> Table {
    let header = [speak(language).day].into_iter().chain(named_counts(language)).collect();
    let rows = report.days.iter().map(|row| {
        let counts = counts(&row.totals).map(|count| Cell::Number(language.number(count)));
        [Cell::Text(language.day(row.day))].into_iter().chain(counts).collect()
    });
    Table { header, rows: rows.collect() }
}

fn named_counts(language: Language) -> [&'static str; 5] {
    let words = speak(language);
    [words.blocked, words.devices, words.newly_seen, words.shadow, words.permitted]
}

fn counts(totals: &Totals) -> [u64; 5] {
    let Totals { blocked, devices, newly_seen, shadow, permitted } = *totals;
    [blocked, devices, newly_seen, shadow, permitted]
}

/// The devices that asked most, at most so many; `between` their apps and groups.
pub fn most_blocked(
    report: &Report,
    language: Language,
    zone: &TimeZone,
    most: usize,
    between: &str,
) -> Table {
    let words = speak(language);
    let row = |device: &Device| {
        vec![
            Cell::Text(device.client.clone()),
            Cell::Text(device.apps.join(between)),
            Cell::Text(device.groups.join(between)),
            Cell::Number(language.number(device.queries)),
            Cell::Text(language.minute(device.first, zone)),
            Cell::Text(language.minute(device.last, zone)),
        ]
    };
    Table {
        header: vec![words.device, words.apps, words.groups, words.queries, words.first, words.last],
        rows: report.devices.iter().take(most).map(row).collect(),
    }
}

/// What exceptions let through.
pub fn exceptions(report: &Report, language: Language, zone: &TimeZone) -> Table {
    let words = speak(language);
    let row = |used: &Exempted| {
        vec![
            Cell::Text(exemption(words, &used.exception).to_owned()),
            Cell::Text(named(language, "", &used.app).to_owned()),
            Cell::Text(used.source.clone()),
            Cell::Text(used.group.clone()),
            Cell::Number(language.number(used.queries)),
            Cell::Number(language.number(used.devices)),
            Cell::Text(language.minute(used.last, zone)),
        ]
    };
    Table {
        header: vec![
            words.exception,
            words.app,
            words.list,
            words.group,
            words.queries,
            words.devices,
            words.last,
        ],
        rows: report.exceptions.iter().map(row).collect(),
    }
}

/// Devices that very likely have an app; `between` the names that tell it.
pub fn likely(devices: &Devices, language: Language, between: &str) -> Table {
    let words = speak(language);
    let row = |suspect: &Suspect| {
        vec![
            Cell::Text(suspect.app.clone()),
            Cell::Text(suspect.client.clone()),
            Cell::Number(language.number(u64::from(suspect.days))),
            Cell::Number(language.number(u64::from(suspect.hours_a_day))),
            Cell::Text(when_of(language, suspect)),
            Cell::Number(language.number(suspect.queries)),
            Cell::Text(suspect.signs.join(between)),
            Cell::Text(language.day(suspect.last)),
        ]
    };
    Table {
        header: vec![
            words.app,
            words.device,
            words.days,
            words.hours_a_day,
            words.rhythm,
            words.queries,
            words.signs,
            words.last,
        ],
        rows: devices.likely.iter().map(row).collect(),
    }
}

/// The acts of some rows, each once.
pub fn acts<'r>(rows: &[&'r PartRow]) -> Vec<&'r Part> {
    let parts = rows.iter().map(|row| &row.part);
    let mut acts: Vec<_> = parts.filter(|part| !matches!(part.instrument.as_str(), "none" | "")).collect();
    acts.sort_by_key(|part| &part.instrument);
    acts.dedup_by_key(|part| &part.instrument);
    acts
}
