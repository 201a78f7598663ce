//! Owns the workers that handle queries of connections, each with room for what is read and said. A connection takes one for as
//! long as it has bytes at hand, so an idle one holds none of it. Never waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::dns::MAX_MESSAGE;
use crate::query::{Engine, Worker};

/// Workers for the connections of all listeners: as many as threads work at the same time.
#[derive(Debug)]
pub struct Workers {
    engine: Arc<Engine>,
    #[expect(
        clippy::vec_box,
        reason = "a worker is taken and put back for every read: a pointer moves faster than it does"
    )]
    free: Mutex<Vec<Box<Equipped>>>,
}

/// A worker with its rooms.
#[derive(Debug)]
pub(in crate::listen) struct Equipped {
    pub(in crate::listen) worker: Worker,
    /// What the network brought.
    pub(in crate::listen) received: Box<[u8]>,
    /// Messages to be handled, behind their lengths.
    pub(in crate::listen) text: Vec<u8>,
    /// Replies, behind their lengths.
    pub(in crate::listen) replies: Box<[u8]>,
}

/// Bytes read at a time.
pub(super) const READ: usize = 1 << 16;
/// Room for one reply of any size, and as much again, so that many small ones are sent at once.
const REPLIES: usize = 2 * (MAX_MESSAGE + 2);

impl Workers {
    /// None yet.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, free: Mutex::default() }
    }

    /// Has idle workers let go of policies that are no longer in force, until `stop` changes.
    pub async fn refresh(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = second.tick() => {}
                _ = stop.changed() => return,
            }
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            for equipped in free.iter_mut() {
                equipped.worker.begin_batch();
            }
        }
    }

    /// Runs `work` with a worker of its own.
    pub(in crate::listen) fn with<T>(&self, work: impl FnOnce(&mut Equipped) -> T) -> T {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut equipped = free.unwrap_or_else(|| {
            Box::new(Equipped {
                worker: self.engine.thread_worker(),
                received: vec![0; READ].into(),
                text: Vec::with_capacity(2 * READ),
                replies: vec![0; REPLIES].into(),
            })
        });
        let done = work(&mut equipped);
        equipped.text.clear();
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(equipped);
        done
    }
}
