//! Owns how a report is read out of the store. Never changes it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Params, Row, params};

use super::crowd::Crowd;
use super::file::{APPLICATION, StoreError, VERSION, of_whom, prepare};
use super::suspects::suspects;
use super::{date, moment, number};
use crate::problem::Problem;
use crate::report::habit::Rule;
use crate::report::period::{Asked, Calendar, Period};
use crate::report::summary::{
    DayRow, Detail, Devices, Event, Exempted, Generation, Interval, Lost, Part, PartRow, Report, Totals,
};

/// Why a store's file gives no report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Asked(Problem),
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Rows of a report by day and part.
const DETAIL: usize = 200_000;
/// A time without records that is called a gap: longer than it takes to start again.
const GAP_MS: i64 = 180_000;

/// Reads reports.
struct Reader<'r> {
    connection: &'r Connection,
    now: Timestamp,
    zone: &'r Calendar,
}

/// A report out of a store's file, for when no server runs. `today` is said by the file's own time zone.
pub fn read_file(path: &Path, asked: &Asked, now: Timestamp, detailed: bool) -> Result<Report, ReadError> {
    with_file(path, now, |reader| {
        let period = asked.period(reader.zone.day(now)).map_err(ReadError::Asked)?;
        reader.report(period, detailed).map_err(unreadable)
    })
}

/// The devices that very likely have an app, out of a store's file. Without a period asked for, of the last 30 days.
pub fn read_file_devices(path: &Path, asked: &Asked, now: Timestamp) -> Result<Devices, ReadError> {
    with_file(path, now, |reader| {
        let today = reader.zone.day(now);
        let period = if asked.is_empty() { Ok(Period::last(30, today)) } else { asked.period(today) };
        reader.devices(period.map_err(ReadError::Asked)?).map_err(unreadable)
    })
}

fn unreadable(error: rusqlite::Error) -> ReadError {
    ReadError::Unreadable(error.to_string())
}

/// A report out of a store that is written meanwhile; holds up nobody who writes.
pub(in crate::report) fn report_beside(
    path: &Path,
    now: Timestamp,
    zone: &Calendar,
    period: Period,
    detailed: bool,
) -> Result<Report, ReadError> {
    Reader { connection: &open(path)?, now, zone }.report(period, detailed).map_err(unreadable)
}

/// The devices that very likely have an app, in the same way.
pub(in crate::report) fn devices_beside(
    path: &Path,
    now: Timestamp,
    zone: &Calendar,
    period: Period,
) -> Result<Devices, ReadError> {
    Reader { connection: &open(path)?, now, zone }.devices(period).map_err(unreadable)
}

fn open(path: &Path) -> Result<Connection, ReadError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unreadable)?;
    prepare(&connection).map_err(unreadable)?;
    Ok(connection)
}

fn with_file<T>(
    path: &Path,
    now: Timestamp,
    read: impl FnOnce(Reader<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    if !path.is_file() {
        return Err(ReadError::Unreadable("there is no such file".to_owned()));
    }
    let connection = open(path)?;
    match of_whom(&connection) {
        Ok((APPLICATION, VERSION, _)) => {}
        Ok(_) => return Err(ReadError::Unreadable(StoreError::Foreign.to_string())),
        Err(error) => return Err(unreadable(error)),
    }
    let name: Option<String> = connection
        .query_row("SELECT value FROM setting WHERE key = 'time_zone'", [], |row| row.get(0))
        .optional()
        .map_err(unreadable)?;
    let zone = name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC);
    read(Reader { connection: &connection, now, zone: &Calendar::new(zone) })
}

/// What tells a part apart over the time in which its words may change: app, instrument, list, group, mode, exception.
type PartKey = [String; 6];

fn key(part: &Part) -> PartKey {
    [&part.app, &part.instrument, &part.source, &part.group, &part.mode, &part.exception].map(Clone::clone)
}

impl Reader<'_> {
    /// Everything there is to say of a period.
    fn report(&self, period: Period, detailed: bool) -> rusqlite::Result<Report> {
        // What is written meanwhile is in none of it.
        let _same = self.connection.unchecked_transaction()?;
        let compared_with = period.before();
        let [crowd, crowd_before] =
            [period, compared_with].map(|period| Crowd::of(self.connection, bounds(period)));
        let (crowd, crowd_before) = (crowd?, crowd_before?);
        let (parts, places) = self.parts(period, &crowd)?;
        let before: HashMap<PartKey, u64> = self
            .parts(compared_with, &crowd_before)?
            .0
            .into_iter()
            .map(|row| (key(&row.part), row.queries))
            .collect();
        let days = self.days(period, &crowd)?;
        let with_before = |row: PartRow| {
            let before = before.get(&key(&row.part)).copied().unwrap_or(0);
            PartRow { before, ..row }
        };
        let detail = if detailed { self.detail(period, &places)? } else { Vec::new() };
        let exceptions = parts.iter().filter(|row| row.part.mode == "permit").map(exempted).collect();
        Ok(Report {
            period,
            compared_with,
            time_zone: self.zone.name().to_owned(),
            made: self.now,
            known_since: self.known_since()?,
            clients: self.privacy(period)?,
            totals: self.totals(period, &crowd)?,
            before: self.totals(compared_with, &crowd_before)?,
            parts: parts.into_iter().map(with_before).collect(),
            days,
            devices: crowd.most_blocked(self.connection, bounds(period))?,
            exceptions,
            generations: self.generations(period)?,
            lost: self.lost(period)?,
            events: self.events(period)?,
            detail,
        })
    }

    /// Devices that very likely have an app.
    fn devices(&self, period: Period) -> rusqlite::Result<Devices> {
        let _same = self.connection.unchecked_transaction()?;
        let rule = Rule::default();
        let (likely, unsure) = suspects(self.connection, rule, bounds(period))?;
        let clients = self.privacy(period)?;
        Ok(Devices {
            period,
            time_zone: self.zone.name().to_owned(),
            made: self.now,
            rule,
            noted: clients.iter().any(|clients| clients == "full") || unsure > 0 || !likely.is_empty(),
            clients,
            likely,
            unsure,
            lost: self.lost(period)?,
        })
    }

    fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.connection.prepare_cached(sql)?.query_map(values, read)?.collect()
    }

    /// Parts that came up, those with the most queries first, and which rows of the store each is made of.
    fn parts(&self, period: Period, crowd: &Crowd) -> rusqlite::Result<(Vec<PartRow>, HashMap<i64, usize>)> {
        let sql = "SELECT p.app, p.app_title, p.instrument, p.authority, p.citation, p.in_force_from, p.date_verified, p.source, p.grp, p.mode, p.exception,
                   SUM(t.queries), MIN(t.first), MAX(t.last), p.id
                   FROM total t JOIN part p ON p.id = t.part WHERE t.day BETWEEN ?1 AND ?2 GROUP BY p.id ORDER BY MAX(t.last)";
        let read = |row: &Row<'_>| {
            let count = |place: usize| row.get::<_, i64>(place).map(|count| count.max(0) as u64);
            let part = Part {
                app: row.get(0)?,
                app_title: row.get(1)?,
                instrument: row.get(2)?,
                authority: row.get(3)?,
                citation: row.get(4)?,
                in_force_from: row.get::<_, Option<i64>>(5)?.and_then(date),
                date_verified: row.get(6)?,
                source: row.get(7)?,
                group: row.get(8)?,
                mode: row.get(9)?,
                exception: row.get(10)?,
            };
            let (first, last) = (moment(row.get(12)?), moment(row.get(13)?));
            Ok((
                row.get::<_, i64>(14)?,
                PartRow { part, queries: count(11)?, devices: 0, before: 0, first, last },
            ))
        };
        // Words may have changed: the last ones count, and what came under the others is added.
        let mut by_key: BTreeMap<PartKey, (PartRow, Vec<i64>)> = BTreeMap::new();
        for (id, row) in self.all(sql, bounds(period), read)? {
            match by_key.get_mut(&key(&row.part)) {
                Some((kept, ids)) => {
                    let (queries, first) = (kept.queries + row.queries, kept.first.min(row.first));
                    *kept = PartRow { queries, first, last: kept.last.max(row.last), ..row };
                    ids.push(id);
                }
                None => {
                    by_key.insert(key(&row.part), (row, vec![id]));
                }
            }
        }
        let mut parts: Vec<(PartRow, Vec<i64>)> = by_key.into_values().collect();
        let rank = |part: &Part| match part.mode.as_str() {
            "enforce" => 0,
            "shadow" => 1,
            _ => 2,
        };
        parts.sort_by(|(a, _), (b, _)| rank(&a.part).cmp(&rank(&b.part)).then(b.queries.cmp(&a.queries)));
        let mut places = HashMap::new();
        let mut rows = Vec::new();
        for (place, (mut row, ids)) in parts.into_iter().enumerate() {
            for id in ids {
                places.insert(id, place);
                // A device may have asked under both words; the larger number is never too many.
                row.devices = row.devices.max(crowd.by_part.get(&id).copied().unwrap_or(0));
            }
            rows.push(row);
        }
        Ok((rows, places))
    }

    fn detail(&self, period: Period, places: &HashMap<i64, usize>) -> rusqlite::Result<Vec<Detail>> {
        let sql = format!(
            "SELECT t.day, t.part, t.queries, (SELECT COUNT(*) FROM seen s WHERE s.day = t.day AND s.part = t.part), t.first, t.last
             FROM total t WHERE t.day BETWEEN ?1 AND ?2 ORDER BY t.day, t.part LIMIT {DETAIL}"
        );
        let read = |row: &Row<'_>| {
            let (day, part) = (date(row.get(0)?), places.get(&row.get(1)?).copied());
            let (queries, devices): (i64, i64) = (row.get(2)?, row.get(3)?);
            let (first, last) = (moment(row.get(4)?), moment(row.get(5)?));
            let (queries, devices) = (queries as u64, devices as u64);
            Ok(day.zip(part).map(|(day, part)| Detail { day, part, queries, devices, first, last }))
        };
        Ok(self.all(&sql, bounds(period), read)?.into_iter().flatten().collect())
    }

    fn totals(&self, period: Period, crowd: &Crowd) -> rusqlite::Result<Totals> {
        let mut totals = Totals { devices: crowd.blocked, ..Totals::default() };
        let sql = "SELECT p.mode, SUM(t.queries) FROM total t JOIN part p ON p.id = t.part WHERE t.day BETWEEN ?1 AND ?2 GROUP BY p.mode";
        for (mode, queries) in self.all(sql, bounds(period), |row| Ok((row.get(0)?, row.get(1)?)))? {
            totals.add(mode, queries);
        }
        let sql = "SELECT COUNT(*) FROM met WHERE day BETWEEN ?1 AND ?2";
        totals.newly_seen =
            self.connection.query_row(sql, bounds(period), |row| row.get::<_, i64>(0))? as u64;
        Ok(totals)
    }

    /// Every day of the period up to today, also those without a query.
    fn days(&self, period: Period, crowd: &Crowd) -> rusqlite::Result<Vec<DayRow>> {
        let mut days: BTreeMap<i64, Totals> = BTreeMap::new();
        let mut day = period.from;
        while day <= period.to.min(self.zone.day(self.now)) {
            days.insert(number(day), Totals::default());
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        let sql = "SELECT t.day, p.mode, SUM(t.queries) FROM total t JOIN part p ON p.id = t.part WHERE t.day BETWEEN ?1 AND ?2 GROUP BY t.day, p.mode";
        for (day, mode, queries) in
            self.all(sql, bounds(period), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        {
            days.entry(day).or_default().add(mode, queries);
        }
        for (day, devices) in &crowd.by_day {
            days.entry(*day).or_default().devices = *devices;
        }
        let sql = "SELECT day, COUNT(*) FROM met WHERE day BETWEEN ?1 AND ?2 GROUP BY day";
        for (day, newly) in self.all(sql, bounds(period), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
            days.entry(day).or_default().newly_seen = newly as u64;
        }
        Ok(days.into_iter().filter_map(|(day, totals)| Some(DayRow { day: date(day)?, totals })).collect())
    }

    fn generations(&self, period: Period) -> rusqlite::Result<Vec<Generation>> {
        let (from, until) = self.zone.bounds(period);
        let sql = "SELECT number, digest, since, until FROM generation WHERE since < ?2 AND until >= ?1 ORDER BY since, number";
        self.all(sql, params![from, until], |row| {
            let number: i64 = row.get(0)?;
            let (since, until) = (moment(row.get(2)?), moment(row.get(3)?));
            Ok(Generation { generation: number as u64, digest: row.get(1)?, since, until })
        })
    }

    fn lost(&self, period: Period) -> rusqlite::Result<Lost> {
        let mut lost = Lost::default();
        let sql = "SELECT reason, SUM(records) FROM lost WHERE day BETWEEN ?1 AND ?2 GROUP BY reason";
        for (reason, records) in
            self.all(sql, bounds(period), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?
        {
            match reason.as_str() {
                "disk" => lost.disk = records as u64,
                "queue" => lost.queue = records as u64,
                "room" => lost.room = records as u64,
                _ => {}
            }
        }
        lost.gaps = self.gaps(period)?;
        Ok(lost)
    }

    /// Times of the period, up to now, of which no run says that it recorded.
    fn gaps(&self, period: Period) -> rusqlite::Result<Vec<Interval>> {
        let (from, until) = self.zone.bounds(period);
        let until = until.min(self.now.as_millisecond());
        let sql = "SELECT since, until FROM run WHERE since < ?2 AND until >= ?1 ORDER BY since";
        let runs: Vec<(i64, i64)> =
            self.all(sql, params![from, until], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut gaps = Vec::new();
        let mut known = from;
        for (since, end) in runs.into_iter().chain([(until, until)]) {
            if since - known > GAP_MS {
                gaps.push(Interval { from: moment(known), until: moment(since) });
            }
            known = known.max(end);
        }
        Ok(gaps)
    }

    fn events(&self, period: Period) -> rusqlite::Result<Vec<Event>> {
        let (from, until) = self.zone.bounds(period);
        let sql = "SELECT at, what, detail FROM event WHERE at >= ?1 AND at < ?2 ORDER BY at LIMIT 1000";
        self.all(sql, params![from, until], |row| {
            Ok(Event { at: moment(row.get(0)?), what: row.get(1)?, detail: row.get(2)? })
        })
    }

    fn privacy(&self, period: Period) -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT DISTINCT clients FROM privacy WHERE day BETWEEN ?1 AND ?2 ORDER BY clients";
        self.all(sql, bounds(period), |row| row.get(0))
    }

    fn known_since(&self) -> rusqlite::Result<Option<Date>> {
        let since: Option<i64> =
            self.connection.query_row("SELECT MIN(day) FROM privacy", [], |row| row.get(0))?;
        Ok(since.and_then(date))
    }
}

impl Totals {
    fn add(&mut self, mode: String, queries: i64) {
        let queries = queries as u64;
        match mode.as_str() {
            "enforce" => self.blocked += queries,
            "shadow" => self.shadow += queries,
            _ => self.permitted += queries,
        }
    }
}

fn exempted(row: &PartRow) -> Exempted {
    let PartRow { part, queries, devices, first, last, .. } = row;
    let Part { app, source, group, exception, .. } = part.clone();
    Exempted {
        exception,
        app,
        source,
        group,
        queries: *queries,
        devices: *devices,
        first: *first,
        last: *last,
    }
}

fn bounds(period: Period) -> [i64; 2] {
    [number(period.from), number(period.to)]
}
