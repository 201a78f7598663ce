//! Owns the names most asked of the last day, in bounded memory: Space-Saving (Metwally et al. 2005) over pairs of name and
//! group, whose counts are kept by the hour so that they age. Never reads a clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::crowd::Crowd;
use crate::dns::Name;
use crate::telemetry::querylog::Clients;

/// The last day's questions. Each pair of name and group has a cell; a new pair takes the cell of the least asked one, and
/// carries its count as what it may have been asked before.
#[derive(Debug)]
pub(super) struct Sketch {
    most: usize,
    pub(super) clients: Clients,
    /// The present hour, in hours since 1970.
    pub(super) hour: u32,
    /// When counting began.
    pub(super) since: Option<Timestamp>,
    /// All questions, by the hour.
    pub(super) totals: [u64; HOURS],
    pub(super) cells: Vec<Cell>,
    places: HashMap<Arc<[u8]>, usize>,
    /// Cells by what was once their count: counts only grow while an hour lasts, so the first whose count still holds is the
    /// least.
    least: BinaryHeap<Reverse<(u64, usize)>>,
    scratch: Vec<u8>,
}

/// What is known of one name for one group.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// The name in wire form, then the group's.
    pub(super) key: Arc<[u8]>,
    /// Questions, by the hour.
    pub(super) hours: [u32; HOURS],
    /// What the pair may have been asked before it had the cell, and the hour it took it in.
    pub(super) carried: (u64, u32),
    pub(super) crowd: Crowd,
}

/// What was asked in the last day, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Day {
    /// The first moment that counts.
    pub since: Option<Timestamp>,
    /// Questions of all names.
    pub questions: u64,
    /// Samples that found no room: of more questions than these nothing is known.
    pub lost: u64,
    /// What is kept of clients.
    pub clients: Clients,
    /// The pairs of name and group that are known, the most asked first.
    pub parties: Vec<Party>,
    /// The clients that asked most, as they are kept, and how often each did, at least.
    pub askers: Vec<(IpAddr, u64)>,
}

/// How much is known of the last day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// The first moment that counts.
    pub since: Option<Timestamp>,
    /// Questions of all names.
    pub questions: u64,
    /// Pairs of name and group that are known.
    pub names: usize,
    /// Samples that found no room.
    pub lost: u64,
    /// What is kept of clients: `full`, `prefix` or `none`.
    pub clients: &'static str,
}

/// One name, asked by one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What was asked.
    pub name: Name,
    /// By which group.
    pub group: String,
    /// How often, at least.
    pub questions: u64,
    /// How often, at most: less asked pairs may have given way to one another.
    pub at_most: u64,
    /// By whom.
    pub crowd: Crowd,
}

/// A day: the present hour and those before it.
pub(super) const HOURS: usize = 24;

impl Sketch {
    /// An empty one with room for `most` pairs.
    pub(super) fn new(most: usize, clients: Clients) -> Self {
        Self {
            most,
            clients,
            hour: 0,
            since: None,
            totals: [0; HOURS],
            cells: Vec::new(),
            places: HashMap::new(),
            least: BinaryHeap::new(),
            scratch: Vec::new(),
        }
    }

    /// How many pairs there is room for.
    pub(super) fn room(&self) -> usize {
        self.most
    }

    /// Counts `questions` for a name in wire form, asked at `now` by a client of `group`.
    pub(super) fn count(&mut self, now: Timestamp, name: &[u8], group: &str, client: IpAddr, questions: u32) {
        self.turn(now);
        self.since.get_or_insert(now);
        let (hour, slot) = (self.hour, self.hour as usize % HOURS);
        if let Some(total) = self.totals.get_mut(slot) {
            *total += u64::from(questions);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(name);
        self.scratch.extend_from_slice(group.as_bytes());
        let Some(place) = self.place() else { return };
        let client = self.clients.kept(client);
        let Some(cell) = self.cells.get_mut(place) else { return };
        if let Some(count) = cell.hours.get_mut(slot) {
            *count = count.saturating_add(questions);
        }
        if let Some(client) = client {
            cell.crowd.meet(client, hour);
        }
    }

    /// The cell of the pair in `scratch`; `None` when there is room for nobody.
    fn place(&mut self) -> Option<usize> {
        if let Some(&place) = self.places.get(self.scratch.as_slice()) {
            return Some(place);
        }
        let key: Arc<[u8]> = self.scratch.as_slice().into();
        let cell = Cell::new(Arc::clone(&key));
        if self.cells.len() < self.most {
            self.insert(cell);
            return Some(self.cells.len() - 1);
        }
        let (count, place) = self.least()?;
        let taken = self.cells.get_mut(place)?;
        let before = std::mem::replace(taken, Cell { carried: (count, self.hour), ..cell });
        self.places.remove(&before.key);
        self.places.insert(key, place);
        self.least.push(Reverse((count, place)));
        Some(place)
    }

    pub(super) fn insert(&mut self, cell: Cell) {
        let place = self.cells.len();
        self.places.insert(Arc::clone(&cell.key), place);
        self.least.push(Reverse((cell.count(), place)));
        self.cells.push(cell);
    }

    /// Takes the least asked cell out of the heap.
    fn least(&mut self) -> Option<(u64, usize)> {
        loop {
            let Reverse((known, place)) = self.least.pop()?;
            let count = self.cells.get(place)?.count();
            if count == known {
                return Some((count, place));
            }
            self.least.push(Reverse((count, place)));
        }
    }

    /// Goes on to the hour of `now`; a clock that was set back is waited for.
    pub(super) fn turn(&mut self, now: Timestamp) {
        let hour = u32::try_from(now.as_second() / 3600).unwrap_or(0);
        if hour <= self.hour {
            return;
        }
        let passed = ((hour - self.hour) as usize).min(HOURS);
        let ended: Vec<usize> = (0..passed).map(|back| (hour as usize - back) % HOURS).collect();
        self.hour = hour;
        ended.iter().filter_map(|slot| self.totals.get_mut(*slot).map(|total| *total = 0)).for_each(drop);
        for cell in &mut self.cells {
            ended.iter().filter_map(|slot| cell.hours.get_mut(*slot).map(|count| *count = 0)).for_each(drop);
            if hour - cell.carried.1 >= HOURS as u32 {
                cell.carried = (0, 0);
            }
            cell.crowd.forget(hour);
        }
        let kept = std::mem::take(&mut self.cells);
        self.places.clear();
        self.least.clear();
        kept.into_iter().filter(|cell| cell.count() > 0).for_each(|cell| self.insert(cell));
        if self.cells.is_empty() {
            self.since = None;
        }
    }

    /// The first moment that counts.
    fn first(&self) -> Option<Timestamp> {
        let first = Timestamp::from_second(i64::from(self.hour.saturating_sub(HOURS as u32 - 1)) * 3600).ok();
        self.since.map(|since| first.map_or(since, |first| since.max(first)))
    }

    /// How much is known at `now`.
    pub(super) fn covered(&mut self, now: Timestamp, lost: u64) -> Covered {
        self.turn(now);
        let (since, questions, names) = (self.first(), self.totals.iter().sum(), self.cells.len());
        Covered { since, questions, names, lost, clients: self.clients.as_str() }
    }

    /// What is known at `now`.
    pub(super) fn day(&mut self, now: Timestamp, lost: u64) -> Day {
        self.turn(now);
        let mut parties: Vec<Party> = self.cells.iter().filter_map(Cell::party).collect();
        parties.sort_by(|a, b| b.questions.cmp(&a.questions).then_with(|| a.name.cmp(&b.name)));
        Day {
            since: self.first(),
            questions: self.totals.iter().sum(),
            lost,
            clients: self.clients,
            parties,
            askers: Vec::new(),
        }
    }

    /// Counts `questions` of one client, in a sketch of clients: their pairs are the root and the client as it is kept.
    pub(super) fn count_client(&mut self, now: Timestamp, client: IpAddr, questions: u32) {
        let Some(kept) = self.clients.kept(client) else { return };
        self.count(now, &[0], &kept.to_string(), client, questions);
    }

    /// The clients of a sketch of clients, and how often each asked, at least.
    pub(super) fn askers(&mut self, now: Timestamp) -> Vec<(IpAddr, u64)> {
        self.turn(now);
        let known = self.cells.iter().filter_map(|cell| Some((cell.pair()?.1.parse().ok()?, cell.asked())));
        known.filter(|(_, questions)| *questions > 0).collect()
    }
}

impl Cell {
    pub(super) fn new(key: Arc<[u8]>) -> Self {
        Self { key, hours: [0; HOURS], carried: (0, 0), crowd: Crowd::default() }
    }

    fn asked(&self) -> u64 {
        self.hours.iter().map(|count| u64::from(*count)).sum()
    }

    fn count(&self) -> u64 {
        self.asked() + self.carried.0
    }

    /// Its name, and its group.
    pub(super) fn pair(&self) -> Option<(Name, &str)> {
        let name = Name::from_wire(&self.key).ok()?;
        let group = std::str::from_utf8(self.key.get(name.as_wire().len()..)?).ok()?;
        Some((name, group))
    }

    fn party(&self) -> Option<Party> {
        let (name, group) = self.pair()?;
        let (questions, at_most) = (self.asked(), self.count());
        Some(Party { name, group: group.to_owned(), questions, at_most, crowd: self.crowd.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(500_000 * 3600 + hour * 3600 + 60).unwrap()
    }

    fn wire(text: &str) -> Vec<u8> {
        text.parse::<Name>().unwrap().as_wire().to_vec()
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, 7));

    fn told(sketch: &mut Sketch, hour: i64) -> Vec<(String, String, u64)> {
        let day = sketch.day(at(hour), 0);
        day.parties.into_iter().map(|party| (party.name.to_string(), party.group, party.questions)).collect()
    }

    #[test]
    fn names_are_counted_by_group_and_forgotten_after_a_day() {
        let mut sketch = Sketch::new(100, Clients::Full);
        let name = wire("www.example");
        sketch.count(at(0), &name, "mobile", CLIENT, 3);
        sketch.count(at(0), &name, "default", CLIENT, 1);
        sketch.count(at(5), &name, "mobile", CLIENT, 4);
        let row = |group: &str, count| ("www.example".to_owned(), group.to_owned(), count);
        assert_eq!(told(&mut sketch, 23), [row("mobile", 7), row("default", 1)]);
        assert_eq!(told(&mut sketch, 24), [row("mobile", 4)]);
        assert_eq!(sketch.day(at(28), 0).questions, 4);
        let day = sketch.day(at(29), 0);
        assert!(day.parties.is_empty() && day.questions == 0 && day.since.is_none(), "{day:?}");
    }

    #[test]
    fn a_clock_that_was_set_back_loses_nothing() {
        let mut sketch = Sketch::new(100, Clients::Full);
        sketch.count(at(30), &wire("a.example"), "default", CLIENT, 1);
        sketch.count(at(2), &wire("a.example"), "default", CLIENT, 1);
        assert_eq!(told(&mut sketch, 2)[0].2, 2);
    }

    #[test]
    fn a_million_names_take_no_more_room_and_push_out_none_that_is_asked_often() {
        let mut sketch = Sketch::new(1000, Clients::Full);
        let often: Vec<Vec<u8>> = (0..50).map(|number| wire(&format!("often{number}.example"))).collect();
        for number in 0..1_000_000_u32 {
            let hour = i64::from(number / 50_000);
            let client = std::net::Ipv4Addr::from(number).into();
            sketch.count(at(hour), &wire(&format!("n{number}.flood.example")), "default", client, 1);
            if number % 10 == 0 {
                let name = &often[number as usize / 10 % often.len()];
                sketch.count(at(hour), name, "default", client, 1);
            }
        }
        assert_eq!((sketch.cells.len(), sketch.places.len(), sketch.least.len()), (1000, 1000, 1000));
        let day = sketch.day(at(19), 0);
        assert_eq!(day.questions, 1_100_000);
        let (first, rest) = day.parties.split_at(50);
        for party in first {
            assert!(party.name.to_string().starts_with("often"), "{party:?}");
            assert!(party.questions <= 2000 && party.at_most >= 2000, "{party:?}");
        }
        assert!(rest.iter().all(|party| party.questions < 10), "those asked once are known as such");
    }

    #[test]
    fn clients_are_counted_as_they_are_kept_in_bounded_room() {
        let beside = IpAddr::from([10, 20, 0, 8]);
        for (clients, known) in [
            (Clients::Full, vec![(CLIENT, 600), (beside, 400)]),
            (Clients::Prefix, vec![(IpAddr::from([10, 20, 0, 0]), 1000)]),
            (Clients::None, vec![]),
        ] {
            let mut sketch = Sketch::new(100, clients);
            sketch.count_client(at(0), CLIENT, 600);
            sketch.count_client(at(0), beside, 400);
            for number in 0..10_000_u32 {
                sketch.count_client(at(0), std::net::Ipv4Addr::from(0xC000_0000 + (number << 8)).into(), 1);
            }
            let mut askers = sketch.askers(at(0));
            askers.sort_by_key(|(_, questions)| Reverse(*questions));
            askers.truncate(known.len());
            assert_eq!(askers, known, "{clients:?}");
            assert!(sketch.cells.len() <= 100, "{clients:?}");
            assert!(sketch.askers(at(24)).is_empty());
        }
    }

    #[test]
    fn of_clients_only_what_may_be_kept_is_kept() {
        for (clients, kept) in [
            (Clients::Full, vec![CLIENT]),
            (Clients::Prefix, vec![IpAddr::from([10, 20, 0, 0])]),
            (Clients::None, vec![]),
        ] {
            let mut sketch = Sketch::new(10, clients);
            sketch.count(at(0), &wire("a.example"), "default", CLIENT, 1);
            let crowd = &sketch.day(at(0), 0).parties[0].crowd;
            assert_eq!((crowd.examples(), crowd.size()), (kept.clone(), kept.len() as u64), "{clients:?}");
            assert_eq!(*crowd == Crowd::default(), clients == Clients::None);
        }
    }
}
