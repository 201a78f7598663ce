//! Owns what a report says, as values that the store fills, the API sends and `render` puts into words. Never counts anything.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::habit::Rule;
use super::period::Period;

/// A part of the policy: what was met, by which act, for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// App id, or `none`; empty when the generation was gone before its words were looked up.
    pub app: String,
    /// App's title.
    pub app_title: String,
    /// Instrument id, or `none`.
    pub instrument: String,
    /// Who issued it.
    pub authority: String,
    /// Where it is to be found.
    pub citation: String,
    /// The first day it is in force, where it was issued.
    pub in_force_from: Option<Date>,
    /// Whether that date was checked against a published source.
    pub date_verified: bool,
    /// The list: `catalog` or the source's name.
    pub source: String,
    /// The group.
    pub group: String,
    /// `enforce`, `shadow` or `permit`.
    pub mode: String,
    /// Exception id, where one let it pass.
    pub exception: String,
}

/// What one part came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRow {
    /// The part.
    #[serde(flatten)]
    pub part: Part,
    /// Queries.
    pub queries: u64,
    /// Devices that asked; 0 when clients are not kept.
    pub devices: u64,
    /// Queries in the period before.
    pub before: u64,
    /// When the first came.
    pub first: Timestamp,
    /// When the last came.
    pub last: Timestamp,
}

/// What a day came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    /// The day.
    pub day: Date,
    /// What it came to.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Queries blocked.
    pub blocked: u64,
    /// Devices that were blocked.
    pub devices: u64,
    /// Pairs of device and app that had not been seen before.
    pub newly_seen: u64,
    /// Queries that would have been blocked.
    pub shadow: u64,
    /// Queries let pass by an exception or a passthru rule.
    pub permitted: u64,
}

/// One device that was blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// As far as it is kept.
    pub client: String,
    /// Apps it asked for.
    pub apps: Vec<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Queries.
    pub queries: u64,
    /// When the first came.
    pub first: Timestamp,
    /// When the last came.
    pub last: Timestamp,
}

/// An exception that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exempted {
    /// Its id; empty for a passthru rule of a list.
    pub exception: String,
    /// App id, or `none`.
    pub app: String,
    /// The list.
    pub source: String,
    /// The group.
    pub group: String,
    /// Queries let pass.
    pub queries: u64,
    /// Devices that asked.
    pub devices: u64,
    /// When the first came.
    pub first: Timestamp,
    /// When the last came.
    pub last: Timestamp,
}

/// A generation that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number.
    pub generation: u64,
    /// Digest of what it decides.
    pub digest: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was last seen in force.
    pub until: Timestamp,
}

/// Records that are not in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Because queues of query threads were full.
    pub queue: u64,
    /// Because the store could not be written.
    pub disk: u64,
    /// Counted, but not told apart by device, as too many came at a time.
    pub room: u64,
    /// Times within the period, up to now, in which nothing was recorded.
    pub gaps: Vec<Interval>,
}

/// From when until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The first moment.
    pub from: Timestamp,
    /// The moment it is over.
    pub until: Timestamp,
}

/// Something that happened to the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `damaged`: moved aside, and a new one begun. `full`: a day taken away before its time. `clock`: the clock was set.
    pub what: String,
    /// Which file, which day, by how much.
    pub detail: String,
}

/// A day of one part, for those who count by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The day.
    pub day: Date,
    /// Which of the report's parts.
    pub part: usize,
    /// Queries.
    pub queries: u64,
    /// Devices.
    pub devices: u64,
    /// When the first came.
    pub first: Timestamp,
    /// When the last came.
    pub last: Timestamp,
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The days it is about.
    pub period: Period,
    /// The days it is compared with.
    pub compared_with: Period,
    /// The zone that days begin in.
    pub time_zone: String,
    /// When it was made.
    pub made: Timestamp,
    /// The first day that the store knows.
    pub known_since: Option<Date>,
    /// How clients were kept in the period: `full`, `prefix`, `hmac`, `none`; more than one where that was changed.
    pub clients: Vec<String>,
    /// Sums.
    pub totals: Totals,
    /// Sums of the period before.
    pub before: Totals,
    /// By part of the policy: blocked, then rehearsed.
    pub parts: Vec<PartRow>,
    /// By day.
    pub days: Vec<DayRow>,
    /// Devices that were blocked most.
    pub devices: Vec<Device>,
    /// Exceptions and passthru rules used.
    pub exceptions: Vec<Exempted>,
    /// Generations in force.
    pub generations: Vec<Generation>,
    /// What is missing.
    pub lost: Lost,
    /// What happened to the store.
    pub events: Vec<Event>,
    /// By day and part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<Detail>,
}

/// A device that very likely has an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The device.
    pub client: String,
    /// App id.
    pub app: String,
    /// Days on which it asked as an installed app does, by the rule.
    pub days: u32,
    /// Hours in which it asked on such a day, in the middle.
    pub hours_a_day: u32,
    /// Hours of the day between 22 and 6 in which it asked.
    pub at_night: u32,
    /// The names, as the catalog writes them.
    pub signs: Vec<String>,
    /// Queries for them.
    pub queries: u64,
    /// Times it began to ask.
    pub wakes: u64,
    /// The most common pause: minutes from and up to.
    pub pause: Option<(u32, Option<u32>)>,
    /// Share in percent of the pauses of that length or the one beside it.
    pub regular: u32,
    /// The first day of the period on which it did.
    pub first: Date,
    /// The last.
    pub last: Date,
}

/// Devices that very likely have an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// The days it is about.
    pub period: Period,
    /// The zone that days begin in.
    pub time_zone: String,
    /// When it was made.
    pub made: Timestamp,
    /// The rule.
    pub rule: Rule,
    /// How clients were kept in the period.
    pub clients: Vec<String>,
    /// Whether what the rule needs was noted at all.
    pub noted: bool,
    /// Those of whom the rule holds.
    pub likely: Vec<Suspect>,
    /// Pairs of device and app with signs, of whom it does not.
    pub unsure: u64,
    /// What is missing.
    pub lost: Lost,
}
