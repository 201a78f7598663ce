//! Owns how much may wait in a UDP socket: usually what a pause of its thread may bring, and little while more comes than can be handled whoever is cut, so
//! that what is answered is answered soon. Never drops anything itself.

use std::time::Duration;

use crate::clock::Moment;
use crate::query::Backlog;

/// How one socket's room stands.
#[derive(Debug, Default)]
pub(super) struct Room {
    is_narrow: bool,
    /// When nothing waited last, or when it was looked at first.
    emptied: Option<Moment>,
    /// When the next queries might have found no room.
    crowded: Option<Moment>,
}

/// So long something waits throughout before there is less room: a flood that one client makes is over sooner, as that is cut, and so is any burst.
const LONG: Duration = Duration::from_millis(250);
/// So long it is never crowded before there is more again: nobody notices narrow room, and a flood comes back.
const CALM: Duration = Duration::from_secs(5);

impl Room {
    /// Notes what waits. Says whether the room is to be narrow when that changes.
    #[inline]
    pub(super) fn note(&mut self, backlog: Backlog, now: Moment) -> Option<bool> {
        match backlog {
            Backlog::Empty => self.emptied = Some(now),
            Backlog::Full => self.crowded = Some(now),
            Backlog::Some => {}
        }
        let emptied = *self.emptied.get_or_insert(now);
        let is_narrow = match self.is_narrow {
            false => backlog == Backlog::Full && now.since(emptied) >= LONG,
            true => self.crowded.is_some_and(|crowded| now.since(crowded) < CALM),
        };
        let is_changed = is_narrow != self.is_narrow;
        self.is_narrow = is_narrow;
        is_changed.then_some(is_narrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_gets_narrow_when_nothing_helps_and_wide_again_when_all_is_over() {
        let mut now = Moment::START;
        let mut room = Room::default();
        let mut after = |ms, backlog| {
            now = now + Duration::from_millis(ms);
            room.note(backlog, now)
        };
        for _ in 0..100 {
            assert_eq!(after(20, Backlog::Full), None, "a flood that is mastered");
            assert_eq!(after(20, Backlog::Empty), None);
        }
        assert_eq!(after(200, Backlog::Some), None);
        assert_eq!(after(49, Backlog::Full), None);
        assert_eq!(after(1, Backlog::Full), Some(true));
        for _ in 0..100 {
            assert_eq!(after(4000, Backlog::Full), None, "once");
            assert_eq!(after(900, Backlog::Empty), None);
        }
        assert_eq!(after(4100, Backlog::Some), Some(false));
        assert_eq!(after(1, Backlog::Empty), None);
    }
}
