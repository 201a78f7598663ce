//! Owns the form in which the summary of the last day, and what was rehearsed, outlive a restart. What clients another setting
//! let it keep is not taken up again. Never opens a file.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::crowd::{Crowd, REGISTERS, Register};
use super::sketch::{Cell, HOURS, Sketch};
use crate::dns::Name;
use crate::telemetry::querylog::Clients;
use crate::telemetry::rehearsal::{Rehearsal, Row};

/// Everything that is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    clients: String,
    since: Option<Timestamp>,
    hour: u32,
    totals: Vec<u64>,
    names: Vec<KeptCell>,
    #[serde(default)]
    askers: Vec<KeptCell>,
    rehearsed_since: Option<Timestamp>,
    rehearsed: Vec<Row>,
}

/// One name of one group; what is empty is left out.
#[derive(Serialize, Deserialize)]
struct KeptCell {
    name: String,
    group: String,
    /// Place in the day, and questions.
    hours: Vec<(u8, u32)>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    carried: (u64, u32),
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    few: Vec<(IpAddr, u32)>,
    /// Place, rank and hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    many: Vec<(u8, u8, u8)>,
}

const VERSION: u32 = 1;

fn is_nothing(carried: &(u64, u32)) -> bool {
    carried.0 == 0
}

impl Kept {
    /// As it stands.
    pub(super) fn of(sketch: &Sketch, askers: &Sketch, rehearsal: &Rehearsal) -> Self {
        Self {
            version: VERSION,
            clients: sketch.clients.as_str().to_owned(),
            since: sketch.since,
            hour: sketch.hour,
            totals: sketch.totals.to_vec(),
            names: sketch.cells.iter().filter_map(KeptCell::of).collect(),
            askers: askers.cells.iter().filter_map(KeptCell::of).collect(),
            rehearsed_since: rehearsal.since(),
            rehearsed: rehearsal.rows().cloned().collect(),
        }
    }

    /// Reads what was kept; `None` when it is of another version, or none of ours.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|kept: &Self| kept.version == VERSION)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Goes on where it stood.
    pub(super) fn restore(
        self,
        sketch: &mut Sketch,
        askers: &mut Sketch,
        most: usize,
        rehearsal: &mut Rehearsal,
    ) {
        rehearsal.restore(self.rehearsed_since, self.rehearsed);
        if most == 0 {
            return;
        }
        (sketch.since, sketch.hour) = (self.since, self.hour);
        for (total, kept) in sketch.totals.iter_mut().zip(self.totals) {
            *total = kept;
        }
        let same = self.clients.parse() == Ok(sketch.clients) && sketch.clients != Clients::None;
        for kept in self.names.into_iter().take(most) {
            sketch.insert_kept(kept, same);
        }
        // What is counted there are clients.
        if same {
            (askers.since, askers.hour) = (self.since, self.hour);
            let room = askers.room();
            self.askers.into_iter().take(room).for_each(|kept| askers.insert_kept(kept, true));
        }
    }
}

impl Sketch {
    fn insert_kept(&mut self, kept: KeptCell, with_clients: bool) {
        let Ok(name) = kept.name.parse::<Name>() else { return };
        let key = [name.as_wire(), kept.group.as_bytes()].concat();
        let mut cell = Cell { carried: kept.carried, ..Cell::new(key.into()) };
        for (slot, count) in kept.hours {
            if let Some(hour) = cell.hours.get_mut(usize::from(slot)) {
                *hour = count;
            }
        }
        if with_clients {
            cell.crowd = crowd(kept.few, &kept.many);
        }
        self.insert(cell);
    }
}

impl KeptCell {
    fn of(cell: &Cell) -> Option<Self> {
        let (name, group) = cell.pair()?;
        let hours = (0..HOURS as u8).zip(cell.hours).filter(|(_, count)| *count > 0).collect();
        let many = cell.crowd.registers.iter().flat_map(|registers| {
            (0..REGISTERS as u8).zip(registers.iter()).filter(|(_, register)| register.rank > 0)
        });
        Some(Self {
            name: name.to_string(),
            group: group.to_owned(),
            hours,
            carried: cell.carried,
            few: cell.crowd.few.clone(),
            many: many.map(|(place, register)| (place, register.rank, register.hour)).collect(),
        })
    }
}

fn crowd(few: Vec<(IpAddr, u32)>, many: &[(u8, u8, u8)]) -> Crowd {
    let registers = (!many.is_empty()).then(|| {
        let mut registers = Box::new([Register::default(); REGISTERS]);
        for (place, rank, hour) in many {
            if let Some(register) = registers.get_mut(usize::from(*place)) {
                *register = Register { rank: *rank, hour: *hour };
            }
        }
        registers
    });
    Crowd { few: few.into_iter().take(super::crowd::FEW).collect(), registers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(clients: Clients) -> Sketch {
        let mut sketch = Sketch::new(3, clients);
        let now = "2026-11-20T10:00:00Z".parse().unwrap();
        for (name, asked) in [("a.example", 50), ("b\\046c.example", 2), ("d.example", 3), ("e.example", 1)] {
            let name: Name = name.parse().unwrap();
            for client in 0..asked {
                let client = std::net::Ipv4Addr::from(0x0A00_0000 + client).into();
                sketch.count(now, name.as_wire(), "mobile", client, 1);
            }
        }
        sketch
    }

    fn restored(bytes: &[u8], most: usize, clients: Clients) -> Sketch {
        both(bytes, most, clients).0
    }

    fn both(bytes: &[u8], most: usize, clients: Clients) -> (Sketch, Sketch) {
        let (mut after, mut askers) = (Sketch::new(most, clients), Sketch::new(most, clients));
        Kept::read(bytes).unwrap().restore(&mut after, &mut askers, most, &mut Rehearsal::default());
        (after, askers)
    }

    fn asking(clients: Clients) -> Sketch {
        let mut askers = Sketch::new(3, clients);
        for (client, questions) in [(1, 5), (2, 7), (3, 1), (4, 2)] {
            let now = "2026-11-20T10:00:00Z".parse().unwrap();
            askers.count_client(now, std::net::Ipv4Addr::from(0x0A00_0000 + client).into(), questions);
        }
        askers
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let now = "2026-11-20T11:00:00Z".parse().unwrap();
        let mut before = sketch(Clients::Full);
        let bytes = Kept::of(&before, &asking(Clients::Full), &Rehearsal::default()).to_bytes();
        let mut after = restored(&bytes, 3, Clients::Full);
        let (one, other) = (before.day(now, 0), after.day(now, 0));
        assert_eq!((one.questions, one.since, &one.parties), (other.questions, other.since, &other.parties));
        assert_eq!((one.questions, one.parties.len()), (56, 3));
        assert_eq!(restored(&bytes, 2, Clients::Full).cells.len(), 2, "a smaller one takes what fits");
        assert_eq!(both(&bytes, 2, Clients::Full).1.cells.len(), 2);
        assert_eq!(both(&bytes, 3, Clients::Full).1.askers(now), asking(Clients::Full).askers(now));
        assert!(Kept::read(b"{\"version\":2}").is_none() && Kept::read(b"").is_none());
    }

    #[test]
    fn clients_do_not_come_back_under_another_setting() {
        let bytes =
            Kept::of(&sketch(Clients::Full), &asking(Clients::Full), &Rehearsal::default()).to_bytes();
        assert!(String::from_utf8(bytes.clone()).unwrap().contains("10.0.0.1"));
        for clients in [Clients::Prefix, Clients::None] {
            let after = restored(&bytes, 3, clients);
            assert!(after.cells.iter().all(|cell| cell.crowd == Crowd::default()), "{clients:?}");
            let askers = both(&bytes, 3, clients).1;
            assert!(askers.cells.is_empty(), "{clients:?}");
            let again = Kept::of(&after, &askers, &Rehearsal::default()).to_bytes();
            assert!(!String::from_utf8(again).unwrap().contains("10.0.0."), "{clients:?}");
        }
    }
}
