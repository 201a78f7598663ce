//! Owns one worker's own answers: a small two-way table in front of the shared store, so that a hit takes no lock and
//! writes no shared memory. Never outlives its worker, and never holds large answers.

use std::sync::Arc;

use foldhash::fast::RandomState;

use super::entry::{Entry, Freshness};
use super::key::Key;
use crate::clock::Moment;

/// One worker's table.
#[derive(Debug)]
pub struct Local {
    state: RandomState,
    slots: Box<[Pair]>,
}

/// The newer answer first.
type Pair = [Option<Arc<Entry>>; 2];

/// Places in the table: 16,384 answers of a typical 300 bytes are 5 MB a worker, and hold the names that make up
/// nearly all queries of a site.
const PAIRS: usize = 8192;

/// Largest answer kept here, in bytes, so that a worker never holds more than 16 MiB of what the store already dropped.
const LARGEST: usize = 1024;

impl Default for Local {
    fn default() -> Self {
        Self { state: RandomState::default(), slots: vec![[None, None]; PAIRS].into() }
    }
}

impl Local {
    /// The fresh answer kept under `key`.
    #[inline]
    pub fn find(&self, key: &Key, now: Moment) -> Option<&Arc<Entry>> {
        let pair = self.slots.get(key.hash(&self.state) as usize & (PAIRS - 1))?;
        pair.iter()
            .flatten()
            .find(|entry| entry.key() == key.as_bytes())
            .filter(|entry| entry.freshness(now, 0) == Freshness::Fresh)
    }

    /// Keeps an answer, in place of an older one of the same key or of the older neighbour.
    pub fn keep(&mut self, key: &Key, entry: Arc<Entry>) {
        if entry.memory() > LARGEST {
            return;
        }
        let place = key.hash(&self.state) as usize & (PAIRS - 1);
        let Some([newer, older]) = self.slots.get_mut(place) else { return };
        if newer.as_ref().is_none_or(|kept| kept.key() != entry.key()) {
            *older = newer.take();
        }
        *newer = Some(entry);
    }
}
