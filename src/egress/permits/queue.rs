//! Owns the replies that wait for the kernel: those that nobody saw to yet, and those of the transaction that is under way. Bounded, and each waits
//! for a bounded time. Never talks to the kernel.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pairs::Pair;
use super::permits::Lacking;
use crate::clock::Moment;
use crate::egress::config::Without;

/// Sends a reply.
pub type Release = Box<dyn FnOnce(&[u8]) + Send>;

/// A reply that waits until its client may reach what it leads to.
pub struct Held {
    /// The reply.
    pub reply: Box<[u8]>,
    /// What goes out instead when its client cannot be let; empty when the reply goes out whatever comes of it.
    pub refusal: Box<[u8]>,
    /// Since when it waits.
    pub since: Moment,
    /// Sends it.
    pub send: Release,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: Mutex<Lines>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<(Lacking, Held)>,
    /// Those of the transaction that is under way; `None` for one that waited too long.
    under_way: Vec<Option<Held>>,
    /// Whether nobody will see to them any more.
    is_closed: bool,
}

/// Replies that may wait: more than a thousand transactions' worth would be answered too late anyway.
const MOST: usize = 65_536;

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Held {
    /// Sends the reply.
    pub(super) fn go(self) {
        (self.send)(&self.reply);
    }

    /// Sends what goes out when nothing could be permitted.
    pub(super) fn without(self, permission: Without) {
        let open = permission == Without::Open || self.refusal.is_empty();
        (self.send)(if open { &self.reply } else { &self.refusal });
    }
}

impl Queue {
    /// Puts one at the end; gives it back when there is no room.
    pub(super) fn push(&self, lacking: Lacking, held: Held) -> Result<(), Held> {
        let mut lines = self.lines();
        if lines.is_closed {
            drop(lines);
            held.go();
            return Ok(());
        }
        if lines.waiting.len() >= MOST {
            return Err(held);
        }
        let was_empty = lines.waiting.is_empty();
        lines.waiting.push_back((lacking, held));
        drop(lines);
        if was_empty {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Takes those that lack at most `pairs` pairs together, and at least one, into the transaction; waits for the first for at most `longest`.
    pub(super) fn begin(&self, pairs: usize, longest: Duration) -> Vec<Vec<(Pair, u32)>> {
        let mut lines = self.lines();
        if lines.waiting.is_empty() {
            lines = self
                .bell
                .wait_timeout(lines, longest)
                .map_or_else(|error| error.into_inner().0, |(lines, _)| lines);
        }
        let (mut taken, mut sum) = (Vec::new(), 0);
        while let Some((lacking, _)) = lines.waiting.front() {
            sum += lacking.0.len();
            if sum > pairs && !taken.is_empty() {
                break;
            }
            if let Some((lacking, held)) = lines.waiting.pop_front() {
                lines.under_way.push(Some(held));
                taken.push(lacking.0);
            }
        }
        taken
    }

    /// The transaction is over: its replies, in the order of [`Self::begin`].
    pub(super) fn end(&self) -> Vec<Option<Held>> {
        std::mem::take(&mut self.lines().under_way)
    }

    /// Nobody sees to them from now on: what comes goes out at once.
    pub(super) fn close(&self) {
        self.lines().is_closed = true;
    }

    /// Those that have waited since before `since`.
    pub(super) fn overdue(&self, since: Moment) -> Vec<Held> {
        let mut lines = self.lines();
        let mut late: Vec<Held> = Vec::new();
        for place in &mut lines.under_way {
            late.extend(place.take_if(|held| held.since < since));
        }
        while lines.waiting.front().is_some_and(|(_, held)| held.since < since) {
            late.extend(lines.waiting.pop_front().map(|(_, held)| held));
        }
        late
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        let lines = self.lines();
        lines.waiting.len() + lines.under_way.iter().flatten().count()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn held(since: u64, sent: &Arc<Mutex<Vec<u8>>>) -> Held {
        let sent = Arc::clone(sent);
        Held {
            reply: Box::new([1]),
            refusal: Box::new([2]),
            since: Moment::START + Duration::from_secs(since),
            send: Box::new(move |reply| sent.lock().unwrap().extend(reply)),
        }
    }

    fn lacking(pairs: usize) -> Lacking {
        let pair = Pair { client: [10, 0, 0, 1].into(), address: [192, 0, 2, 1].into() };
        Lacking(vec![(pair, 60); pairs])
    }

    #[test]
    fn a_transaction_takes_what_fits_and_at_least_one_and_leaves_the_order() {
        let (queue, sent) = (Queue::default(), Arc::default());
        for pairs in [5, 2, 1, 1] {
            queue.push(lacking(pairs), held(1, &sent)).unwrap();
        }
        let sizes = |taken: Vec<Vec<(Pair, u32)>>| taken.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(queue.begin(3, Duration::ZERO)), [5]);
        assert_eq!(queue.end().len(), 1);
        assert_eq!(sizes(queue.begin(3, Duration::ZERO)), [2, 1]);
        assert_eq!(queue.count(), 3);
        queue.end().into_iter().flatten().for_each(Held::go);
        assert_eq!(sizes(queue.begin(3, Duration::ZERO)), [1]);
        queue.end();
        assert!(queue.begin(3, Duration::from_millis(1)).is_empty());
        assert_eq!(*sent.lock().unwrap(), [1, 1]);
    }

    #[test]
    fn after_the_end_nobody_waits() {
        let (queue, sent) = (Queue::default(), Arc::default());
        queue.push(lacking(1), held(1, &sent)).unwrap();
        queue.close();
        queue.push(lacking(1), held(1, &sent)).unwrap();
        assert_eq!((queue.count(), sent.lock().unwrap().len()), (1, 1));
    }

    #[test]
    fn who_waited_too_long_is_taken_from_both_lines_and_answered_once() {
        let (queue, sent) = (Queue::default(), Arc::default());
        for since in [1, 5, 2, 6] {
            queue.push(lacking(1), held(since, &sent)).unwrap();
        }
        assert_eq!(queue.begin(2, Duration::ZERO).len(), 2);
        let late = queue.overdue(Moment::START + Duration::from_secs(3));
        assert_eq!(late.len(), 2);
        late.into_iter().for_each(|held| held.without(Without::Closed));
        let rest: Vec<bool> = queue.end().iter().map(Option::is_some).collect();
        assert_eq!(rest, [false, true]);
        assert_eq!((queue.count(), sent.lock().unwrap().as_slice()), (1, &[2, 2][..]));
    }
}
