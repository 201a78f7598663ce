//! Counters, latency, record, reply, reference, inbox, queue, what was asked in the last day and what was rehearsed, and the outputs: prometheus,
//! querylog. Owns how the product is observed;
//! never looks up what an id means, and never makes a query wait.

mod counters;
mod inbox;
mod last_day;
mod latency;
mod metric;
pub mod prometheus;
mod querylog;
mod queue;
mod record;
mod reference;
mod rehearsal;
mod reply;

pub use counters::{CAUSE_LABELS, Cell, Counter, Counters};
pub use inbox::{Inbox, Inboxes};
pub use last_day::{
    Config as LastDayConfig, Covered, Crowd, Day, Feed, LastDay, Party, Sampler, Storage, Wiring,
};
pub use latency::Path;
pub use metric::{Collect, Kind, Metric, Sample};
pub use querylog::{
    Answer, Answered, Clients, Config, Describe, Described, Excerpt, Form, Found, KeptLog, Line, OpenError,
    Pseudonyms, QueryLog, Reading, Rotation, Search, Sink, Sought, Tap, Target, Tls, Unread, Unsearchable,
};
pub use record::{Decision, Entry, Record};
pub use reference::{NoReference, Reference};
pub use rehearsal::{Rehearsed, RehearsedPart};
pub use reply::{Origin, Reply};

/// The rows of this room.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    Counters::metrics().chain(querylog::METRICS.iter().copied()).chain(last_day::METRICS.iter().copied())
}
