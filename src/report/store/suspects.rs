//! Owns the search for devices that very likely have an app: days that look like it are counted first, and only who has enough of them is looked at whole. Never
//! says what the rule is.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use rusqlite::{Connection, Row, params};

use super::date;
use crate::report::habit::{Habit, Rule, regularity, usual_pause};
use crate::report::summary::Suspect;

/// Those of whom the rule holds, and how many pairs of device and app there are of whom it does not.
pub(super) fn suspects(
    connection: &Connection,
    rule: Rule,
    days: [i64; 2],
) -> rusqlite::Result<(Vec<Suspect>, u64)> {
    let mut apps: BTreeMap<String, usize> = BTreeMap::new();
    let mut signs: Vec<Vec<(i64, String)>> = Vec::new();
    let mut statement =
        connection.prepare_cached("SELECT app, number, name FROM sign ORDER BY app, number")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let place = *apps.entry(row.get(0)?).or_insert(signs.len());
        if place == signs.len() {
            signs.push(Vec::new());
        }
        if let Some(signs) = signs.get_mut(place) {
            signs.push((row.get(1)?, row.get(2)?));
        }
    }
    // Days that look like an installed app, for each pair.
    let mut pairs: HashMap<(usize, i64), u32> = HashMap::new();
    let sql = "SELECT app, client, hours, kinds, asked, wakes, gaps FROM habit WHERE day BETWEEN ?1 AND ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(days)?;
    while let Some(row) = rows.next()? {
        let Some(app) = apps.get(row.get_ref(0)?.as_str()?) else { continue };
        let count = pairs.entry((*app, row.get(1)?)).or_default();
        *count += u32::from(rule.is_day(&habit(row, 2)?));
    }
    let ids: Vec<&String> = {
        let mut ids: Vec<(&String, &usize)> = apps.iter().collect();
        ids.sort_by_key(|(_, place)| **place);
        ids.into_iter().map(|(id, _)| id).collect()
    };
    let all = pairs.len() as u64;
    let mut likely = Vec::new();
    let sql = "WITH RECURSIVE span (day) AS (SELECT DISTINCT day FROM total WHERE day BETWEEN ?1 AND ?2)
               SELECT h.day, h.hours, h.kinds, h.asked, h.wakes, h.gaps FROM span JOIN habit h ON h.day = span.day AND h.app = ?3 AND h.client = ?4 ORDER BY h.day";
    let mut whole = connection.prepare_cached(sql)?;
    for ((app, client), _) in pairs.into_iter().filter(|(_, regular)| *regular >= rule.days) {
        let (Some(id), Some(signs)) = (ids.get(app), signs.get(app)) else { continue };
        let read = |row: &Row<'_>| Ok((date(row.get(0)?), habit(row, 1)?));
        let found: Vec<(Option<Date>, Habit)> =
            whole.query_map(params![days[0], days[1], id, client], read)?.collect::<rusqlite::Result<_>>()?;
        let found: Vec<(Date, Habit)> =
            found.into_iter().filter_map(|(day, habit)| Some((day?, habit))).collect();
        if let Some(suspect) = suspect(rule, id, &found, signs) {
            let sql = "SELECT text FROM client WHERE id = ?1";
            let client = connection.prepare_cached(sql)?.query_row([client], |row| row.get(0))?;
            likely.push(Suspect { client, ..suspect });
        }
    }
    likely.sort_by(|a, b| {
        a.app
            .cmp(&b.app)
            .then(b.days.cmp(&a.days))
            .then(b.queries.cmp(&a.queries))
            .then_with(|| a.client.cmp(&b.client))
    });
    let unsure = all - likely.len() as u64;
    Ok((likely, unsure))
}

/// A habit that begins at a column.
pub(super) fn habit(row: &Row<'_>, at: usize) -> rusqlite::Result<Habit> {
    let (kinds, asked, gaps): (i64, i64, i64) = (row.get(at + 1)?, row.get(at + 2)?, row.get(at + 4)?);
    let (hours, wakes) = (row.get(at)?, row.get(at + 3)?);
    Ok(Habit { hours, kinds: kinds as u64, asked: asked as u64, wakes, gaps: Habit::unpacked_gaps(gaps) })
}

/// The evidence, when the rule holds.
fn suspect(rule: Rule, app: &str, days: &[(Date, Habit)], signs: &[(i64, String)]) -> Option<Suspect> {
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
        client: String::new(),
        app: app.to_owned(),
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
