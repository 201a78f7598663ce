//! Owns the reading of wall and monotonic time: the only place that asks the machine what time it is.
//! Everything else is handed a [`Clock`] or a moment. Never knows what the time is used for.

use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

/// A source of time, cheap to clone. The system's clocks in production; a hand-moved one in tests.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

/// Nanoseconds of monotonic time since the clock was made. Never goes backwards, never jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

#[derive(Debug)]
enum Source {
    Manual { wall_ms: AtomicI64, elapsed_ns: AtomicU64, moved: Notify },
    System { started: Instant },
}

impl Clock {
    /// The machine's own clocks.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
    pub fn system() -> Self {
        Self(Arc::new(Source::System { started: Instant::now() }))
    }

    /// A clock that stands at `wall` until [`Clock::advance`] moves it.
    pub fn manual(wall: Timestamp) -> Self {
        Self(Arc::new(Source::Manual {
            wall_ms: AtomicI64::new(wall.as_millisecond()),
            elapsed_ns: AtomicU64::new(0),
            moved: Notify::new(),
        }))
    }

    /// Monotonic time, for lifetimes and latencies.
    #[inline]
    pub fn now(&self) -> Moment {
        match &*self.0 {
            Source::Manual { elapsed_ns, .. } => Moment(elapsed_ns.load(Ordering::Acquire)),
            Source::System { started } => Moment(started.elapsed().as_nanos() as u64),
        }
    }

    /// The machine's monotonic time, for libraries that want it as such.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Wall-clock time, for dates of law and for records. May jump when the machine's clock is set.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
    pub fn wall(&self) -> Timestamp {
        match &*self.0 {
            Source::Manual { wall_ms, .. } => {
                Timestamp::from_millisecond(wall_ms.load(Ordering::Acquire)).unwrap_or(Timestamp::UNIX_EPOCH)
            }
            Source::System { .. } => Timestamp::now(),
        }
    }

    /// Moves a manual clock forward; does nothing to the system's clocks.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { wall_ms, elapsed_ns, moved } = &*self.0 {
            wall_ms.fetch_add(by.as_millis() as i64, Ordering::AcqRel);
            elapsed_ns.fetch_add(by.as_nanos() as u64, Ordering::AcqRel);
            moved.notify_waiters();
        }
    }

    /// Sets a manual wall clock, as somebody sets a machine's; monotonic time goes on from where it was. Does nothing to
    /// the system's clocks.
    pub fn set(&self, wall: Timestamp) {
        if let Source::Manual { wall_ms, moved, .. } = &*self.0 {
            wall_ms.store(wall.as_millisecond(), Ordering::Release);
            moved.notify_waiters();
        }
    }

    /// Returns once the wall clock has reached `when`. Looks again at least every 20 s, so that a clock that is
    /// set, or a machine that slept, is noticed within that time.
    pub async fn reached(&self, when: Timestamp) {
        const LOOK_AGAIN: Duration = Duration::from_secs(20);
        loop {
            let wait = match &*self.0 {
                Source::Manual { moved, .. } => {
                    let notified = moved.notified();
                    if self.wall() >= when {
                        return;
                    }
                    notified.await;
                    continue;
                }
                Source::System { .. } => when.duration_since(self.wall()),
            };
            if wait.is_zero() || wait.is_negative() {
                return;
            }
            tokio::time::sleep(wait.unsigned_abs().min(LOOK_AGAIN)).await;
        }
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The moment `by` later.
    #[inline]
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_nanos() as u64))
    }
}

impl Clock {
    /// Returns once monotonic time has reached `when`. Setting the wall clock does not touch it.
    pub async fn passed(&self, when: Moment) {
        loop {
            match &*self.0 {
                Source::Manual { moved, .. } => {
                    let notified = moved.notified();
                    if self.now() >= when {
                        return;
                    }
                    notified.await;
                }
                Source::System { .. } => {
                    let wait = when.since(self.now());
                    if wait.is_zero() {
                        return;
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

impl Moment {
    /// The moment at which a clock was made.
    pub const START: Self = Self(0);

    /// The moment `wait` later.
    #[inline]
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Whole seconds since the clock was made.
    #[inline]
    pub fn seconds(self) -> u32 {
        (self.0 / 1_000_000_000) as u32
    }

    /// Nanoseconds since the clock was made.
    #[inline]
    pub fn nanoseconds(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    #[inline]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_both_times_together() {
        let clock = Clock::manual("2023-10-30T03:59:00Z".parse().unwrap());
        let before = clock.now();
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now().since(before), Duration::from_secs(60));
        assert_eq!(clock.wall().to_string(), "2023-10-30T04:00:00Z");
    }

    #[tokio::test]
    async fn reached_wakes_when_a_manual_clock_passes_the_moment() {
        let clock = Clock::manual("2023-10-30T03:59:00Z".parse().unwrap());
        let waiter = tokio::spawn({
            let clock = clock.clone();
            async move { clock.reached("2023-10-30T04:00:00Z".parse().unwrap()).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        clock.advance(Duration::from_secs(61));
        waiter.await.unwrap();
    }

    #[tokio::test]
    async fn a_set_wall_clock_neither_hastens_nor_delays_what_waits_for_time_to_pass() {
        let clock = Clock::manual("2023-10-30T03:59:00Z".parse().unwrap());
        let due = clock.now().plus(Duration::from_secs(60));
        let waiter = tokio::spawn({
            let clock = clock.clone();
            async move { clock.passed(due).await }
        });
        tokio::task::yield_now().await;
        for wall in ["2033-10-30T00:00:00Z", "2013-10-30T00:00:00Z"] {
            clock.set(wall.parse().unwrap());
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished());
        }
        clock.advance(Duration::from_secs(60));
        waiter.await.unwrap();
    }
}
