//! Owns the one pointer at which the data plane and the control plane meet. Publishing swaps it; queries read it
//! without a lock. The only door of `arc-swap`.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Snapshot;

/// The policy in force. Cheap to clone; all clones show the same pointer.
#[derive(Clone, Debug)]
pub struct Live(Arc<ArcSwap<Snapshot>>);

/// One thread's view: reads the pointer with a single load while nothing changes.
#[derive(Clone, Debug)]
pub struct Reader(arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl Live {
    /// Starts with a first snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Arc::new(ArcSwap::new(snapshot)))
    }

    /// The snapshot in force now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts a snapshot in force; returns the one before, for the caller to drop away from any query.
    #[must_use = "dropping a large snapshot takes time; do it away from queries"]
    pub fn publish(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        self.0.swap(snapshot)
    }

    /// A view for one thread.
    pub fn reader(&self) -> Reader {
        Reader(arc_swap::Cache::new(Arc::clone(&self.0)))
    }
}

impl Reader {
    /// The snapshot in force now.
    #[inline]
    pub fn load(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}
