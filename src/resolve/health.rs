//! Owns what is known of one upstream: its speed, its failures, its numbers for the scrape page. Lock-free, as every
//! miss reads it. Never sends anything.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::hedge::Lateness;
use super::upstream::Upstream;
use crate::clock::{Clock, Moment};

/// One upstream and what is known of it.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) upstream: Upstream,
    /// Smoothed time of answers in microseconds; 0 while nothing is known.
    smoothed: AtomicU32,
    /// Failures since the last success.
    failures: AtomicU32,
    /// When it may next be tried although it is down, in nanoseconds of the clock.
    retry_at: AtomicU64,
    /// Until when it is asked without EDNS, in nanoseconds of the clock.
    plain_until: AtomicU64,
    /// Until when the letters of names are not mixed, in nanoseconds of the clock.
    folded_until: AtomicU64,
    pub(super) lateness: Lateness,
    pub(super) counts: Counts,
}

/// Numbers for the scrape page.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) queries: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) tcp: AtomicU64,
    pub(super) nanoseconds: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) network: AtomicU64,
    pub(super) mismatches: AtomicU64,
    pub(super) servfail: AtomicU64,
    /// Its questions that another was asked too as it was late, by which of them answered; and those that none was asked for want of allowance.
    pub(super) hedges_won: AtomicU64,
    pub(super) hedges_lost: AtomicU64,
    pub(super) hedges_withheld: AtomicU64,
}

/// Failures in a row after which an upstream counts as down: one lost datagram is nothing, three are an outage.
const DOWN_AFTER: u32 = 3;
/// How long a server that is down is left alone: one query in that time bears the risk.
const BACK_OFF: Duration = Duration::from_secs(2);
/// How long a server that refused EDNS is asked without it.
const PLAIN: Duration = Duration::from_secs(300);
/// How long a server that does not keep the case of names is asked in small letters: one question in that time is asked twice.
const FOLDED: Duration = Duration::from_secs(3600);
/// Never give a server less time than this for an answer: a cold name takes its own resolver several round trips.
const SHORTEST: Duration = Duration::from_millis(400);

impl Health {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            smoothed: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            retry_at: AtomicU64::new(0),
            plain_until: AtomicU64::new(0),
            folded_until: AtomicU64::new(0),
            lateness: Lateness::default(),
            counts: Counts::default(),
        }
    }

    /// Smoothed time of answers in microseconds.
    pub(super) fn speed(&self) -> u32 {
        self.smoothed.load(Ordering::Relaxed)
    }

    pub(super) fn is_down(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= DOWN_AFTER
    }

    /// True for the one caller in each back-off that may try a server that is down.
    pub(super) fn claim_probe(&self, now: Moment) -> bool {
        let due = self.retry_at.load(Ordering::Relaxed);
        let next = now.nanoseconds() + BACK_OFF.as_nanos() as u64;
        now.nanoseconds() >= due
            && self.retry_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// How long to wait for it, at most `longest`. One of which nothing is known yet is given all of that, unless `others` are there to be
    /// asked: should it be dead, nobody waits for long; should it be slow, its answer is taken all the same.
    pub(super) fn patience(&self, longest: Duration, others: bool) -> Duration {
        match self.speed() {
            0 if others => SHORTEST.min(longest),
            0 => longest,
            speed => Duration::from_micros(u64::from(speed) * 8).clamp(SHORTEST.min(longest), longest),
        }
    }

    pub(super) fn succeeded(&self, took: Duration) {
        self.lateness.note(took);
        let took = took.as_micros().clamp(1, u128::from(u32::MAX)) as u32;
        let smoothed = match self.speed() {
            0 => took,
            old => (u64::from(old) * 7 / 8 + u64::from(took) / 8).max(1) as u32,
        };
        self.smoothed.store(smoothed, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.counts.answers.fetch_add(1, Ordering::Relaxed);
        self.counts.nanoseconds.fetch_add(u64::from(took) * 1000, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, now: Moment) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 == DOWN_AFTER {
            self.retry_at.store(now.nanoseconds() + BACK_OFF.as_nanos() as u64, Ordering::Relaxed);
            tracing::warn!(upstream = %self.upstream, "upstream does not answer; asking it last");
        }
    }

    /// Whether to ask with EDNS.
    pub(super) fn takes_edns(&self, clock: &Clock) -> bool {
        is_over(&self.plain_until, clock)
    }

    /// Whether it is thought to answer with a name as it was asked.
    pub(super) fn keeps_case(&self, clock: &Clock) -> bool {
        is_over(&self.folded_until, clock)
    }

    pub(super) fn folded_case(&self, now: Moment) {
        tracing::debug!(upstream = %self.upstream, "answers with other letters than were asked");
        self.folded_until.store(now.nanoseconds() + FOLDED.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(super) fn refused_edns(&self, now: Moment) {
        self.plain_until.store(now.nanoseconds() + PLAIN.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// True when `until` has passed; nearly always there was nothing to wait for, and the clock is not read.
fn is_over(until: &AtomicU64, clock: &Clock) -> bool {
    let until = until.load(Ordering::Relaxed);
    until == 0 || clock.now().nanoseconds() >= until
}
