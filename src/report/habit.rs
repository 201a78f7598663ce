//! Owns what is noted of one device and one app in a day: at which hours, for which of the names that the app asks by itself, and in which
//! rhythm; and the rule that tells an installed app from clicks. Bounded: one habit is 48 bytes. Never keeps a name or a time of day.

use serde::{Deserialize, Serialize};

/// A day of one device with one app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habit {
    /// Hours of the day in which it asked, the lowest bit midnight's.
    pub hours: u32,
    /// Which signs it asked for, by their numbers.
    pub kinds: u64,
    /// Queries for signs.
    pub asked: u64,
    /// Times it began to ask after a pause.
    pub wakes: u32,
    /// Pauses between those times, by their length: below 4 minutes, 8, 16, 32, 64, 128, 256, longer.
    pub gaps: [u8; GAPS],
}

/// When a device very likely has the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Days on which it asked as an app does.
    pub days: u32,
    /// Hours of such a day, one after the other, in each of which it asked.
    pub hours: u32,
    /// Different signs on such days.
    pub kinds: u32,
    /// Share, in percent, of the pauses that have one length or the next.
    pub regular: u32,
    /// Pauses that this is judged by.
    pub pauses: u32,
}

/// Lengths that pauses are told apart by.
pub(super) const GAPS: usize = 8;
/// Signs of an app that are told apart.
pub(super) const KINDS: usize = 64;
/// A pause that ends a burst of retries.
const PAUSE_MS: i64 = 120_000;

impl Habit {
    /// Notes a query at an hour, for a sign, so long after the device last began to ask; `None` for never. Returns true when it begins to ask.
    pub fn note(&mut self, hour: u8, kind: u8, since_ms: Option<i64>) -> bool {
        self.hours |= 1 << hour.min(23);
        self.kinds |= 1 << kind.min(63);
        self.asked += 1;
        // A clock that was set back begins anew.
        let pause = since_ms.filter(|since| *since >= 0);
        if pause.is_some_and(|pause| pause < PAUSE_MS) {
            return false;
        }
        self.wakes += 1;
        if let Some(count) = pause.and_then(|pause| self.gaps.get_mut(length_of(pause))) {
            *count = count.saturating_add(1);
        }
        true
    }

    /// Adds more of the same day.
    pub fn add(&mut self, more: &Self) {
        self.hours |= more.hours;
        self.kinds |= more.kinds;
        self.asked += more.asked;
        self.wakes += more.wakes;
        for (count, more) in self.gaps.iter_mut().zip(more.gaps) {
            *count = count.saturating_add(more);
        }
    }

    /// Pauses as one number, for the store.
    pub(super) fn packed_gaps(&self) -> i64 {
        i64::from_le_bytes(self.gaps)
    }

    /// The same back.
    pub(super) fn unpacked_gaps(packed: i64) -> [u8; GAPS] {
        packed.to_le_bytes()
    }
}

/// Which length a pause has.
fn length_of(pause_ms: i64) -> usize {
    let minutes = (pause_ms / 60_000).max(1);
    (minutes.ilog2().saturating_sub(1) as usize).min(GAPS - 1)
}

impl Default for Rule {
    /// Two days, as one day's is a visit to a page that was left open. Five hours on end of each, as an app that cannot reach its servers tries again all day, and
    /// people, even many behind one address, leave hours out. Two signs, as pages that embed the app ask for one at most. Three pauses of
    /// five of like length, where people's are of any: of pauses that come by chance fewer than half are.
    fn default() -> Self {
        Self { days: 2, hours: 5, kinds: 2, regular: 60, pauses: 6 }
    }
}

impl Rule {
    /// True when a day is one of an installed app, as far as a day can tell.
    pub fn is_day(&self, habit: &Habit) -> bool {
        in_a_row(habit.hours) >= self.hours && habit.kinds.count_ones() >= self.kinds
    }

    /// True when these days tell that the app is installed.
    pub fn holds(&self, days: &[Habit]) -> bool {
        let regular: Vec<&Habit> = days.iter().filter(|day| self.is_day(day)).collect();
        let (share, pauses) = regularity(regular.iter().copied());
        regular.len() >= self.days as usize && pauses >= self.pauses && share >= self.regular
    }
}

/// The longest run of hours, one after the other.
fn in_a_row(mut hours: u32) -> u32 {
    let mut run = 0;
    while hours != 0 {
        // Each turn takes one hour off every run.
        hours &= hours >> 1;
        run += 1;
    }
    run
}

/// The share of pauses, in percent, that have one length below two hours, the most common, or the one beside it; and how many pauses there are. Nights, and whatever
/// else is over four hours, are none: a device was away.
pub(super) fn regularity<'h>(days: impl Iterator<Item = &'h Habit>) -> (u32, u32) {
    let sums = sums(days);
    let all: u32 = sums.iter().take(GAPS - 1).sum();
    let best = sums
        .get(..GAPS - 2)
        .unwrap_or(&sums)
        .windows(2)
        .map(|pair| pair.iter().sum::<u32>())
        .max()
        .unwrap_or(0);
    ((best * 100).checked_div(all).unwrap_or(0), all)
}

/// The most common length of pauses: minutes from and up to, none at the end for the longest.
pub(super) fn usual_pause<'h>(days: impl Iterator<Item = &'h Habit>) -> Option<(u32, Option<u32>)> {
    let sums = sums(days);
    let (place, most) = sums.iter().enumerate().max_by_key(|(place, count)| (**count, GAPS - place))?;
    let upper = (place + 1 < GAPS).then(|| 4 << place);
    (*most > 0).then_some((2 << place, upper))
}

fn sums<'h>(days: impl Iterator<Item = &'h Habit>) -> [u32; GAPS] {
    let mut sums = [0u32; GAPS];
    for day in days {
        for (sum, count) in sums.iter_mut().zip(day.gaps) {
            *sum += u32::from(count);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day of asking at these minutes, for so many signs.
    fn day(minutes: &[i64], kinds: u8) -> Habit {
        let mut habit = Habit::default();
        let mut last = None;
        for (number, minute) in minutes.iter().enumerate() {
            let since = last.map(|last| (minute - last) * 60_000);
            if habit.note((minute / 60) as u8, number as u8 % kinds, since) {
                last = Some(*minute);
            }
        }
        habit
    }

    #[test]
    fn an_app_that_asks_all_day_is_told_from_clicks() {
        let rule = Rule::default();
        let app: Vec<i64> = (0..60).map(|turn| 480 + turn * 12).collect();
        assert!(rule.holds(&[day(&app, 3), day(&app, 3)]));
        assert!(!rule.holds(&[day(&app, 3)]), "one day");
        assert!(!rule.holds(&[day(&app, 1), day(&app, 1)]), "one sign");
        assert!(!rule.holds(&[day(&app[..10], 3), day(&app[..10], 3)]), "two hours");
        let clicks = [500, 505, 600, 614, 720, 723, 960, 1050, 1051];
        assert!(
            !rule.holds(&[day(&clicks, 2), day(&clicks, 2)]),
            "{:?}",
            regularity([&day(&clicks, 2)].into_iter())
        );
    }

    #[test]
    fn retries_are_one_burst_and_pauses_have_lengths() {
        let mut habit = Habit::default();
        assert!(habit.note(1, 0, None));
        assert!(!habit.note(1, 0, Some(1000)) && !habit.note(1, 1, Some(119_000)));
        assert!(habit.note(1, 0, Some(-5)), "the clock was set back");
        assert!(habit.note(1, 0, Some(120_000)) && habit.note(2, 0, Some(1_000_000)));
        assert!(habit.note(3, 0, Some(i64::MAX)));
        assert_eq!((habit.wakes, habit.asked, habit.hours), (5, 7, 0b1110));
        assert_eq!(habit.gaps, [1, 0, 0, 1, 0, 0, 0, 1].map(|count: u8| count));
        assert_eq!(Habit::unpacked_gaps(habit.packed_gaps()), habit.gaps);
        assert!(size_of::<Habit>() <= 48);
    }
}
