//! Owns what is known of one collected source, and how each ending of a fetch changes it. Logs one line when it begins to
//! fail, fails otherwise, or is well again; not one a try. Never fetches.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::config::{Config, Origin, REFRESH};
use super::kept::Kept;
use super::refusal::{Reason, Refusal};
use super::schedule;
use crate::clock::Moment;

/// One source.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The last good content.
    pub(super) kept: Option<Arc<Kept>>,
    /// Newer content, good by itself, that no generation has taken yet.
    pub(super) arrived: Option<Arc<Kept>>,
    /// When the last good content was last known to be what is published.
    pub(super) confirmed_at: Option<Timestamp>,
    pub(super) failing: Option<Failure>,
    /// When it is fetched next; `None`: not by itself.
    pub(super) due: Option<Moment>,
    /// Why the last good content could not be written to disk.
    pub(super) unkept: Option<String>,
    /// True once the disk was looked at.
    pub(super) looked: bool,
    /// Fetches that brought new content, that brought none, that failed.
    pub(super) fetches: [u64; 3],
    /// Failures by [`Reason`].
    pub(super) failures: [u64; Reason::ALL.len()],
    /// Held while it is fetched.
    pub(super) turn: Arc<Mutex<()>>,
}

/// A failure that lasts.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    /// When the first of the failures in a row was.
    pub(super) since: Timestamp,
    /// How many in a row.
    pub(super) times: u32,
}

impl Entry {
    /// True when it was never fetched, well or not.
    pub(super) fn is_untried(&self) -> bool {
        self.kept.is_none() && self.arrived.is_none() && self.failing.is_none()
    }

    /// New content became the last good one.
    pub(super) fn accept(&mut self, source: &str, kept: &Arc<Kept>, now: Timestamp) {
        if self.arrived.as_ref().is_some_and(|arrived| Arc::ptr_eq(arrived, kept)) {
            self.arrived = None;
        }
        self.kept = Some(Arc::clone(kept));
        self.fetches[0] += 1;
        self.confirmed_at = Some(now);
        self.recover(source);
    }

    /// The content at hand is what is published.
    pub(super) fn confirm(&mut self, source: &str, now: Timestamp) {
        self.fetches[1] += 1;
        if self.arrived.is_none() {
            self.confirmed_at = Some(now);
            self.recover(source);
        }
    }

    /// What is published cannot be used.
    pub(super) fn fail(&mut self, source: &str, refusal: Refusal, now: Timestamp) {
        self.fetches[2] += 1;
        if let Some(count) = self.failures.get_mut(refusal.reason as usize) {
            *count += 1;
        }
        let before = self.failing.take();
        let changed = before.as_ref().is_none_or(|before| before.refusal.reason != refusal.reason);
        let (since, times) = before.map_or((now, 1), |before| (before.since, before.times.saturating_add(1)));
        self.failing = Some(Failure { refusal, since, times });
        if let (true, Some(Failure { refusal, .. })) = (changed, &self.failing) {
            let (reason, hint) = (refusal.reason.as_str(), &refusal.hint);
            tracing::warn!(source, reason, hint, "{}; {}", refusal.what, self.standing());
        }
    }

    fn recover(&mut self, source: &str) {
        if let Some(Failure { refusal, since, times }) = self.failing.take() {
            let reason = refusal.reason.as_str();
            tracing::info!(source, reason, %since, times, "fetched well again");
        }
    }

    /// How writing the last good content to disk ended; `None` when it was not tried.
    pub(super) fn written(&mut self, source: &str, written: Option<io::Result<()>>) {
        let now = match written {
            None => return,
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error.to_string()),
        };
        match (&self.unkept, &now) {
            (None, Some(error)) => tracing::warn!(source, error, "its content is used but cannot be kept"),
            (Some(_), None) => tracing::info!(source, "its content is kept again"),
            _ => {}
        }
        self.unkept = now;
    }

    /// How long it has not been well, and what that means, in words; empty while it is well.
    pub(super) fn standing(&self) -> String {
        let Some(failing) = &self.failing else { return String::new() };
        match &self.kept {
            Some(kept) => {
                format!("since {}; its content of {} is used", short(failing.since), short(kept.changed_at))
            }
            None => format!("since {}; nothing of it is enforced", short(failing.since)),
        }
    }

    /// The wait until the next fetch; `None`: not by itself. `random` is from 0 to 1.
    pub(super) fn wait(&self, source: &Config, random: f64) -> Option<Duration> {
        let refresh = match &source.origin {
            // A changed file wakes the pipeline by itself, except where no watch reaches: on another host's disk.
            Origin::File { .. } => REFRESH,
            Origin::Network(network) => network.refresh,
        };
        match &self.failing {
            Some(failing) => {
                schedule::after_failure(refresh, failing.times, failing.refusal.retry_after, random)
            }
            None => schedule::after_success(refresh, random),
        }
    }
}

/// A time to the second.
fn short(at: Timestamp) -> String {
    format!("{at:.0}")
}
