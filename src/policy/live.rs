//! Owns the one pointer at which the data plane and the control plane meet. Publishing swaps it; queries read it
//! without a lock, and whoever follows the policy off their path is told. The only door of `arc-swap`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Snapshot;

/// The policy in force. Cheap to clone; all clones show the same pointer.
#[derive(Clone, Debug)]
pub struct Live {
    pointer: Arc<ArcSwap<Snapshot>>,
    /// How often a policy was published.
    published: watch::Sender<u64>,
}

/// One thread's view: reads the pointer with a single load while nothing changes.
#[derive(Clone, Debug)]
pub struct Reader(arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl Live {
    /// Starts with a first snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { pointer: Arc::new(ArcSwap::new(snapshot)), published: watch::Sender::new(1) }
    }

    /// The snapshot in force now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.pointer.load_full()
    }

    /// Puts a snapshot in force; returns the one before, for the caller to drop away from any query.
    #[must_use = "dropping a large snapshot takes time; do it away from queries"]
    pub fn publish(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let before = self.pointer.swap(snapshot);
        self.published.send_modify(|published| *published += 1);
        before
    }

    /// Wakes whoever waits for it after each publication. What is in force then is read with [`Live::load`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// A view for one thread.
    pub fn reader(&self) -> Reader {
        Reader(arc_swap::Cache::new(Arc::clone(&self.pointer)))
    }
}

impl Reader {
    /// The snapshot in force now.
    #[inline]
    pub fn load(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}
