//! Owns the way from a published policy to a version of the zone: compare, keep the serial, hand on. Works on a thread of its
//! own, as a long zone takes seconds. Never serves one.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::config::Config;
use super::content::Content;
use super::difference::{Compared, compare, fingerprint};
use super::serial::{self, Kept};
use super::version::{HISTORY_BYTES, Head, Version, title};
use crate::clock::Clock;
use crate::policy::{Live, Snapshot};

/// Longest pause after a version, which is as long as making it took: a long zone under a storm of changes takes at most half of
/// one processor, and a change is out within three times what one version takes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Makes versions.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) config: Config,
    /// Where the serial is kept.
    pub(super) state: Option<PathBuf>,
    pub(super) clock: Clock,
}

/// Follows the policy until `stop` changes: each time it changed, the version for what is in force by then.
pub(super) async fn follow(
    publisher: Publisher,
    live: Live,
    versions: watch::Sender<Option<Arc<Version>>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = live.changes();
    loop {
        changes.mark_unchanged();
        let begun = publisher.clock.now();
        let is_first = versions.borrow().is_none();
        let (made, version) = oneshot::channel();
        let (work, snapshot, earlier) = (publisher.clone(), live.load(), versions.borrow().clone());
        // Not waited for when the process stops.
        let thread = std::thread::Builder::new().name("zone".to_owned()).spawn(move || {
            let _stopping = made.send(work.next(earlier.as_ref(), snapshot)).is_err();
        });
        if let Err(error) = thread {
            tracing::error!(%error, "no thread to make the zone on");
        }
        tokio::select! {
            version = version => if let Ok(Some(version)) = version {
                versions.send_replace(Some(Arc::new(version)));
            },
            _ = stop.changed() => return,
        }
        // The first one, at the start, stands in nobody's way.
        if !is_first {
            let now = publisher.clock.now();
            tokio::select! {
                () = publisher.clock.passed(now.plus(now.since(begun).min(LONGEST_PAUSE))) => {}
                _ = stop.changed() => return,
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = stop.changed() => return,
        }
    }
}

impl Publisher {
    /// The version for `snapshot`; `None` when there is none, and the one before stays.
    fn next(&self, earlier: Option<&Arc<Version>>, snapshot: Arc<Snapshot>) -> Option<Version> {
        let Config { name, group, history, .. } = &self.config;
        let generation = snapshot.generation();
        if snapshot.group_named(group).is_none() {
            // An empty zone would lift every ban at once.
            tracing::error!(%group, generation, "the policy has no such group; the zone stays as it was");
            return None;
        }
        let content = Arc::new(Content::new(snapshot, group, name));
        let ttl = content.ttl();
        let Some(earlier) = earlier else { return Some(self.first(content)) };
        let Compared { difference, fingerprint } =
            match compare(&earlier.content, &content, earlier.fingerprint, HISTORY_BYTES) {
                same if same.is_same() && ttl == earlier.head.ttl => {
                    let (head, history) = (earlier.head, earlier.history.clone());
                    return Some(Version { head, content, history, fingerprint: same.fingerprint });
                }
                other => other,
            };
        let head = Head { serial: serial::next(Some(earlier.head.serial), self.clock.wall()), ttl };
        let history = earlier.extended(head, difference, *history);
        let version = Version { head, content, fingerprint, history };
        self.keep(&version);
        tracing::info!(
            zone = %title(name),
            serial = head.serial,
            generation,
            records = version.fingerprint.records,
            difference = version.history.back().map_or(0, |step| step.difference.bytes()),
            "the zone has a new version"
        );
        Some(version)
    }

    /// The first version of this process: under the serial that its content had before, if it is the same.
    fn first(&self, content: Arc<Content>) -> Version {
        let (fingerprint, ttl) = (fingerprint(&content), content.ttl());
        let kept = self.state.as_deref().and_then(Kept::read);
        let kept = kept.filter(|kept| kept.name == title(&self.config.name));
        let serial = match &kept {
            Some(kept) if kept.fingerprint == fingerprint.text() && kept.ttl == ttl => kept.serial,
            kept => serial::next(kept.as_ref().map(|kept| kept.serial), self.clock.wall()),
        };
        let version = Version { head: Head { serial, ttl }, content, fingerprint, history: VecDeque::new() };
        self.keep(&version);
        version
    }

    /// Keeps the serial, before anybody sees it.
    fn keep(&self, version: &Version) {
        let Some(state) = &self.state else { return };
        let Head { serial, ttl } = version.head;
        let fingerprint = version.fingerprint.text();
        let kept = Kept { name: title(&self.config.name), serial, ttl, fingerprint };
        if let Err(error) = kept.write(state) {
            tracing::warn!(%error, serial, "the zone's serial is not kept; after a restart it goes on from the clock");
        }
    }
}
