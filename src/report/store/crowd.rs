//! Owns how devices are counted: in one pass over what was seen, with a bit for each device and part, so that a month of millions of rows needs neither sorting nor
//! much memory. Never says who is meant but for those blocked most.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, Row};

use super::moment;
use crate::report::summary::Device;

/// Devices of some days.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// By row of a part.
    pub(super) by_part: HashMap<i64, u64>,
    /// By day, those that were blocked.
    pub(super) by_day: BTreeMap<i64, u64>,
    /// All that were blocked.
    pub(super) blocked: u64,
    /// Those blocked most, by their rows.
    most: Vec<i64>,
}

/// One bit for each device.
#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
    count: u64,
}

/// Devices that a report names, the most blocked first.
const NAMED: usize = 100;
/// A file that claims more devices than this is not believed: their bits would fill the memory.
const DEVICES: i64 = 1 << 26;

impl Bits {
    fn set(&mut self, place: usize) {
        let (word, bit) = (place / 64, 1 << (place % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word).filter(|word| **word & bit == 0) {
            *word |= bit;
            self.count += 1;
        }
    }
}

impl Crowd {
    /// Counts the devices of days, from the first to the last.
    pub(super) fn of(connection: &Connection, days: [i64; 2]) -> rusqlite::Result<Self> {
        let enforcing: HashSet<i64> = connection
            .prepare_cached("SELECT id FROM part WHERE mode = 'enforce'")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let first: Option<i64> = connection.query_row("SELECT MIN(id) FROM client", [], |row| row.get(0))?;
        let first = first.unwrap_or(0);
        let (mut by_part, mut by_day): (HashMap<i64, Bits>, BTreeMap<i64, u64>) = Default::default();
        let (mut all, mut of_day, mut queries) = (Bits::default(), Bits::default(), Vec::<u32>::new());
        let mut today = 0;
        let sql = "SELECT day, part, client, queries FROM seen WHERE day BETWEEN ?1 AND ?2 ORDER BY day, part, client";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(days)?;
        while let Some(row) = rows.next()? {
            let (day, part, client): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let place = client.saturating_sub(first);
            if !(0..DEVICES).contains(&place) {
                continue;
            }
            let place = place as usize;
            by_part.entry(part).or_default().set(place);
            if !enforcing.contains(&part) {
                continue;
            }
            if day != today {
                by_day.insert(today, of_day.count);
                (today, of_day) = (day, Bits::default());
            }
            of_day.set(place);
            all.set(place);
            if place >= queries.len() {
                queries.resize(place + 1, 0);
            }
            if let Some(sum) = queries.get_mut(place) {
                *sum = sum.saturating_add(row.get::<_, i64>(3)?.clamp(0, i64::from(u32::MAX)) as u32);
            }
        }
        by_day.insert(today, of_day.count);
        by_day.remove(&0);
        let mut most: Vec<usize> =
            (0..queries.len()).filter(|place| queries.get(*place) != Some(&0)).collect();
        let rank = |place: &usize| std::cmp::Reverse(queries.get(*place).copied());
        if most.len() > NAMED {
            most.select_nth_unstable_by_key(NAMED, rank);
            most.truncate(NAMED);
        }
        Ok(Self {
            by_part: by_part.into_iter().map(|(part, bits)| (part, bits.count)).collect(),
            by_day,
            blocked: all.count,
            most: most.into_iter().map(|place| place as i64 + first).collect(),
        })
    }

    /// Those blocked most, with what they asked for.
    pub(super) fn most_blocked(
        &self,
        connection: &Connection,
        days: [i64; 2],
    ) -> rusqlite::Result<Vec<Device>> {
        if self.most.is_empty() {
            return Ok(Vec::new());
        }
        // Numbers, and at most a hundred of them.
        let ids: Vec<String> = self.most.iter().map(ToString::to_string).collect();
        let sql = format!(
            "SELECT s.client, c.text, p.app, p.grp, SUM(s.queries), MIN(s.first), MAX(s.last) FROM seen s JOIN part p ON p.id = s.part JOIN client c ON c.id = s.client
             WHERE s.day BETWEEN ?1 AND ?2 AND s.client IN ({}) AND p.mode = 'enforce' GROUP BY s.client, s.part",
            ids.join(",")
        );
        let mut found: BTreeMap<i64, (Device, [BTreeSet<String>; 2])> = BTreeMap::new();
        let read = |row: &Row<'_>| {
            let (client, app, group): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let queries: i64 = row.get(4)?;
            let (first, last) = (moment(row.get(5)?), moment(row.get(6)?));
            let (apps, groups, queries) = (Vec::new(), Vec::new(), queries.max(0) as u64);
            Ok((row.get::<_, i64>(0)?, app, group, Device { client, apps, groups, queries, first, last }))
        };
        for row in connection.prepare(&sql)?.query_map(days, read)? {
            let (id, app, group, part) = row?;
            let (whole, [apps, groups]) = found
                .entry(id)
                .and_modify(|(whole, _)| {
                    whole.queries += part.queries;
                    whole.first = whole.first.min(part.first);
                    whole.last = whole.last.max(part.last);
                })
                .or_insert_with(|| (part, Default::default()));
            debug_assert!(whole.queries > 0);
            apps.insert(app);
            groups.insert(group);
        }
        let mut devices: Vec<Device> = found
            .into_values()
            .map(|(device, [apps, groups])| Device {
                apps: apps.into_iter().collect(),
                groups: groups.into_iter().collect(),
                ..device
            })
            .collect();
        devices.sort_by(|a, b| b.queries.cmp(&a.queries).then_with(|| a.client.cmp(&b.client)));
        Ok(devices)
    }
}
