//! Owns what outlives a restart beside the policy, each in a file of its own below the state directory: what was asked lately, what
//! was counted for reports, and the answers that hold. Never knows what is in them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::sources::{FetchError, read_file, write_whole};
use crate::telemetry::{Storage, Tap};
use crate::{cache, report, resolve};

/// Where what was asked lately outlives a restart: a file of the service's own user, as it may name clients.
pub(super) fn asked_before(state: &Path) -> Storage {
    /// Far more than what fits into the largest summary that can be configured.
    const LARGEST: u64 = 256 << 20;
    let path = state.join(LAST_DAY);
    let read = path.clone();
    Storage::new(
        move || read_file(&read, LARGEST).ok().map(|raw| raw.bytes().into_owned()),
        move |bytes| write_whole(&path, bytes, 0o600),
    )
}

/// The answers from before the start, and where they are written at the end.
pub(super) fn answered_before(
    store: &Arc<cache::Store>,
    clock: &Clock,
    upstream: &resolve::Config,
    state: Option<&Path>,
) -> Option<cache::Keeper> {
    let terms = upstream.terms();
    let path = state?.join("answers");
    let before = read_file(&path, cache::KEPT_FILE);
    let keeper = cache::Keeper::new(Arc::clone(store), clock.clone(), &terms, move |bytes| {
        write_whole(&path, bytes, 0o600)
    });
    match before {
        Ok(raw) => keeper.take_over(&raw.bytes()),
        // The first start.
        Err(FetchError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "answers from before the start cannot be read"),
    }
    Some(keeper)
}

/// Where the root's keys are kept while they change.
pub(super) fn trusted_before(state: &Path) -> Storage {
    /// Far more than the most keys that are followed take.
    const LARGEST: u64 = 1 << 20;
    let path = state.join("root-keys");
    let read = path.clone();
    Storage::new(
        move || read_file(&read, LARGEST).ok().map(|raw| raw.bytes().into_owned()),
        move |bytes| {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            write_whole(&path, bytes, 0o644)
        },
    )
}

/// Starts the reports, where there is a place to keep them. Returns what the log is to show its records.
pub(super) fn counted_before(
    config: &report::Config,
    state: Option<&Path>,
    wiring: report::Wiring,
) -> io::Result<Option<(Arc<report::Ledger>, Tap)>> {
    let path = config.store.clone().or_else(|| Some(state?.join(report::STORE)));
    let Some(path) = path.filter(|_| config.days > 0) else { return Ok(None) };
    if let Some(folder) = path.parent() {
        // Where the state is kept, nothing else may have made it yet; what fails is said when the store is opened.
        let _said_later = std::fs::create_dir_all(folder).is_err();
    }
    report::Ledger::begin(config.clone(), path, wiring).map(Some)
}

/// Name of that file below the state directory.
const LAST_DAY: &str = "last-day.json";
