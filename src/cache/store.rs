//! Owns the shared store of answers, bounded in bytes. The only door of `quick_cache`. Taken with a short lock, and
//! only when a worker's own [`Local`](super::Local) has no fresh answer.

use std::sync::Arc;

use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::entry::Entry;
use super::metrics;
use crate::telemetry::{Collect, Sample};

/// Settings of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes that answers may hold. Default 256 MiB: about half a million answers, a ministry's working set several
    /// times over.
    pub memory: u64,
    /// Seconds past its TTL that an answer may be shown when upstreams fail. Default one hour: long enough for a
    /// repair, short enough that addresses still hold. 0: never.
    pub stale: u32,
}

/// All answers, shared by all workers.
#[derive(Debug)]
pub struct Store {
    entries: Cache<Box<[u8]>, Arc<Entry>, ByMemory, RandomState>,
    config: Config,
}

#[derive(Clone, Debug)]
struct ByMemory;

impl Weighter<Box<[u8]>, Arc<Entry>> for ByMemory {
    fn weight(&self, _key: &Box<[u8]>, entry: &Arc<Entry>) -> u64 {
        entry.memory() as u64
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { memory: 256 << 20, stale: 3600 }
    }
}

impl Store {
    /// An empty store.
    pub fn new(config: Config) -> Self {
        // A typical entry weighs half a KiB; the estimate only sizes the first allocation.
        let items = (config.memory / 512).clamp(64, 1 << 20) as usize;
        let entries =
            Cache::with(items, config.memory, ByMemory, RandomState::default(), DefaultLifecycle::default());
        Self { entries, config }
    }

    /// The settings.
    pub fn config(&self) -> Config {
        self.config
    }

    /// The answer kept under `key`, fresh or not.
    pub fn find(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    /// Keeps an answer; may push out others.
    pub fn keep(&self, entry: Arc<Entry>) {
        self.entries.insert(entry.key().into(), entry);
    }
}

impl Collect for Store {
    fn collect(&self, samples: &mut Vec<Sample>) {
        metrics::collect(
            self.entries.len() as f64,
            self.entries.weight() as f64,
            self.config.memory as f64,
            samples,
        );
    }
}
