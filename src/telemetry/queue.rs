//! Owns the bounded queue that many threads push to and one takes from: pushing never waits, and a full queue loses what is pushed and counts it. The
//! only door of `crossbeam-queue`.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

/// A bounded queue that any thread may push to. A full one loses what is pushed, and counts it.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: ArrayQueue<T>,
    lost: AtomicU64,
}

impl<T> Queue<T> {
    /// Room for `capacity` items, all of it taken now.
    pub(super) fn new(capacity: usize) -> Self {
        Self { items: ArrayQueue::new(capacity), lost: AtomicU64::new(0) }
    }

    /// Hands over what `make` makes, which is not made when there is no room.
    pub(super) fn push(&self, make: impl FnOnce() -> T) {
        if self.items.is_full() || self.items.push(make()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes what waits, oldest first; at most one queue's worth.
    pub(super) fn drain(&self, mut take: impl FnMut(T)) {
        for _ in 0..self.items.capacity() {
            let Some(item) = self.items.pop() else { return };
            take(item);
        }
    }

    /// Items lost to a full queue.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
