//! Owns the putting in order of rules that came and went since a table was built: a new table, made in the background, that the
//! next change starts from. Never publishes: what is in force decides the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lists::Lists;
use super::ready::Ready;

/// A table in the making, or made.
#[derive(Default)]
pub(super) struct Fold {
    made: Mutex<Option<Arc<Lists>>>,
    is_running: AtomicBool,
}

/// Rules beside the table at which a new one is made: until then a change pays less for them than the new table costs.
const WORTH: usize = 2048;

impl Fold {
    /// What the lists of the next change may be made of.
    pub(super) fn made(&self) -> Option<Arc<Lists>> {
        self.lock().clone()
    }

    /// After a change: lets go of a table that was not used for it or is in use now, and begins a new one when that is due.
    pub(super) fn after(self: &Arc<Self>, ready: &Ready) {
        let due = ready.lists.book.overlay_len() > WORTH;
        let mut made = self.lock();
        if made.as_ref().is_some_and(|made| !due || made.book.shares_table(&ready.lists.book)) {
            *made = None;
        }
        if !due || made.is_some() || self.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        drop(made);
        let (lists, fold) = (Arc::clone(&ready.lists), Arc::clone(self));
        let build = move || {
            let folded = Arc::new(lists.folded());
            *fold.lock() = Some(folded);
            fold.is_running.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new().name("fold".to_owned()).spawn(build) {
            tracing::warn!(%error, "no thread to put the lists in order on");
            self.is_running.store(false, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Lists>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
