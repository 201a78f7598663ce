//! Owns what was counted since the last write to the store: by day, part of the policy and device. Bounded: beyond its room, devices are not told apart and
//! counts go on. Never reads a clock and never waits.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::quality::RandomState;
use jiff::civil::Date;

use super::habit::{Habit, KINDS};
use super::summary::Part;
use crate::policy::IdentityNumber;

/// Looked into some four times a record: with a hash that is made for keys of a few bytes, and seeded, as clients choose what they ask.
pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) totals: HashMap<(Date, PartNumber), Count>,
    pub(super) devices: HashMap<(Date, PartNumber, Client), Count>,
    pub(super) habits: HashMap<(Date, AppNumber, Client), Habit>,
    pub(super) lost: HashMap<(Date, Reason), u64>,
    /// Records in it.
    pub(super) records: u64,
    /// What metrics have not been told of `lost` yet, by [`Reason::ALL`].
    pub(super) untold: [u64; 3],
}

/// Stands for a part of the policy, as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PartNumber(u32);

/// Stands for an app, as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AppNumber(u32);

/// A device, as far as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// By its address.
    Address(IpAddr),
    /// By a digest of the day.
    Digest(u64),
    /// By what it is known as beside its address.
    Known(IdentityNumber),
    /// By the first address of its network.
    Network(IpAddr),
}

/// How often, and between when, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) queries: u64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// Why something is not in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The store could not be written for so long that there was no room left.
    Disk,
    /// The queues of query threads were full.
    Queue,
    /// Counted, but more devices came at a time than are told apart.
    Room,
}

/// Words that numbers stand for; for good, as long as the process lives.
#[derive(Debug, Default)]
pub(super) struct Words {
    parts: Vec<Arc<Part>>,
    part_numbers: HashMap<Arc<Part>, u32>,
    apps: Vec<(String, Vec<String>)>,
}

/// The words of numbers, as they were at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    parts: Vec<Arc<Part>>,
    apps: Vec<(String, Vec<String>)>,
}

/// Devices and habits that may wait: some 20 MiB. At a write every ten seconds, a network of a hundred thousand devices that all try two apps.
pub(super) const ROOM: usize = 1 << 17;
/// Parts that are told apart, as many as metrics tell apart.
const PARTS: usize = 16_384;
/// Apps that are told apart.
const APPS: usize = 4096;

impl Reason {
    pub(super) const ALL: [Self; 3] = [Self::Disk, Self::Queue, Self::Room];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Queue => "queue",
            Self::Room => "room",
        }
    }
}

impl Count {
    fn once(at: i64) -> Self {
        Self { queries: 1, first: at, last: at }
    }

    pub(super) fn add(&mut self, more: Self) {
        self.queries += more.queries;
        self.first = self.first.min(more.first);
        self.last = self.last.max(more.last);
    }
}

impl Words {
    /// The number of a part; when there is no room, of one without names.
    pub(super) fn part(&mut self, part: Part) -> PartNumber {
        let part = if self.parts.len() < PARTS || self.part_numbers.contains_key(&part) {
            part
        } else {
            Part { mode: part.mode, ..Part::default() }
        };
        if let Some(number) = self.part_numbers.get(&part) {
            return PartNumber(*number);
        }
        let (part, number) = (Arc::new(part), self.parts.len() as u32);
        self.parts.push(Arc::clone(&part));
        self.part_numbers.insert(part, number);
        PartNumber(number)
    }

    /// All words, for whoever must not hold on to these.
    pub(super) fn said(&self) -> Said {
        Said { parts: self.parts.clone(), apps: self.apps.clone() }
    }

    /// The number of an app; `None` when there is no room.
    pub(super) fn app(&mut self, id: &str) -> Option<AppNumber> {
        let known = self.apps.iter().position(|(known, _)| known == id);
        let place = known.or_else(|| {
            (self.apps.len() < APPS).then(|| self.apps.push((id.to_owned(), Vec::new())))?;
            Some(self.apps.len() - 1)
        });
        place.map(|place| AppNumber(place as u32))
    }

    /// The number of a sign among its app's; those beyond the last share it.
    pub(super) fn kind(&mut self, app: AppNumber, sign: &str) -> u8 {
        let Some((_, signs)) = self.apps.get_mut(app.0 as usize) else { return 0 };
        let known = signs.iter().position(|known| known == sign).unwrap_or_else(|| {
            if signs.len() < KINDS {
                signs.push(sign.to_owned());
            }
            signs.len() - 1
        });
        known as u8
    }

    /// An app's id and signs.
    pub(super) fn of_app(&self, number: AppNumber) -> Option<(&str, &[String])> {
        self.apps.get(number.0 as usize).map(|(id, signs)| (id.as_str(), signs.as_slice()))
    }
}

impl Said {
    pub(super) fn part(&self, number: PartNumber) -> Option<&Part> {
        self.parts.get(number.0 as usize).map(|part| &**part)
    }

    /// An app's id and signs.
    pub(super) fn app(&self, number: AppNumber) -> Option<(&str, &[String])> {
        self.apps.get(number.0 as usize).map(|(id, signs)| (id.as_str(), signs.as_slice()))
    }
}

impl Tally {
    /// Counts a query of a device, or of nobody in particular.
    pub(super) fn count(&mut self, day: Date, part: PartNumber, client: Option<Client>, at: i64) {
        self.records += 1;
        add(&mut self.totals, (day, part), Count::once(at));
        let Some(client) = client else { return };
        if self.has_room() || self.devices.contains_key(&(day, part, client)) {
            add(&mut self.devices, (day, part, client), Count::once(at));
        } else {
            self.lose(day, Reason::Room, 1);
        }
    }

    /// The habit to be noted; `None` when there is no room.
    pub(super) fn habit(&mut self, day: Date, app: AppNumber, client: Client) -> Option<&mut Habit> {
        let has_room = self.has_room() || self.habits.contains_key(&(day, app, client));
        has_room.then(|| self.habits.entry((day, app, client)).or_default())
    }

    /// True while devices are told apart.
    pub(super) fn has_room(&self) -> bool {
        self.devices.len() + self.habits.len() < ROOM
    }

    pub(super) fn lose(&mut self, day: Date, reason: Reason, records: u64) {
        *self.lost.entry((day, reason)).or_default() += records;
        self.untold[reason as usize] += records;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.totals.is_empty() && self.lost.is_empty()
    }

    /// Takes back what could not be written.
    pub(super) fn take_back(&mut self, unwritten: Self) {
        let Self { totals, devices, habits, lost, records, untold: _ } = unwritten;
        self.records += records;
        totals.into_iter().for_each(|(key, count)| add(&mut self.totals, key, count));
        for ((day, part, client), count) in devices {
            if self.has_room() || self.devices.contains_key(&(day, part, client)) {
                add(&mut self.devices, (day, part, client), count);
            } else {
                self.lose(day, Reason::Room, count.queries);
            }
        }
        for ((day, app, client), habit) in habits {
            if let Some(kept) = self.habit(day, app, client) {
                kept.add(&habit);
            }
        }
        lost.into_iter().for_each(|(key, records)| *self.lost.entry(key).or_default() += records);
    }
}

fn add<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, Count>, key: K, more: Count) {
    counts.entry(key).and_modify(|count| count.add(more)).or_insert(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> Date {
        "2026-11-27".parse().unwrap()
    }

    #[test]
    fn beyond_the_room_counts_go_on_and_devices_are_not_told_apart() {
        let (mut tally, mut words) = (Tally::default(), Words::default());
        let part = words.part(Part::default());
        for number in 0..ROOM as u32 + 5 {
            tally.count(day(), part, Some(Client::Address(number.to_be_bytes().into())), 7);
        }
        tally.count(day(), part, Some(Client::Address(0u32.to_be_bytes().into())), 9);
        assert_eq!((tally.devices.len(), tally.lost[&(day(), Reason::Room)]), (ROOM, 5));
        assert_eq!(tally.totals[&(day(), part)], Count { queries: ROOM as u64 + 6, first: 7, last: 9 });
        assert!(tally.habit(day(), words.app("a").unwrap(), Client::Digest(1)).is_none());
        // What could not be written comes on top, and is bounded too.
        let mut next = Tally::default();
        next.count(day(), part, Some(Client::Digest(1)), 11);
        next.take_back(tally);
        assert_eq!((next.devices.len(), next.lost[&(day(), Reason::Room)]), (ROOM, 6));
        assert_eq!(next.totals[&(day(), part)], Count { queries: ROOM as u64 + 7, first: 7, last: 11 });
    }

    #[test]
    fn words_have_numbers_for_good_and_no_end_of_room() {
        let mut words = Words::default();
        let of = |app: &str| Part { app: app.to_owned(), ..Part::default() };
        let one = words.part(of("a"));
        assert_eq!(words.part(of("a")), one);
        for number in 0..PARTS + 10 {
            words.part(of(&number.to_string()));
        }
        assert_eq!(words.part(of("a")), one);
        let new = words.part(of("new"));
        assert_eq!(words.said().part(new).unwrap().app, "");
        let app = words.app("a").unwrap();
        for number in 0..100 {
            words.kind(app, &number.to_string());
        }
        assert_eq!((words.kind(app, "3"), words.kind(app, "99")), (3, 63));
    }
}
