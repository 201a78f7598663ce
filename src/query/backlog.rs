//! Owns the choice to drop, for a moment, what must be fetched, so that what need not be is answered. Never looks at a
//! query.

use std::time::Duration;

use crate::clock::Moment;

/// How long queries may stand in line before a thread. A burst of some 2,500 misses is worked off within that time; what
/// stands longer will not go away by itself, and would next push hits and blocks out of the socket together with the
/// rest. Meanwhile a hit waits about that long.
const STANDING: Duration = Duration::from_millis(10);

/// Whether one thread keeps up with its socket.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Since when every batch was full.
    since: Option<Moment>,
}

impl Backlog {
    /// Notes whether the batch that begins `now` was full, so that more may be waiting behind it.
    pub(super) fn note(&mut self, full: bool, now: Moment) {
        self.since = if full { self.since.or(Some(now)) } else { None };
    }

    /// True when the line has stood for too long. It ends with the first batch that is not full.
    #[inline]
    pub(super) fn is_standing(&self, now: Moment) -> bool {
        self.since.is_some_and(|since| now.since(since) >= STANDING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_worked_off_and_a_standing_line_is_cut() {
        let mut backlog = Backlog::default();
        let at = |milliseconds| Moment::START + Duration::from_millis(milliseconds);
        for moment in 0..10 {
            backlog.note(true, at(moment));
            assert!(!backlog.is_standing(at(moment)), "a burst, after {moment} ms");
        }
        backlog.note(true, at(10));
        assert!(backlog.is_standing(at(10)));
        backlog.note(false, at(11));
        assert!(!backlog.is_standing(at(11)), "the line is gone");
        backlog.note(true, at(12));
        assert!(!backlog.is_standing(at(20)), "the next one has its time too");
    }
}
