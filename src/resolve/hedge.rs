//! Owns when a question is asked of a second upstream because the first is late by its own measure: how late that is, how often it may be
//! done, and which questions are under way that may come to it. Never chooses an upstream, and never sends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::question::Question;
use crate::clock::Moment;
use crate::net::{Alarm, Poll};

/// What one upstream's answers take, and how many of its questions may still be asked of another. Each is a number that threads store into
/// without waiting: an update that gets lost is one sample, or a tenth of a question.
#[derive(Debug)]
pub(super) struct Lateness {
    /// The time within which [`ON_TIME`] of [`ON_TIME`] + 1 answers come, in nanoseconds; 0 while nothing is known.
    usual: AtomicU64,
    /// Answers so far, up to where that no longer matters.
    seen: AtomicU32,
    /// In questions: [`PRICE`] buy one more.
    allowance: AtomicU32,
}

/// Answers on time for each that is late: 15 of 16, just below the 95th percentile, so that an upstream that is late once in twenty times is
/// not given the time of its late answers.
const ON_TIME: u64 = 15;
/// By how much one answer moves what is usual: little once much is known, more before that.
const GAIN: (u64, u64) = (16, 256);
/// Questions for each that is asked twice. One in sixteen is late when all is well; where many more are, the network is slow or an outage
/// has begun, and twice the questions would not help it.
const PRICE: u32 = 10;
/// Questions asked twice in a row, after a while without.
const BURST: u32 = 10;
/// Nobody notices less, and a thread that had to wait for a processor is no slow network.
const SHORTEST: Duration = Duration::from_millis(10);

impl Default for Lateness {
    fn default() -> Self {
        Self { usual: AtomicU64::new(0), seen: AtomicU32::new(0), allowance: AtomicU32::new(BURST * PRICE) }
    }
}

impl Lateness {
    /// Notes what an answer took, with a quantile that follows the stream (a step up for each that took longer, a fifteenth of that down for
    /// each that did not, both in proportion to where it stands).
    pub(super) fn note(&self, took: Duration) {
        let took = took.as_nanos() as u64;
        let seen = self.seen.load(Ordering::Relaxed);
        let gain = (GAIN.0 + u64::from(seen)).min(GAIN.1);
        let usual = match self.usual.load(Ordering::Relaxed) {
            // Of one answer it is only known that most are not much slower.
            0 => took.saturating_mul(3),
            usual if took > usual => usual + usual / gain * ON_TIME,
            usual => usual - usual / gain,
        };
        self.usual.store(usual.clamp(LEAST, MOST), Ordering::Relaxed);
        if gain < GAIN.1 {
            self.seen.store(seen + 1, Ordering::Relaxed);
        }
    }

    /// After how long an answer is late; `None` while nothing is known.
    pub(super) fn late_after(&self) -> Option<Duration> {
        match self.usual.load(Ordering::Relaxed) {
            0 => None,
            usual => Some(Duration::from_nanos(usual).max(SHORTEST)),
        }
    }

    /// Notes a question that is asked once.
    pub(super) fn earn(&self) {
        if self.allowance.load(Ordering::Relaxed) < BURST * PRICE {
            self.allowance.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// True when one may be asked twice.
    pub(super) fn spend(&self) -> bool {
        let spent = |allowance: u32| allowance.checked_sub(PRICE);
        self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_ok()
    }
}

/// Between these an upstream's usual time stands, in nanoseconds: no proportion of zero would ever move it.
const LEAST: u64 = 10_000;
const MOST: u64 = 10_000_000_000;

// --- Watch ---

/// Questions under way that may come to be asked twice, and the alarm for the next.
#[derive(Debug)]
pub(super) struct Watch {
    alarm: Alarm,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    late: BinaryHeap<Reverse<Late>>,
    /// When the alarm goes off.
    alarmed: Option<Moment>,
}

/// A question whose answer is late at a moment. It is not kept: nearly all are answered by then.
#[derive(Debug)]
pub(super) struct Late {
    at: Moment,
    pub(super) question: Weak<Question>,
    /// The try that is late, and the server that was asked.
    pub(super) number: u8,
    pub(super) server: u16,
}

/// Questions watched; those beyond are asked once. A second's worth for a host as fast as this product makes it.
const WATCHED: usize = 1 << 16;
/// What is due within this time of an alarm is seen to with it: a thousand alarms a second at most.
const TOGETHER: Duration = Duration::from_millis(1);

impl Watch {
    /// Nothing watched. Alarms come through `poll`, as `token`.
    pub(super) fn new(poll: &Poll, token: u64) -> io::Result<Self> {
        let alarm = Alarm::new()?;
        poll.add(&alarm, token)?;
        Ok(Self { alarm, watched: Mutex::default() })
    }

    /// Watches a question that is asked of `server` at `now`, and is late after `wait`.
    pub(super) fn add(&self, question: &Arc<Question>, number: u8, server: u16, now: Moment, wait: Duration) {
        let late = Late { at: now + wait, question: Arc::downgrade(question), number, server };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.late.len() >= WATCHED {
            return;
        }
        if watched.alarmed.is_none_or(|alarmed| late.at < alarmed) {
            self.set(&mut watched, Some(late.at), now);
        }
        watched.late.push(Reverse(late));
    }

    /// What is late at `now`, and no longer watched.
    pub(super) fn late(&self, now: Moment) -> Vec<Late> {
        let until = now + TOGETHER;
        let mut late = Vec::new();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        while watched.late.peek().is_some_and(|Reverse(next)| next.at <= until) {
            late.extend(watched.late.pop().map(|Reverse(next)| next));
        }
        let next = watched.late.peek().map(|Reverse(next)| next.at);
        self.set(&mut watched, next, now);
        late
    }

    fn set(&self, watched: &mut Watched, at: Option<Moment>, now: Moment) {
        watched.alarmed = at;
        if let Err(error) = self.alarm.set(at.map(|at| at.since(now))) {
            // Asked twice is what a question need not be.
            tracing::debug!(%error, "no alarm for what is late");
            watched.alarmed = None;
        }
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(lateness: &Lateness, times: usize, of: impl Fn(u32) -> u64) {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..times {
            lateness.note(Duration::from_micros(of(random.u32(..1000))));
        }
    }

    #[test]
    fn the_usual_time_follows_the_stream() {
        let lateness = Lateness::default();
        assert_eq!(lateness.late_after(), None);
        // Evenly from 20 to 120 ms: 15 of 16 take less than 114.
        noted(&lateness, 5000, |at| 20_000 + u64::from(at) * 100);
        let after = lateness.late_after().unwrap().as_millis();
        assert!((95..135).contains(&after), "{after} ms");
        // Ten times as slow all at once: learnt within some dozens of answers.
        noted(&lateness, 100, |at| 200_000 + u64::from(at) * 1000);
        let after = lateness.late_after().unwrap().as_millis();
        assert!((500..2500).contains(&after), "{after} ms");
        // And as before.
        noted(&lateness, 5000, |at| 20_000 + u64::from(at) * 100);
        let after = lateness.late_after().unwrap().as_millis();
        assert!((95..135).contains(&after), "{after} ms");
    }

    #[test]
    fn one_late_answer_in_twenty_is_not_usual() {
        let lateness = Lateness::default();
        noted(&lateness, 5000, |at| if at < 50 { 300_000 } else { 1_000 });
        let after = lateness.late_after().unwrap();
        assert_eq!(after, SHORTEST);
    }

    #[test]
    fn one_question_in_ten_may_be_asked_twice_after_a_burst() {
        let lateness = Lateness::default();
        let twice = |questions: u32| {
            (0..questions)
                .filter(|_| {
                    lateness.earn();
                    lateness.spend()
                })
                .count()
        };
        assert_eq!(twice(1000), 10 + 100 - 1, "the first questions find the purse full");
        assert_eq!(twice(1000), 100);
    }
}
