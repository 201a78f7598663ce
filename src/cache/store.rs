//! Owns the shared store of answers, bounded in bytes. The only door of `quick_cache`. Taken with a short lock, and
//! only when a worker's own [`Local`](super::Local) has no fresh answer.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use super::entry::{Entry, Freshness};
use super::key::Key;
use super::metrics;
use crate::clock::Moment;
use crate::telemetry::{Collect, Sample};

/// Settings of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes that answers may hold. Default 256 MiB: about half a million answers, a ministry's working set several
    /// times over.
    pub memory: u64,
    /// Seconds past its TTL that an answer may be shown when upstreams fail or are slow. Default one hour: long enough for a
    /// repair, short enough that addresses still hold. 0: never.
    pub stale: u32,
    /// How long upstreams are waited for while there is a stale answer. Default 1.8 s, as RFC 8767 section 5 recommends:
    /// just before the two seconds after which many clients ask again.
    pub stale_after: Duration,
    /// Whether an answer that is asked for in the last tenth of its life is fetched anew at once. Default true: names that
    /// are asked often are then never missing, for at most a tenth more questions to upstreams.
    pub prefetch: bool,
    /// Whether answers are kept over a restart, where there is a state directory. Default true: a network that comes back asks
    /// its upstreams for nothing that they just said.
    pub kept: bool,
}

/// All answers, shared by all workers.
#[derive(Debug)]
pub struct Store {
    entries: Cache<Kept, Arc<Entry>, ByMemory, RandomState>,
    config: Config,
    /// Answers that came back from before the start.
    restored: AtomicU64,
}

/// An entry as its own key: it holds its question already.
#[derive(Clone, Debug)]
struct Kept(Arc<Entry>);

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash());
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.0.has_key_of(&other.0)
    }
}

impl Eq for Kept {}

impl Equivalent<Kept> for Key<'_> {
    fn equivalent(&self, kept: &Kept) -> bool {
        kept.0.answers(self)
    }
}

#[derive(Clone, Debug)]
struct ByMemory;

/// What the store itself needs for an entry, in bytes: two pointers of two words, weight, links and a share of its hash
/// table.
const OVERHEAD: u64 = 80;

impl Weighter<Kept, Arc<Entry>> for ByMemory {
    fn weight(&self, _key: &Kept, entry: &Arc<Entry>) -> u64 {
        entry.memory() as u64 + OVERHEAD
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            stale: 3600,
            stale_after: Duration::from_millis(1800),
            prefetch: true,
            kept: true,
        }
    }
}

impl Store {
    /// An empty store.
    pub fn new(config: Config) -> Self {
        // A typical entry weighs half a KiB; the estimate only sizes the first allocation.
        let items = (config.memory / 512).clamp(64, 1 << 20) as usize;
        let entries =
            Cache::with(items, config.memory, ByMemory, RandomState::default(), DefaultLifecycle::default());
        Self { entries, config, restored: AtomicU64::new(0) }
    }

    /// The settings.
    pub fn config(&self) -> Config {
        self.config
    }

    /// The answer kept under `key`, fresh or not.
    pub fn find(&self, key: &Key<'_>) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    /// Every answer, in no order.
    pub(super) fn answers(&self) -> impl Iterator<Item = Arc<Entry>> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// Every answer that holds at `now`, in no order. Looks at all of them: for whoever has time.
    pub fn fresh(&self, now: Moment) -> impl Iterator<Item = Arc<Entry>> {
        self.answers().filter(move |entry| entry.freshness(now, 0) == Freshness::Fresh)
    }

    pub(super) fn note_restored(&self, answers: u64) {
        self.restored.fetch_add(answers, Ordering::Relaxed);
    }

    /// Keeps an answer; may push out others.
    pub fn keep(&self, entry: Arc<Entry>) {
        self.entries.insert(Kept(Arc::clone(&entry)), entry);
    }
}

impl Collect for Store {
    fn collect(&self, samples: &mut Vec<Sample>) {
        metrics::collect(
            self.entries.len() as f64,
            self.entries.weight() as f64,
            self.config.memory as f64,
            self.restored.load(Ordering::Relaxed) as f64,
            samples,
        );
    }
}
