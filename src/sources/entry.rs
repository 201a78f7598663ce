//! Owns what is known of one collected source, and how each ending of a fetch changes it. Logs one line when it begins to
//! fail, fails otherwise, or is well again; not one a try. Never fetches.

use std::io;
use std::net::IpAddr;
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
    /// Where its primary was last found to be.
    pub(super) primaries: Vec<IpAddr>,
    /// When it was last asked.
    pub(super) asked_at: Option<Moment>,
    /// Its primary said that there is something new, since it was last asked.
    pub(super) notified: bool,
    /// Held while it is fetched.
    pub(super) turn: Arc<Mutex<()>>,
}

/// A failure that lasts.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    /// When the first of the failures in a row was.
    pub(super) since: Timestamp,
    /// When the last was.
    pub(super) last: Timestamp,
    /// How many in a row.
    pub(super) times: u32,
}

/// Shortest time between two looks that a primary asks for: a flood of forged ones costs it a look a second.
const NOTIFIED: Duration = Duration::from_secs(1);

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
        let had_expired = self.has_expired();
        let before = self.failing.take();
        let changed = before.as_ref().is_none_or(|before| before.refusal.reason != refusal.reason);
        let (since, times) = before.map_or((now, 1), |before| (before.since, before.times.saturating_add(1)));
        self.failing = Some(Failure { refusal, since, last: now, times });
        let Some(Failure { refusal, .. }) = &self.failing else { return };
        let (reason, hint) = (refusal.reason.as_str(), &refusal.hint);
        if self.has_expired() && !had_expired {
            tracing::error!(source, reason, hint, "{}; {}", refusal.what, self.standing());
        } else if changed {
            tracing::warn!(source, reason, hint, "{}; {}", refusal.what, self.standing());
        }
    }

    /// When the zone's owner no longer stands for its content, unless the primary confirms it before (RFC 1035 section
    /// 3.3.13). It stays in force all the same: a list that stops by itself would be how to lift a ban.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        let soa = self.kept.as_ref()?.content.soa?;
        self.confirmed_at?.checked_add(soa.expire).ok()
    }

    /// True when it still failed past that.
    pub(super) fn has_expired(&self) -> bool {
        let last = self.failing.as_ref().map(|failing| failing.last);
        last.zip(self.expires_at()).is_some_and(|(last, expires_at)| last >= expires_at)
    }

    fn recover(&mut self, source: &str) {
        if let Some(Failure { refusal, since, times, .. }) = self.failing.take() {
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
                let expired = self.expires_at().filter(|_| self.has_expired());
                let past = expired
                    .map_or(String::new(), |at| format!(" PAST THE ZONE'S EXPIRE TIME, {}", short(at)));
                let (since, of) = (short(failing.since), short(kept.changed_at));
                format!("since {since}; its content of {of} is used{past}")
            }
            None => format!("since {}; nothing of it is enforced", short(failing.since)),
        }
    }

    /// A look begins: what the primary said before it is heeded.
    pub(super) fn begin(&mut self, source: &Config, now: Moment) {
        self.asked_at = Some(now);
        self.notified = false;
        self.reschedule(source, now);
    }

    /// Says when it is fetched next.
    pub(super) fn reschedule(&mut self, source: &Config, now: Moment) {
        self.due = self.wait(source, fastrand::f64()).map(|wait| now.plus(wait));
        if self.notified {
            self.notify(now);
        }
    }

    /// Its primary says that there is something new: looked at at once, or a moment after the last look.
    pub(super) fn notify(&mut self, now: Moment) {
        self.notified = true;
        let earliest = self.asked_at.map_or(now, |asked_at| asked_at.plus(NOTIFIED).max(now));
        self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
    }

    /// The wait until the next fetch; `None`: not by itself. `random` is from 0 to 1.
    fn wait(&self, source: &Config, random: f64) -> Option<Duration> {
        let soa = self.arrived.as_ref().or(self.kept.as_ref()).and_then(|kept| kept.content.soa);
        // The longest wait while all is well, and while it is not.
        let (refresh, retry) = match &source.origin {
            // A changed file wakes the pipeline by itself, except where no watch reaches: on another host's disk.
            Origin::File { .. } => (REFRESH, REFRESH),
            Origin::Network(network) => (network.refresh, network.refresh),
            Origin::Zone(transfer) => (transfer.refresh(soa.as_ref()), transfer.retry(soa.as_ref())),
        };
        match &self.failing {
            Some(failing) => {
                schedule::after_failure(retry, failing.times, failing.refusal.retry_after, random)
            }
            None => schedule::after_success(refresh, random),
        }
    }
}

/// A time to the second.
fn short(at: Timestamp) -> String {
    format!("{at:.0}")
}
