//! Compliance per app, instrument, group, device: tally, store, render. Owns what is counted of queries that met a rule, day by day, where it outlives
//! a restart, and the reports made of it. Never makes a query wait, and keeps of clients only what the settings let it keep.
//!
//! The log's thread shows each record to the `tally`; the `ledger`'s own thread writes what came together to the `store`, every ten seconds and
//! whenever somebody asks for a report. A `Report` is a value that the API sends and that `render` puts into words.

mod config;
mod habit;
mod ledger;
mod metrics;
mod period;
pub mod render;
mod store;
mod summary;
mod taker;
mod tally;

pub use config::Config;
pub use habit::{Habit, Rule};
pub use ledger::{Ledger, Wiring};
pub use metrics::METRICS;
pub use period::{Asked, Period};
/// Name of the store below the state directory.
pub const STORE: &str = "report.db";

pub use store::{ReadError, read_file, read_file_devices};
pub use summary::{
    DayRow, Detail, Device, Devices, Event, Exempted, Generation, Interval, Lost, Part, PartRow, Report,
    Suspect, Totals,
};
