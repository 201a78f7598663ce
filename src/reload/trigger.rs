//! Owns what wakes the pipeline: a signal, a changed file, a legal date, a request. The only door of `notify`. Logs every
//! outcome once. Never reloads by itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::outcome::Outcome;
use super::pipeline::Pipeline;
use crate::clock::Clock;

/// What woke the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An input changed on disk.
    File,
    /// An instrument or exception starts or ends.
    LegalDate,
    /// An operator asked through the API.
    Request,
    /// SIGHUP.
    Signal,
}

/// Something an operator asks for.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub kind: RequestKind,
    /// Where the outcome goes.
    pub reply: oneshot::Sender<Outcome>,
}

/// What an operator may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Read all inputs again; `accept_shrink` lets lists lose more than the guard allows.
    Reload {
        /// See above.
        accept_shrink: bool,
    },
    /// Put an earlier generation in force.
    Rollback {
        /// Its number; `None` for the one before the present.
        to: Option<u64>,
    },
}

/// How long files must be quiet before they are read: editors and downloads write in several steps.
const QUIET: Duration = Duration::from_millis(300);

/// Serves triggers until the requests' sender is dropped.
pub async fn watch(pipeline: Arc<Pipeline>, clock: Clock, mut requests: mpsc::Receiver<Request>) {
    let (changed, mut changes) = mpsc::channel(1);
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be received; reloads go through the API only");
            return;
        }
    };
    let mut watcher = Files::new(changed.clone());
    loop {
        if watcher.follow(pipeline.watched()) {
            // What changed between its reading and now was not noticed: look once.
            let _full = changed.try_send(()).is_err();
        }
        let date = pipeline.next_transition();
        let due = async {
            match date {
                Some(date) => clock.reached(date).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            request = requests.recv() => {
                let Some(Request { kind, reply }) = request else { return };
                let outcome = run(&pipeline, Trigger::Request, kind).await;
                // Nobody may be waiting any more.
                let _gone = reply.send(outcome).is_err();
            }
            _ = hangup.recv() => {
                run(&pipeline, Trigger::Signal, RequestKind::Reload { accept_shrink: false }).await;
            }
            Some(()) = changes.recv() => {
                sleep(QUIET).await;
                while changes.try_recv().is_ok() {}
                run(&pipeline, Trigger::File, RequestKind::Reload { accept_shrink: false }).await;
            }
            () = due => {
                let outcome = run(&pipeline, Trigger::LegalDate, RequestKind::Reload { accept_shrink: false }).await;
                if matches!(outcome, Outcome::Rejected { .. }) {
                    // The date stays due; do not spin on inputs that are bad.
                    sleep(Duration::from_secs(30)).await;
                }
            }
        }
    }
}

async fn run(pipeline: &Arc<Pipeline>, trigger: Trigger, kind: RequestKind) -> Outcome {
    let work = Arc::clone(pipeline);
    let done = tokio::task::spawn_blocking(move || match kind {
        RequestKind::Reload { accept_shrink } => work.run(trigger, accept_shrink),
        RequestKind::Rollback { to } => work.rollback(to),
    });
    let outcome = match done.await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "the reload failed");
            return Outcome::Rejected { stage: super::Stage::Compile, problems: Vec::new() };
        }
    };
    match &outcome {
        Outcome::Rejected { .. } => tracing::error!(?trigger, "reload {outcome}"),
        Outcome::Unchanged { .. } if trigger == Trigger::File => {
            tracing::debug!(?trigger, "reload {outcome}")
        }
        _ => tracing::info!(?trigger, "reload {outcome}"),
    }
    outcome
}

/// Watches the directories of files, as editors replace files by renaming.
struct Files {
    watcher: Option<notify::RecommendedWatcher>,
    paths: Arc<std::sync::Mutex<Vec<PathBuf>>>,
    directories: Vec<PathBuf>,
}

impl Files {
    fn new(changed: mpsc::Sender<()>) -> Self {
        let paths = Arc::new(std::sync::Mutex::new(Vec::<PathBuf>::new()));
        let ours = Arc::clone(&paths);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let ours = ours.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let meant =
                event.paths.iter().any(|path| ours.iter().any(|our| our.file_name() == path.file_name()));
            if meant && !event.kind.is_access() {
                // Full means that a change is already on its way.
                let _full = changed.try_send(()).is_err();
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "changed files are not noticed")).ok();
        Self { watcher, paths, directories: Vec::new() }
    }

    /// Watches `paths` too; true when one of their directories was not watched before.
    fn follow(&mut self, paths: Vec<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let known = self.directories.len();
        for path in &paths {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = directory.map_or_else(|| PathBuf::from("."), PathBuf::from);
            if !self.directories.contains(&directory) {
                if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
                    tracing::warn!(%error, directory = %directory.display(), "changes are not noticed there");
                }
                self.directories.push(directory);
            }
        }
        *self.paths.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = paths;
        self.directories.len() > known
    }
}
