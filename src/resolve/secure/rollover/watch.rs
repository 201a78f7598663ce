//! Owns the keys that trust starts from while the program runs: takes in what is seen of the root's set, keeps it in its file, and says
//! when to look again. Never asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::dnssec::{Algorithm, PublicKeyBuf};
use hickory_resolver::proto::op::Message;
use jiff::Timestamp;

use super::super::Anchors;
use super::file;
use super::key::Key;
use super::seen::Seen;
use super::states::{Shown, State, Trust};
use crate::telemetry::Storage;

/// The root's keys, followed.
#[derive(Debug)]
pub(in crate::resolve) struct Rollover {
    trust: Mutex<Trust>,
    /// Keys of other zones, which nobody follows.
    configured: Anchors,
    storage: Option<Storage>,
    hold_down: Duration,
    began: Timestamp,
    pub(in crate::resolve) checks: Checks,
}

/// How often the root's set was looked at, and what came of it.
#[derive(Debug, Default)]
pub(in crate::resolve) struct Checks {
    pub(in crate::resolve) done: AtomicU64,
    pub(in crate::resolve) failed: AtomicU64,
}

/// What is to be done after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resolve) struct Next {
    /// Other keys are trusted than before.
    pub(in crate::resolve) is_changed: bool,
    /// When to look again.
    pub(in crate::resolve) after: Duration,
}

/// The least time between two looks, as a share of the hold-down: an hour of thirty days (RFC 5011 section 2.3).
const LEAST: u32 = 720;
/// The longest, likewise: fifteen days of thirty; and after a look that failed, a day.
const LONGEST: u32 = 2;
const LONGEST_RETRY: u32 = 30;
/// However short the hold-down.
const SHORTEST: Duration = Duration::from_millis(250);

impl Rollover {
    /// What is configured and what was kept. `hold_down` is how long a new key must be seen before it is trusted.
    pub(in crate::resolve) fn begin(
        configured: &Anchors,
        storage: Option<Storage>,
        hold_down: Duration,
        now: Timestamp,
    ) -> Self {
        let kept = storage.as_ref().and_then(Storage::read);
        let mut trust = match &kept {
            None => Trust::default(),
            Some(bytes) => str::from_utf8(bytes).ok().and_then(file::read).unwrap_or_else(|| {
                tracing::error!("the kept root keys are not whole; trust starts at what is configured");
                Trust::default()
            }),
        };
        trust.configure(Key::all(&configured.all), now);
        let rollover = Self {
            trust: Mutex::new(trust),
            configured: configured.clone(),
            storage,
            hold_down,
            began: now,
            checks: Checks::default(),
        };
        rollover.save();
        rollover
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that trust starts from. Never none at all of the root: where all were revoked, nothing signed by it holds.
    pub(in crate::resolve) fn anchors(&self) -> Anchors {
        let trusted = self.trust().trusted();
        self.configured.with_root(|anchors| {
            trusted.iter().for_each(|key| key.trust(anchors));
            if trusted.is_empty() {
                anchors.insert(&PublicKeyBuf::new(vec![0], Algorithm::ED25519));
            }
        })
    }

    /// Takes in an answer with the root's keys, or that there was none.
    pub(in crate::resolve) fn take(&self, message: Option<&Message>, now: Timestamp) -> Next {
        let mut trust = self.trust();
        let trusted = trust.trusted();
        let seen = message.and_then(|message| Seen::of(message, &trusted, now.as_second() as u32));
        let Some(seen) = seen else {
            drop(trust);
            self.checks.failed.fetch_add(1, Ordering::Relaxed);
            // Right after a start, the network may not be there yet.
            let is_first = self.checks.done.load(Ordering::Relaxed) == 0;
            let after = if is_first { (self.least() / 60).max(SHORTEST) } else { self.least() };
            return Next { is_changed: false, after };
        };
        let is_changed = trust.observe(&seen, now, self.hold_down);
        drop(trust);
        let count = if seen.is_proved { &self.checks.done } else { &self.checks.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.save();
        let (longest, share) = if seen.is_proved { (LONGEST, 2) } else { (LONGEST_RETRY, 10) };
        let after = (self.hold_down / longest).min(seen.ttl / share).min(seen.signed_for / share);
        Next { is_changed, after: after.max(self.least()) }
    }

    fn least(&self) -> Duration {
        (self.hold_down / LEAST).max(SHORTEST)
    }

    fn save(&self) {
        let Some(storage) = &self.storage else { return };
        let text = file::write(&self.trust());
        if let Err(error) = storage.write(text.as_bytes()) {
            tracing::error!(%error, "the root's keys cannot be kept; after a restart, trust starts at what was");
        }
    }

    pub(in crate::resolve) fn shown(&self) -> Vec<Shown> {
        self.trust().shown(self.hold_down)
    }

    /// What somebody should look at.
    pub(in crate::resolve) fn trouble(&self, now: Timestamp) -> Vec<String> {
        self.trust().trouble(now, self.began, self.hold_down)
    }

    /// How many keys are in which state.
    pub(in crate::resolve) fn states(&self) -> [(&'static str, usize); 5] {
        let trust = self.trust();
        State::ALL
            .map(|state| (state.word(), trust.anchors.iter().filter(|anchor| anchor.state == state).count()))
    }

    /// When the root's set was last seen, signed.
    pub(in crate::resolve) fn checked(&self) -> Option<Timestamp> {
        self.trust().checked
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
