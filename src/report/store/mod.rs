//! The store: one SQLite file, written in transactions, checked when it is opened, bounded in days and bytes. The only door of `rusqlite`. Never runs on a
//! query's thread, and never reads a clock.

mod crowd;
mod file;
mod read;
mod suspects;
mod write;

use jiff::Timestamp;
use jiff::civil::Date;

pub(super) use file::{Store, StoreError, move_aside};
pub use read::{ReadError, read_file, read_file_devices};
pub(super) use read::{devices_beside, report_beside};
pub(super) use write::Batch;

/// A day as the store has it: 20261127.
fn number(day: Date) -> i64 {
    i64::from(day.year()) * 10_000 + i64::from(day.month()) * 100 + i64::from(day.day())
}

fn date(number: i64) -> Option<Date> {
    let part = |number: i64| i8::try_from(number).ok();
    Date::new(i16::try_from(number / 10_000).ok()?, part(number / 100 % 100)?, part(number % 100)?).ok()
}

fn moment(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
