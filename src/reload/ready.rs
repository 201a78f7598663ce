//! Owns a compiled policy with everything it was made of, and the earlier ones that are kept ready so that going back to
//! one is a pointer swap. Never publishes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::approval;
use super::guard;
use super::inputs::{Inputs, SourceReport};
use super::lists::Lists;
use super::store;
use crate::policy::{Law, Snapshot};
use crate::sources::{self, Raw};

/// What a policy takes besides its names and its inputs: the words of the catalog, groups and settings.
const REST: u64 = 512 << 10;

/// A policy that may be put in force, or is.
pub(super) struct Ready {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) law: Law,
    pub(super) inputs: Arc<Inputs>,
    pub(super) lists: Arc<Lists>,
    pub(super) fingerprint: String,
    pub(super) guard: guard::Config,
    pub(super) approval: approval::Config,
    pub(super) history: store::Config,
    pub(super) sources: Vec<sources::Config>,
    pub(super) reports: Vec<SourceReport>,
    /// The generation whose inputs it was made of anew.
    pub(super) rollback_of: Option<u64>,
}

/// Earlier policies, the one in force most recently first.
#[derive(Default)]
pub(super) struct Earlier(VecDeque<Arc<Ready>>);

impl Ready {
    pub(super) fn generation(&self) -> u64 {
        self.snapshot.generation()
    }

    /// SHA-256 of the configuration it was made of.
    pub(super) fn configuration(&self) -> String {
        configuration(&self.inputs)
    }

    /// True while its dates say at `moment` what they said when it was compiled.
    pub(super) fn holds_at(&self, moment: Timestamp) -> bool {
        self.snapshot.compiled_on() <= moment
            && self.snapshot.next_transition().is_none_or(|next| next > moment)
    }

    /// What it takes beside a `newer` one, with which it may share its lists.
    fn bytes(&self, newer: Option<&Self>) -> u64 {
        if newer.is_some_and(|newer| Arc::ptr_eq(&newer.lists, &self.lists)) {
            return REST;
        }
        let inputs = &self.inputs;
        let own = |(name, raw): (&String, &Raw)| {
            let newer = newer.and_then(|newer| newer.inputs.sources.get(name));
            raw.content.own_bytes(newer.map(|newer| &newer.content)) as u64
        };
        let lists = inputs.sources.iter().map(own).sum::<u64>();
        let rest = inputs.config.iter().chain(inputs.catalog.iter().flatten());
        let raw = lists + rest.map(|raw| raw.content.len() as u64).sum::<u64>();
        if newer.is_some_and(|newer| newer.lists.book.shares_table(&self.lists.book)) {
            return REST + raw + self.lists.book.memory_beside() as u64;
        }
        let mapped =
            inputs.bundle.as_ref().filter(|bundle| bundle.is_mapped()).map_or(0, |bundle| bundle.image.len());
        REST + raw + self.snapshot.memory().saturating_sub(mapped) as u64
    }
}

/// SHA-256 of the configuration among some inputs.
pub(super) fn configuration(inputs: &Inputs) -> String {
    inputs.config.as_ref().map_or("built-in".to_owned(), |raw| raw.digest.to_string())
}

impl Earlier {
    /// The one of that number.
    pub(super) fn find(&self, generation: u64) -> Option<&Arc<Ready>> {
        self.0.iter().find(|ready| ready.generation() == generation)
    }

    /// Numbers of those that are ready, the most recent first.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.0.iter().map(|ready| ready.generation()).collect()
    }

    /// Keeps `ready` as the most recent; lets go, away from any query, of what is over `budget` bytes. The most recent stays
    /// whatever its size unless the budget is 0.
    pub(super) fn push(&mut self, ready: Arc<Ready>, budget: u64) {
        self.0.retain(|known| known.generation() != ready.generation());
        self.0.push_front(ready);
        let mut bytes = 0;
        let mut kept = 0;
        let mut newer = None;
        for ready in &self.0 {
            bytes += ready.bytes(newer.replace(&**ready));
            if budget == 0 || (kept > 0 && bytes > budget) {
                break;
            }
            kept += 1;
        }
        self.0.split_off(kept).into_iter().for_each(retire);
    }

    /// Takes out the one that is in force again.
    pub(super) fn take_out(&mut self, generation: u64) {
        self.0.retain(|known| known.generation() != generation);
    }
}

/// Lets go of an old policy on a thread of its own: after a second, in which the log still looks up its words, and once no
/// query uses it; gives up waiting when a query thread is stuck, and the drop may then fall to that thread.
fn retire(old: Arc<Ready>) {
    const LOOKED_UP: Duration = Duration::from_secs(1);
    let wait = move || {
        let snapshot = Arc::clone(&old.snapshot);
        // What it was read from is nobody's any more, and may be larger than all else.
        drop(old);
        std::thread::sleep(LOOKED_UP);
        for _ in 0..100 {
            if Arc::strong_count(&snapshot) == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(snapshot);
    };
    if let Err(error) = std::thread::Builder::new().name("retire".to_owned()).spawn(wait) {
        tracing::warn!(%error, "no thread to drop the old policy on");
    }
}
