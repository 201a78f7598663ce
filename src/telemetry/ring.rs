//! Owns the bounded queues between query threads and the log: one a writer, so that writers do not meet. Pushing never
//! waits; a full queue loses the record and counts it. Also the one queue that all threads push samples to. The only door of
//! `crossbeam-queue`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_queue::ArrayQueue;

use super::record::Record;

/// Records a writer may have waiting: at 20,000 blocked queries a second and a drain every 20 ms, ten times what
/// is needed, and what is needed where all of 150,000 queries a second are logged. Takes 4 MiB a writer, as a record holds what was answered.
const CAPACITY: usize = 4096;

/// One writer's queue.
#[derive(Clone, Debug)]
pub struct Ring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: ArrayQueue<Record>,
    lost: AtomicU64,
}

/// All writers' queues.
#[derive(Debug, Default)]
pub struct Rings(Mutex<Vec<Ring>>);

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

impl Ring {
    /// Hands a record to the log; counts it as lost when the queue is full.
    pub fn push(&self, record: Record) {
        if self.0.queue.push(record).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Rings {
    /// A queue for one more writer.
    pub fn add(&self) -> Ring {
        let ring = Ring(Arc::new(Inner { queue: ArrayQueue::new(CAPACITY), lost: AtomicU64::new(0) }));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ring.clone());
        ring
    }

    /// Takes what waits, oldest first within a writer; at most one queue's worth a writer.
    pub(super) fn drain(&self, mut take: impl FnMut(&Record)) {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ring in rings {
            for _ in 0..CAPACITY {
                let Some(record) = ring.0.queue.pop() else { break };
                take(&record);
            }
        }
    }

    /// Records lost to full queues.
    pub fn lost(&self) -> u64 {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.iter().map(|ring| ring.0.lost.load(Ordering::Relaxed)).sum()
    }
}
