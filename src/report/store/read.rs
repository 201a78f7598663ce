//! Owns how a report is read out of the store. Never changes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Params, Row, params};

use super::file::{APPLICATION, StoreError, VERSION, of_whom, prepare};
use super::{date, moment, number};
use crate::problem::Problem;
use crate::report::habit::{Habit, Rule, regularity, usual_pause};
use crate::report::period::{Asked, Calendar, Period};
use crate::report::summary::{
    DayRow, Detail, Device, Devices, Event, Exempted, Generation, Interval, Lost, Part, PartRow, Report,
    Suspect, Totals,
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

/// Devices that a report names, the most blocked first.
const NAMED: usize = 100;
/// Rows of a report by day and part.
const DETAIL: usize = 200_000;
/// A time without records that is called a gap: longer than it takes to start again.
const GAP_MS: i64 = 180_000;

/// Reads reports.
pub(super) struct Reader<'r> {
    pub(super) connection: &'r Connection,
    pub(super) now: Timestamp,
    pub(super) zone: &'r Calendar,
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

fn with_file<T>(
    path: &Path,
    now: Timestamp,
    read: impl FnOnce(Reader<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    if !path.is_file() {
        return Err(ReadError::Unreadable("there is no such file".to_owned()));
    }
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unreadable)?;
    prepare(&connection).map_err(unreadable)?;
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
    pub(super) fn report(&self, period: Period, detailed: bool) -> rusqlite::Result<Report> {
        let compared_with = period.before();
        let (parts, places) = self.parts(period)?;
        let before: HashMap<PartKey, u64> =
            self.parts(compared_with)?.0.into_iter().map(|row| (key(&row.part), row.queries)).collect();
        let days = self.days(period)?;
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
            totals: self.totals(period)?,
            before: self.totals(compared_with)?,
            parts: parts.into_iter().map(with_before).collect(),
            days,
            devices: self.most_blocked(period)?,
            exceptions,
            generations: self.generations(period)?,
            lost: self.lost(period)?,
            events: self.events(period)?,
            detail,
        })
    }

    /// Devices that very likely have an app.
    pub(super) fn devices(&self, period: Period) -> rusqlite::Result<Devices> {
        let rule = Rule::default();
        let mut signs: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for (app, sign) in self.all("SELECT app, number, name FROM sign", [], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
        })? {
            signs.entry(app).or_default().push(sign);
        }
        let mut found = Devices {
            period,
            time_zone: self.zone.name().to_owned(),
            made: self.now,
            rule,
            clients: self.privacy(period)?,
            noted: false,
            likely: Vec::new(),
            unsure: 0,
            lost: self.lost(period)?,
        };
        let mut statement = self.connection.prepare(
            "SELECT c.text, h.app, h.day, h.hours, h.kinds, h.asked, h.wakes, h.gaps FROM habit h JOIN client c ON c.id = h.client
             WHERE h.day BETWEEN ?1 AND ?2 ORDER BY h.app, h.client, h.day",
        )?;
        let mut rows = statement.query(bounds(period))?;
        let mut whose: (String, String) = Default::default();
        let mut days: Vec<(Date, Habit)> = Vec::new();
        loop {
            let row = rows.next()?;
            let next = row
                .map(|row| Ok::<_, rusqlite::Error>((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
                .transpose()?;
            if next.as_ref() != Some(&whose) && !days.is_empty() {
                found.noted = true;
                let known = signs.get(&whose.1).map_or(&[][..], Vec::as_slice);
                match suspect(rule, &whose, &days, known) {
                    Some(suspect) => found.likely.push(suspect),
                    None => found.unsure += 1,
                }
                days.clear();
            }
            let (Some(row), Some(next)) = (row, next) else { break };
            whose = next;
            if let Some(day) = date(row.get(2)?) {
                days.push((day, habit(row, 3)?));
            }
        }
        found.noted |= found.clients.iter().any(|clients| clients == "full");
        found
            .likely
            .sort_by(|a, b| a.app.cmp(&b.app).then(b.days.cmp(&a.days)).then(b.queries.cmp(&a.queries)));
        Ok(found)
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
    fn parts(&self, period: Period) -> rusqlite::Result<(Vec<PartRow>, HashMap<i64, usize>)> {
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
        let sql = "SELECT part, COUNT(DISTINCT client) FROM seen WHERE day BETWEEN ?1 AND ?2 GROUP BY part";
        let devices: HashMap<i64, i64> =
            self.all(sql, bounds(period), |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect();
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
                row.devices = row.devices.max(devices.get(&id).copied().unwrap_or(0) as u64);
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

    fn totals(&self, period: Period) -> rusqlite::Result<Totals> {
        let mut totals = Totals::default();
        let sql = "SELECT p.mode, SUM(t.queries) FROM total t JOIN part p ON p.id = t.part WHERE t.day BETWEEN ?1 AND ?2 GROUP BY p.mode";
        for (mode, queries) in self.all(sql, bounds(period), |row| Ok((row.get(0)?, row.get(1)?)))? {
            totals.add(mode, queries);
        }
        let sql = "SELECT COUNT(DISTINCT s.client) FROM seen s JOIN part p ON p.id = s.part WHERE s.day BETWEEN ?1 AND ?2 AND p.mode = 'enforce'";
        totals.devices = self.connection.query_row(sql, bounds(period), |row| row.get::<_, i64>(0))? as u64;
        let sql = "SELECT COUNT(*) FROM met WHERE day BETWEEN ?1 AND ?2";
        totals.newly_seen =
            self.connection.query_row(sql, bounds(period), |row| row.get::<_, i64>(0))? as u64;
        Ok(totals)
    }

    /// Every day of the period up to today, also those without a query.
    fn days(&self, period: Period) -> rusqlite::Result<Vec<DayRow>> {
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
        let sql = "SELECT s.day, COUNT(DISTINCT s.client) FROM seen s JOIN part p ON p.id = s.part
                   WHERE s.day BETWEEN ?1 AND ?2 AND p.mode = 'enforce' GROUP BY s.day";
        for (day, devices) in self.all(sql, bounds(period), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
            days.entry(day).or_default().devices = devices as u64;
        }
        let sql = "SELECT day, COUNT(*) FROM met WHERE day BETWEEN ?1 AND ?2 GROUP BY day";
        for (day, newly) in self.all(sql, bounds(period), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
            days.entry(day).or_default().newly_seen = newly as u64;
        }
        Ok(days.into_iter().filter_map(|(day, totals)| Some(DayRow { day: date(day)?, totals })).collect())
    }

    fn most_blocked(&self, period: Period) -> rusqlite::Result<Vec<Device>> {
        let sql = format!(
            "SELECT s.client, c.text, SUM(s.queries) AS queries, MIN(s.first), MAX(s.last) FROM seen s JOIN part p ON p.id = s.part JOIN client c ON c.id = s.client
             WHERE s.day BETWEEN ?1 AND ?2 AND p.mode = 'enforce' GROUP BY s.client ORDER BY queries DESC, c.text LIMIT {NAMED}"
        );
        let read = |row: &Row<'_>| {
            let queries: i64 = row.get(2)?;
            let (first, last) = (moment(row.get(3)?), moment(row.get(4)?));
            let (apps, groups) = (Vec::new(), Vec::new());
            Ok((
                row.get(0)?,
                Device { client: row.get(1)?, apps, groups, queries: queries as u64, first, last },
            ))
        };
        let mut devices: Vec<(i64, Device)> = self.all(&sql, bounds(period), read)?;
        let wanted: HashMap<i64, usize> =
            devices.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        let sql = "SELECT DISTINCT s.client, p.app, p.grp FROM seen s JOIN part p ON p.id = s.part WHERE s.day BETWEEN ?1 AND ?2 AND p.mode = 'enforce'";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(bounds(period))?;
        let mut of: Vec<[BTreeSet<String>; 2]> = vec![Default::default(); devices.len()];
        while let Some(row) = rows.next()? {
            let Some([apps, groups]) = wanted.get(&row.get(0)?).and_then(|place| of.get_mut(*place)) else {
                continue;
            };
            apps.insert(row.get(1)?);
            groups.insert(row.get(2)?);
        }
        for ((_, device), [apps, groups]) in devices.iter_mut().zip(of) {
            (device.apps, device.groups) = (apps.into_iter().collect(), groups.into_iter().collect());
        }
        Ok(devices.into_iter().map(|(_, device)| device).collect())
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

/// A habit that begins at a column.
pub(super) fn habit(row: &Row<'_>, at: usize) -> rusqlite::Result<Habit> {
    let (kinds, asked, gaps): (i64, i64, i64) = (row.get(at + 1)?, row.get(at + 2)?, row.get(at + 4)?);
    let (hours, wakes) = (row.get(at)?, row.get(at + 3)?);
    Ok(Habit { hours, kinds: kinds as u64, asked: asked as u64, wakes, gaps: Habit::unpacked_gaps(gaps) })
}

/// The evidence, when the rule holds.
fn suspect(
    rule: Rule,
    whose: &(String, String),
    days: &[(Date, Habit)],
    signs: &[(i64, String)],
) -> Option<Suspect> {
    let habits: Vec<Habit> = days.iter().map(|(_, habit)| *habit).collect();
    if !rule.holds(&habits) {
        return None;
    }
    let regular: Vec<&(Date, Habit)> = days.iter().filter(|(_, habit)| rule.is_day(habit)).collect();
    let mut hours: Vec<u32> = regular.iter().map(|(_, habit)| habit.hours.count_ones()).collect();
    hours.sort_unstable();
    let all = |of: fn(&Habit) -> u64| habits.iter().map(of).sum();
    let kinds = habits.iter().fold(0, |kinds, habit| kinds | habit.kinds);
    let at_night = regular.iter().fold(0, |hours, (_, habit)| hours | habit.hours) & NIGHT;
    let chosen = || regular.iter().map(|(_, habit)| habit);
    Some(Suspect {
        client: whose.0.clone(),
        app: whose.1.clone(),
        days: regular.len() as u32,
        hours_a_day: hours.get(hours.len() / 2).copied().unwrap_or(0),
        at_night: at_night.count_ones(),
        signs: signs
            .iter()
            .filter(|(number, _)| kinds >> number.clamp(&0, &63) & 1 == 1)
            .map(|(_, name)| name.clone())
            .collect(),
        queries: all(|habit| habit.asked),
        wakes: all(|habit| u64::from(habit.wakes)),
        pause: usual_pause(chosen()),
        regular: regularity(chosen()).0,
        first: regular.first()?.0,
        last: regular.last()?.0,
    })
}

/// The hours from 22 to 6.
const NIGHT: u32 = 0b1100_0000_0000_0000_0011_1111;

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
