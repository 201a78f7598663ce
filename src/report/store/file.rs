//! Owns the store's file: made, checked when it is opened, bounded in days and bytes, moved aside when it is damaged. Never knows what is
//! counted.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::write::{Batch, write};
use super::{date, number};
use crate::report::tally::PartNumber;

/// An open store.
#[derive(Debug)]
pub(in crate::report) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Rows of parts, by their numbers in this process.
    parts: HashMap<PartNumber, i64>,
    /// The present run: since when it records.
    run: i64,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::report) enum StoreError {
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The file is another program's, or of a later version of this one.
    #[error("it is not a store of reports, or one of a later version")]
    Foreign,
    /// There is no room on the disk, or within its own bound.
    #[error("there is no room: {0}")]
    Full(rusqlite::Error),
    /// The system, or its disk.
    #[error(transparent)]
    Failed(rusqlite::Error),
}

/// "inrd": tells a store from other programs' files.
pub(super) const APPLICATION: i32 = 0x696e_7264;
pub(super) const VERSION: i32 = 1;
/// Bytes of a page.
const PAGE: u64 = 4096;
const SCHEMA: &str = "
CREATE TABLE part (id INTEGER PRIMARY KEY, app TEXT NOT NULL, app_title TEXT NOT NULL, instrument TEXT NOT NULL, authority TEXT NOT NULL,
    citation TEXT NOT NULL, in_force_from INTEGER, date_verified INTEGER NOT NULL, source TEXT NOT NULL, grp TEXT NOT NULL, mode TEXT NOT NULL,
    exception TEXT NOT NULL) STRICT;
CREATE TABLE client (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, last INTEGER NOT NULL) STRICT;
CREATE TABLE total (day INTEGER, part INTEGER, queries INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (day, part)) STRICT, WITHOUT ROWID;
CREATE TABLE seen (day INTEGER, part INTEGER, client INTEGER, queries INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (day, part, client)) STRICT, WITHOUT ROWID;
CREATE TABLE met (app TEXT, client INTEGER, day INTEGER NOT NULL, PRIMARY KEY (app, client)) STRICT, WITHOUT ROWID;
CREATE TABLE sign (app TEXT, number INTEGER, name TEXT NOT NULL, PRIMARY KEY (app, number)) STRICT, WITHOUT ROWID;
CREATE TABLE habit (day INTEGER, app TEXT, client INTEGER, hours INTEGER NOT NULL, kinds INTEGER NOT NULL, asked INTEGER NOT NULL, wakes INTEGER NOT NULL,
    gaps INTEGER NOT NULL, PRIMARY KEY (day, app, client)) STRICT, WITHOUT ROWID;
CREATE TABLE generation (since INTEGER, number INTEGER, digest TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (since, number)) STRICT, WITHOUT ROWID;
CREATE TABLE lost (day INTEGER, reason TEXT, records INTEGER NOT NULL, PRIMARY KEY (day, reason)) STRICT, WITHOUT ROWID;
CREATE TABLE run (since INTEGER PRIMARY KEY, until INTEGER NOT NULL) STRICT;
CREATE TABLE event (at INTEGER NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE TABLE privacy (day INTEGER, clients TEXT, PRIMARY KEY (day, clients)) STRICT, WITHOUT ROWID;
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            Some(ErrorCode::DiskFull) => Self::Full(error),
            _ => Self::Failed(error),
        }
    }
}

impl Store {
    /// Opens the file, or makes it, and checks all of it. `now` begins a run, in milliseconds since 1970.
    pub(in crate::report) fn open(path: &Path, size: u64, now: i64) -> Result<Self, StoreError> {
        const OWNER_ALONE: u32 = 0o600;
        let made = OpenOptions::new().create(true).append(true).mode(OWNER_ALONE).open(path);
        made.map_err(|error| StoreError::Failed(rusqlite::Error::ToSqlConversionFailure(error.into())))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection)?;
        let is_new = match of_whom(&connection)? {
            (0, 0, 0) => true,
            (APPLICATION, VERSION, _) => false,
            _ => return Err(StoreError::Foreign),
        };
        let most = (size / PAGE).max(64);
        connection.execute_batch(&format!(
            "PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA journal_size_limit = 4194304; PRAGMA max_page_count = {most};"
        ))?;
        if is_new {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        } else {
            let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                return Err(StoreError::Damaged(found));
            }
        }
        Ok(Self { connection, path: path.to_owned(), parts: HashMap::new(), run: now })
    }

    /// Begins another run: what is between is a gap.
    pub(in crate::report) fn begin_run(&mut self, now: i64) {
        self.run = now;
    }

    /// Writes all of it, or nothing. Returns how many rows.
    pub(in crate::report) fn write(&mut self, batch: &Batch<'_>) -> Result<u64, StoreError> {
        let mut parts = self.parts.clone();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let rows = write(&transaction, batch, &mut parts, self.run)?;
        transaction.commit()?;
        self.parts = parts;
        Ok(rows)
    }

    /// Bytes of the file that are in use, and bytes that it has on the disk with what belongs to it.
    pub(in crate::report) fn size(&self) -> Result<(u64, u64), StoreError> {
        let pragma = |name: &str| {
            self.connection
                .query_row(&format!("PRAGMA {name}"), [], |row| Ok(row.get::<_, i64>(0)?.max(0) as u64))
        };
        let (all, free) = (pragma("page_count")?, pragma("freelist_count")?);
        let beside = |end: &str| std::fs::metadata(with_end(&self.path, end)).map_or(0, |about| about.len());
        Ok(((all - free) * PAGE, all * PAGE + beside("-wal") + beside("-shm")))
    }

    /// Takes away every day before `oldest`, and devices not seen since.
    pub(in crate::report) fn forget(&mut self, oldest: Date) -> Result<u64, StoreError> {
        let day = number(oldest);
        let begin = oldest.to_zoned_datetime(TimeZone::UTC).map_or(0, |at| at.timestamp().as_millisecond());
        // Not by midnights of the operator's zone: a generation or a run more is no harm.
        let begin = begin - 86_400_000;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut gone = 0;
        for table in ["total", "seen", "habit", "lost", "privacy"] {
            gone += transaction.execute(&format!("DELETE FROM {table} WHERE day < ?1"), [day])?;
        }
        transaction
            .execute("DELETE FROM met WHERE client IN (SELECT id FROM client WHERE last < ?1)", [day])?;
        transaction.execute("DELETE FROM client WHERE last < ?1", [day])?;
        transaction.execute("DELETE FROM generation WHERE until < ?1", [begin])?;
        transaction.execute("DELETE FROM run WHERE until < ?1", [begin])?;
        transaction.execute("DELETE FROM event WHERE at < ?1", [begin])?;
        transaction.execute("DELETE FROM part WHERE id NOT IN (SELECT part FROM total)", [])?;
        transaction.commit()?;
        self.parts.clear();
        self.connection.execute_batch("PRAGMA incremental_vacuum")?;
        Ok(gone as u64)
    }

    /// The oldest day and the newest.
    pub(in crate::report) fn span(&self) -> Result<Option<(Date, Date)>, StoreError> {
        let sql = "SELECT MIN(day), MAX(day) FROM total";
        let found = self.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (first, last): (Option<i64>, Option<i64>) = found;
        Ok(first.and_then(date).zip(last.and_then(date)))
    }

    /// Moves what is written beside the file into it, so that the file alone is whole.
    pub(in crate::report) fn settle(&self) {
        let _busy = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").is_err();
    }
}

/// Moves a damaged store aside, with what belongs to it. Returns where it is now.
pub(in crate::report) fn move_aside(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let aside = with_end(path, &format!(".damaged-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    std::fs::rename(path, &aside)?;
    for end in ["-wal", "-shm"] {
        // There may be none.
        let _none = std::fs::rename(with_end(path, end), with_end(&aside, end)).is_err();
    }
    Ok(aside)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A file may come from anywhere: nothing in its schema is believed.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(2))?;
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -8192;")
}

/// Application, version, and how many tables there are.
pub(super) fn of_whom(connection: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let tables = one("SELECT COUNT(*) FROM sqlite_schema")?;
    Ok((one("PRAGMA application_id")? as i32, one("PRAGMA user_version")? as i32, tables))
}
