//! Owns how a tally comes into the store: each row is added to the one that is there, all of them in one transaction. Never begins or ends it.

use std::collections::HashMap;

use jiff::civil::Date;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::number;
use crate::report::habit::Habit;
use crate::report::summary::{Event, Generation, Part};
use crate::report::tally::{Client, PartNumber, Said, Tally};

/// What is written at once.
pub(in crate::report) struct Batch<'b> {
    pub(in crate::report) tally: &'b Tally,
    pub(in crate::report) said: &'b Said,
    /// A device in words.
    pub(in crate::report) client: &'b dyn Fn(Client) -> String,
    pub(in crate::report) generations: &'b [Generation],
    pub(in crate::report) events: &'b [Event],
    /// Up to when everything was counted, and the day of it.
    pub(in crate::report) until: i64,
    pub(in crate::report) today: Date,
    pub(in crate::report) time_zone: &'b str,
    /// How clients are kept.
    pub(in crate::report) clients: &'static str,
}

/// Writes a batch. Returns how many rows.
pub(super) fn write(
    transaction: &Transaction<'_>,
    batch: &Batch<'_>,
    parts: &mut HashMap<PartNumber, i64>,
    run: i64,
) -> rusqlite::Result<u64> {
    let Batch { tally, said, .. } = batch;
    let mut rows = 0;
    let mut clients = Clients { transaction, say: batch.client, known: HashMap::new() };
    let mut add = transaction.prepare_cached(
        "INSERT INTO total VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
         SET queries = queries + excluded.queries, first = MIN(first, excluded.first), last = MAX(last, excluded.last)",
    )?;
    for ((day, part), count) in &tally.totals {
        let part = part_row(transaction, said, parts, *part)?;
        rows += add.execute(params![number(*day), part, count.queries as i64, count.first, count.last])?;
    }
    let mut add = transaction.prepare_cached(
        "INSERT INTO seen VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
         SET queries = queries + excluded.queries, first = MIN(first, excluded.first), last = MAX(last, excluded.last)",
    )?;
    let mut meet = transaction.prepare_cached(
        "INSERT INTO met VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET day = MIN(day, excluded.day)",
    )?;
    for ((day, part, client), count) in &tally.devices {
        let day = number(*day);
        let client = clients.row(*client, day)?;
        if let Some(part) = said.part(*part).filter(|part| part.mode != "permit") {
            meet.execute(params![part.app, client, day])?;
        }
        let part = part_row(transaction, said, parts, *part)?;
        rows += add.execute(params![day, part, client, count.queries as i64, count.first, count.last])?;
    }
    for ((day, app, client), habit) in &tally.habits {
        let Some((app, signs)) = said.app(*app) else { continue };
        let client = clients.row(*client, number(*day))?;
        let kinds = kinds(transaction, app, signs, habit.kinds)?;
        rows += add_habit(transaction, number(*day), app, client, Habit { kinds, ..*habit })?;
    }
    let mut add = transaction.prepare_cached(
        "INSERT INTO lost VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET records = records + excluded.records",
    )?;
    for ((day, reason), records) in &tally.lost {
        rows += add.execute(params![number(*day), reason.as_str(), *records as i64])?;
    }
    for Generation { generation, digest, since, until } in batch.generations {
        let row = params![since.as_millisecond(), *generation as i64, digest, until.as_millisecond()];
        let sql =
            "INSERT INTO generation VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET until = excluded.until";
        rows += transaction.prepare_cached(sql)?.execute(row)?;
    }
    for Event { at, what, detail } in batch.events {
        let sql = "INSERT INTO event VALUES (?1, ?2, ?3)";
        rows += transaction.prepare_cached(sql)?.execute(params![at.as_millisecond(), what, detail])?;
    }
    let sql = "INSERT INTO run VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until = MAX(until, excluded.until)";
    rows += transaction.prepare_cached(sql)?.execute(params![run, batch.until])?;
    let sql = "INSERT INTO setting VALUES ('time_zone', ?1) ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value";
    rows += transaction.prepare_cached(sql)?.execute([batch.time_zone])?;
    let sql = "INSERT OR IGNORE INTO privacy VALUES (?1, ?2)";
    rows += transaction.prepare_cached(sql)?.execute(params![number(batch.today), batch.clients])?;
    Ok(rows as u64)
}

/// Devices' rows, looked up once a batch.
struct Clients<'c> {
    transaction: &'c Transaction<'c>,
    say: &'c dyn Fn(Client) -> String,
    known: HashMap<Client, i64>,
}

impl Clients<'_> {
    fn row(&mut self, client: Client, day: i64) -> rusqlite::Result<i64> {
        if let Some(row) = self.known.get(&client) {
            return Ok(*row);
        }
        let sql = "INSERT INTO client (text, last) VALUES (?1, ?2) ON CONFLICT (text) DO UPDATE SET last = MAX(last, excluded.last) RETURNING id";
        let row = self
            .transaction
            .prepare_cached(sql)?
            .query_row(params![(self.say)(client), day], |row| row.get(0))?;
        self.known.insert(client, row);
        Ok(row)
    }
}

/// The row of a part, made when it is new.
fn part_row(
    transaction: &Transaction<'_>,
    said: &Said,
    known: &mut HashMap<PartNumber, i64>,
    part: PartNumber,
) -> rusqlite::Result<i64> {
    if let Some(row) = known.get(&part) {
        return Ok(*row);
    }
    let nameless = Part::default();
    let words = said.part(part).unwrap_or(&nameless);
    let Part {
        app,
        app_title,
        instrument,
        authority,
        citation,
        in_force_from,
        date_verified,
        source,
        group,
        mode,
        exception,
    } = words;
    let from = in_force_from.map(number);
    let row = params![
        app,
        app_title,
        instrument,
        authority,
        citation,
        from,
        date_verified,
        source,
        group,
        mode,
        exception
    ];
    let found = transaction
        .prepare_cached(
            "SELECT id FROM part WHERE app = ?1 AND app_title = ?2 AND instrument = ?3 AND authority = ?4 AND citation = ?5 AND in_force_from IS ?6
             AND date_verified = ?7 AND source = ?8 AND grp = ?9 AND mode = ?10 AND exception = ?11",
        )?
        .query_row(row, |row| row.get(0))
        .optional()?;
    let found = match found {
        Some(found) => found,
        None => {
            let sql =
                "INSERT INTO part VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id";
            transaction.prepare_cached(sql)?.query_row(row, |row| row.get(0))?
        }
    };
    known.insert(part, found);
    Ok(found)
}

/// The numbers under which the store knows these signs of an app.
fn kinds(transaction: &Transaction<'_>, app: &str, signs: &[String], kinds: u64) -> rusqlite::Result<u64> {
    let mut found = 0;
    let sql = "INSERT INTO sign (app, number, name) SELECT ?1, (SELECT COUNT(*) FROM sign WHERE app = ?1), ?2
               WHERE NOT EXISTS (SELECT 1 FROM sign WHERE app = ?1 AND name = ?2)";
    for (place, sign) in signs.iter().enumerate().filter(|(place, _)| kinds >> place & 1 == 1) {
        debug_assert!(place < 64);
        transaction.prepare_cached(sql)?.execute([app, sign])?;
        let sql = "SELECT number FROM sign WHERE app = ?1 AND name = ?2";
        let number: i64 = transaction.prepare_cached(sql)?.query_row([app, sign], |row| row.get(0))?;
        found |= 1 << number.clamp(0, 63);
    }
    Ok(found)
}

fn add_habit(
    transaction: &Transaction<'_>,
    day: i64,
    app: &str,
    client: i64,
    more: Habit,
) -> rusqlite::Result<usize> {
    let sql =
        "SELECT hours, kinds, asked, wakes, gaps FROM habit WHERE day = ?1 AND app = ?2 AND client = ?3";
    let before = transaction
        .prepare_cached(sql)?
        .query_row(params![day, app, client], |row| super::suspects::habit(row, 0))
        .optional()?;
    let mut habit = before.unwrap_or_default();
    habit.add(&more);
    let row = params![
        day,
        app,
        client,
        habit.hours,
        habit.kinds as i64,
        habit.asked as i64,
        habit.wakes,
        habit.packed_gaps()
    ];
    transaction
        .prepare_cached("INSERT OR REPLACE INTO habit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(row)
}
