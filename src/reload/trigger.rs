//! Owns what wakes the pipeline: a signal, a changed file, a legal date, a source that is due, a zone's primary, a request.
//! The only door of `notify`. Logs every outcome once. Never reloads by itself, and never waits for the network: whatever is
//! fetched is fetched on a thread of its own, while dates and files are served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::outcome::{By, Outcome};
use super::pipeline::Pipeline;
use crate::clock::Clock;

/// What woke the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An input changed on disk.
    File,
    /// An instrument or exception starts or ends.
    LegalDate,
    /// A source is due to be fetched.
    Refresh,
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
    /// Who asks, and why.
    pub by: By,
    /// Where the outcome goes.
    pub reply: oneshot::Sender<Outcome>,
}

/// What an operator may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Count a signature of the change that waits.
    Approve {
        /// What was signed.
        law: String,
        /// The signature, as minisign writes it.
        signature: String,
    },
    /// Hold a generation in force.
    Pin {
        /// Its number; `None` for the one in force.
        to: Option<u64>,
    },
    /// Read all inputs again; `accept_shrink` lets lists lose, or gain, more than the guard allows, and block
    /// what is asked most.
    Reload {
        /// See above.
        accept_shrink: bool,
    },
    /// Put an earlier generation in force.
    Rollback {
        /// Its number; `None` for the one before the present.
        to: Option<u64>,
    },
    /// End what a pin or a rollback holds, and reload.
    Unpin,
}

impl RequestKind {
    /// The word in history and audit log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Pin { .. } => "pin",
            Self::Reload { .. } => "reload",
            Self::Rollback { .. } => "rollback",
            Self::Unpin => "unpin",
        }
    }
}

impl RequestKind {
    /// Whether the present inputs are read for it.
    fn reads(&self) -> bool {
        matches!(self, Self::Reload { .. } | Self::Unpin)
    }
}

impl Trigger {
    /// The word in history and audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LegalDate => "date",
            Self::File | Self::Refresh | Self::Request | Self::Signal => "reload",
        }
    }

    /// Whether a person asked.
    pub fn is_explicit(self) -> bool {
        matches!(self, Self::Request | Self::Signal)
    }

    /// Who asks, when nobody does by name.
    fn who(self) -> By {
        By::new(match self {
            Self::File => "file",
            Self::LegalDate => "date",
            Self::Refresh => "timer",
            Self::Request => "request",
            Self::Signal => "signal",
        })
    }
}

/// How long files must be quiet before they are read: editors and downloads write in several steps.
const QUIET: Duration = Duration::from_millis(300);
/// Where they never are, reading them takes a twentieth of the time at most: queries are answered by the same processors.
const REST: u32 = 20;
/// But what was changed waits no longer than this, however much there is to read.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// When a date of law that was refused is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// How often that which is due by time alone is looked after.
const TEND: Duration = Duration::from_secs(10);

const RELOAD: RequestKind = RequestKind::Reload { accept_shrink: false };

/// A trigger whose sources are fetched.
struct Fetched {
    trigger: Trigger,
    kind: RequestKind,
    by: By,
    reply: Option<oneshot::Sender<Outcome>>,
    /// False when there is nothing to look at.
    worthwhile: bool,
}

impl Fetched {
    /// What a trigger asks for by itself.
    fn of(trigger: Trigger) -> Self {
        Self { trigger, kind: RELOAD, by: trigger.who(), reply: None, worthwhile: true }
    }
}

/// Serves triggers until the requests' sender is dropped.
pub async fn watch(pipeline: Arc<Pipeline>, clock: Clock, mut requests: mpsc::Receiver<Request>) {
    let (changed, mut changes) = mpsc::channel(1);
    let (ready, mut fetched) = mpsc::channel(16);
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be received; reloads go through the API only");
            return;
        }
    };
    let mut watcher = Files::new(changed.clone());
    let work = Arc::clone(&pipeline);
    // Not waited for: requests may come meanwhile.
    drop(tokio::task::spawn_blocking(move || work.settle()));
    let mut retry = Box::pin(sleep(Duration::ZERO));
    let (mut quiet, mut rested) = (Box::pin(sleep(Duration::ZERO)), Box::pin(sleep(Duration::ZERO)));
    let (mut unread, mut refreshing) = (false, false);
    let begin = |asked| fetch(&pipeline, asked, &ready);
    loop {
        if watcher.follow(pipeline.watched()) {
            // What changed between its reading and now was not noticed: look once.
            let _full = changed.try_send(()).is_err();
        }
        let date = pipeline.next_transition();
        let due = async {
            retry.as_mut().await;
            match date {
                Some(date) => clock.reached(date).await,
                None => std::future::pending().await,
            }
        };
        let next = pipeline.next_fetch();
        let refresh = async {
            match next {
                Some(next) => clock.passed(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            request = requests.recv() => {
                let Some(Request { kind, by, reply }) = request else {
                    let work = Arc::clone(&pipeline);
                    return drop(tokio::task::spawn_blocking(move || work.end()).await);
                };
                if kind.reads() {
                    let reply = Some(reply);
                    begin(Fetched { trigger: Trigger::Request, kind, by, reply, worthwhile: true });
                } else {
                    let outcome = run(&pipeline, Trigger::Request, kind, by).await;
                    // Nobody may be waiting any more.
                    let _gone = reply.send(outcome).is_err();
                }
            }
            _ = hangup.recv() => {
                begin(Fetched::of(Trigger::Signal));
            }
            Some(()) = changes.recv() => {
                if !unread {
                    quiet.set(sleep(QUIET));
                    unread = true;
                }
            }
            () = async { tokio::join!(quiet.as_mut(), rested.as_mut()); }, if unread => {
                unread = false;
                // Whatever they are of, it is read now.
                while changes.try_recv().is_ok() {}
                begin(Fetched::of(Trigger::File));
            }
            () = refresh, if !refreshing => {
                refreshing = begin(Fetched::of(Trigger::Refresh));
                if !refreshing {
                    // It stays due; do not spin on a machine that has no thread to give.
                    sleep(Duration::from_secs(1)).await;
                }
            }
            // When a source is due is asked anew.
            () = pipeline.notified() => {}
            Some(Fetched { trigger, kind, by, reply, worthwhile }) = fetched.recv() => {
                refreshing &= trigger != Trigger::Refresh;
                if worthwhile {
                    let began = clock.now();
                    let outcome = run(&pipeline, trigger, kind, by).await;
                    if trigger == Trigger::File {
                        rested.set(sleep((clock.now().since(began) * REST).min(LONGEST_REST)));
                    }
                    let _gone = reply.is_some_and(|reply| reply.send(outcome).is_err());
                }
            }
            () = sleep(TEND) => {
                let work = Arc::clone(&pipeline);
                // A disk may take its time; a failure is in the pipeline's status.
                drop(tokio::task::spawn_blocking(move || work.tend()).await);
            }
            () = due => {
                let by = Trigger::LegalDate.who();
                let outcome = run(&pipeline, Trigger::LegalDate, RELOAD, by).await;
                if matches!(outcome, Outcome::Rejected { .. }) {
                    // The date stays due; do not spin on a guard that refuses it.
                    retry.set(sleep(AGAIN));
                }
            }
        }
    }
}

/// Fetches what is asked for on a thread of its own, which a process that stops need not wait for; says when it is done.
/// False when there is no thread.
fn fetch(pipeline: &Arc<Pipeline>, asked: Fetched, ready: &mpsc::Sender<Fetched>) -> bool {
    let (pipeline, done, trigger) = (Arc::clone(pipeline), ready.clone(), asked.trigger);
    let work = move || {
        let accept_leaps = asked.kind == RequestKind::Reload { accept_shrink: true };
        let collect = std::panic::AssertUnwindSafe(|| pipeline.collect(trigger, accept_leaps));
        // A fetch that died is no reason to leave out the rest.
        let worthwhile = std::panic::catch_unwind(collect).unwrap_or(true);
        // Nobody listens any more when the process stops.
        let _stopping = done.blocking_send(Fetched { worthwhile, ..asked }).is_err();
    };
    let thread = std::thread::Builder::new().name("collect".to_owned()).spawn(work);
    thread.inspect_err(|error| tracing::error!(%error, ?trigger, "no thread to fetch sources on")).is_ok()
}

async fn run(pipeline: &Arc<Pipeline>, trigger: Trigger, kind: RequestKind, by: By) -> Outcome {
    let work = Arc::clone(pipeline);
    let done = tokio::task::spawn_blocking(move || match kind {
        RequestKind::Approve { law, signature } => work.approve(&law, &signature, &by),
        RequestKind::Pin { to } => work.pin(to, &by),
        RequestKind::Reload { accept_shrink } => work.run(trigger, accept_shrink, &by),
        RequestKind::Rollback { to } => work.rollback(to, &by),
        RequestKind::Unpin => work.unpin(&by),
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
        Outcome::Held { .. } | Outcome::Waiting(_) => tracing::warn!(?trigger, "reload {outcome}"),
        Outcome::Unchanged { .. } if matches!(trigger, Trigger::File | Trigger::Refresh) => {
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
