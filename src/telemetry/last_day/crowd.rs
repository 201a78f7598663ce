//! Owns how many different clients asked something, in bounded memory: a few of them as they are kept, and beyond those an
//! estimate (HyperLogLog, Flajolet et al. 2007) that forgets after a day. Never sees more of a client than may be kept.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use super::sketch::HOURS;

/// Different clients of the last day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// The first of them, and the hour each was last met in.
    pub(super) few: Vec<(IpAddr, u32)>,
    /// All of them, once there are more.
    pub(super) registers: Option<Box<[Register; REGISTERS]>>,
}

/// The rarest hash met in one part of all, and the last hour it was met in, counted modulo 256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) rank: u8,
    pub(super) hour: u8,
}

/// Clients kept one by one: as many as a report shows of a name.
pub(super) const FEW: usize = 8;
/// A standard error of 13 % at 128 bytes.
pub(super) const REGISTERS: usize = 64;

impl Crowd {
    /// Counts a client met in `hour`, in hours since 1970.
    pub(super) fn meet(&mut self, client: IpAddr, hour: u32) {
        if let Some((_, last)) = self.few.iter_mut().find(|(known, _)| *known == client) {
            *last = hour;
        } else if self.few.len() < FEW {
            self.few.push((client, hour));
        } else {
            self.spread();
        }
        if let Some(registers) = &mut self.registers {
            note(registers, client, hour);
        }
    }

    /// Forgets who was not met in the day that ends with `hour`.
    pub(super) fn forget(&mut self, hour: u32) {
        self.few.retain(|(_, last)| hour.saturating_sub(*last) < HOURS as u32);
        for register in self.registers.iter_mut().flat_map(|registers| registers.iter_mut()) {
            if (hour as u8).wrapping_sub(register.hour) >= HOURS as u8 {
                *register = Register::default();
            }
        }
    }

    /// Counts another crowd's clients too; who is in both counts once.
    pub fn join(&mut self, other: &Self) {
        if let Some(theirs) = &other.registers {
            self.spread();
            let ours = self.registers.iter_mut().flat_map(|registers| registers.iter_mut());
            for (ours, theirs) in ours.zip(theirs.iter()) {
                if theirs.rank > ours.rank {
                    *ours = *theirs;
                }
            }
        }
        other.few.iter().for_each(|(client, hour)| self.meet(*client, *hour));
    }

    /// Those of the few for whom `holds`; of the others nothing is known one by one.
    pub fn only(&self, holds: impl Fn(IpAddr) -> bool) -> Self {
        Self { few: self.few.iter().filter(|(client, _)| holds(*client)).copied().collect(), registers: None }
    }

    /// Some of them, in the order of their addresses.
    pub fn examples(&self) -> Vec<IpAddr> {
        let mut examples: Vec<IpAddr> = self.few.iter().map(|(client, _)| *client).collect();
        examples.sort_unstable();
        examples
    }

    /// How many there are: exactly while there are few, then about.
    pub fn size(&self) -> u64 {
        let few = self.few.len() as u64;
        let Some(registers) = &self.registers else { return few };
        let count = REGISTERS as f64;
        let empty = registers.iter().filter(|register| register.rank == 0).count() as f64;
        let harmonic: f64 = registers.iter().map(|register| 0.5_f64.powi(i32::from(register.rank))).sum();
        let raw = 0.709 * count * count / harmonic;
        let estimate = if raw <= 2.5 * count && empty > 0.0 { count * (count / empty).ln() } else { raw };
        (estimate.round() as u64).max(few)
    }

    /// Goes over to estimating.
    fn spread(&mut self) {
        if self.registers.is_some() {
            return;
        }
        let mut registers = Box::new([Register::default(); REGISTERS]);
        self.few.iter().for_each(|(client, hour)| note(&mut registers, *client, *hour));
        self.registers = Some(registers);
    }
}

fn note(registers: &mut [Register; REGISTERS], client: IpAddr, hour: u32) {
    let mut hasher = DefaultHasher::new();
    client.hash(&mut hasher);
    let hash = hasher.finish();
    let rank = ((hash >> 6) | 1 << 58).trailing_zeros() as u8 + 1;
    if let Some(register) = registers.get_mut(hash as usize % REGISTERS)
        && rank >= register.rank
    {
        *register = Register { rank, hour: hour as u8 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0A00_0000 + number).into()
    }

    fn crowd(numbers: std::ops::Range<u32>, hour: u32) -> Crowd {
        let mut crowd = Crowd::default();
        numbers.for_each(|number| crowd.meet(client(number), hour));
        crowd
    }

    #[test]
    fn few_are_told_exactly_and_many_about() {
        for size in [0, 1, 8] {
            assert_eq!(crowd(0..size, 9).size(), u64::from(size));
        }
        for size in [9, 40, 300, 5000, 100_000] {
            let told = crowd(0..size, 9).size() as f64 / f64::from(size);
            assert!((0.6..1.4).contains(&told), "{size}: {told}");
        }
    }

    #[test]
    fn who_asked_in_two_places_counts_once() {
        let mut both = crowd(0..6, 9);
        both.join(&crowd(3..8, 9));
        assert_eq!((both.size(), both.examples().len()), (8, 8));
        let mut many = crowd(0..3000, 9);
        many.join(&crowd(0..3000, 9));
        assert_eq!(many, crowd(0..3000, 9));
        both.join(&many);
        assert_eq!(both.size(), many.size());
    }

    #[test]
    fn who_was_not_met_for_a_day_is_forgotten() {
        let mut few = crowd(0..4, 100);
        few.meet(client(2), 110);
        few.forget(123);
        assert_eq!(few.size(), 4);
        few.forget(124);
        assert_eq!(few.examples(), [client(2)]);
        let mut many = crowd(0..3000, 250);
        many.forget(250 + 23);
        assert!(many.size() > 1500, "{}", many.size());
        many.forget(250 + 24);
        assert_eq!(many.size(), 0);
    }
}
