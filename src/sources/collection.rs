//! Owns all collected sources: which there are, their fetches side by side, and what the control plane is given of each.
//! One fetch of a source at a time. Never publishes: the control plane says which new content was good.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::condition::{Condition, Failing, SignedBy};
use super::config::{Config, Origin};
use super::entry::Entry;
use super::fetch::{self, Content, Visit};
use super::file::Raw;
use super::kept::{Kept, Shelf};
use super::metrics;
use super::notify::Notifies;
use super::refusal::Refusal;
use crate::clock::{Clock, Moment};
use crate::telemetry::Sample;

/// All collected sources.
#[derive(Debug)]
pub struct Collection {
    pub(super) clock: Clock,
    shelf: Option<Shelf>,
    state: Mutex<State>,
    pub(super) notifies: Notifies,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The sources of the configuration in force.
    pub(super) adopted: Vec<Config>,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// Which sources are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one: an operator asked.
    All,
    /// Those whose time has come.
    Due,
    /// Signed files, and what was never tried: something changed on disk.
    Local,
}

/// New content of a source that was judged good by itself.
#[derive(Clone, Debug)]
pub struct Arrival {
    source: String,
    kept: Arc<Kept>,
}

/// What there is of a source.
#[derive(Clone, Debug, Default)]
pub struct Holding {
    /// Its newest content that may be used.
    pub raw: Option<Raw>,
    /// Set when that content is new.
    pub arrival: Option<Arrival>,
    /// The last good content before that.
    pub before: Option<Raw>,
    /// Why there is nothing newer.
    pub refusal: Option<Refusal>,
    /// Since when, and what is used instead, in words; empty while it does not fail.
    pub standing: String,
    /// True when it is part of the configuration in force, and so may have no content yet.
    pub adopted: bool,
}

/// Judges new content: its source, its bytes, how many rules the content before had. Returns how many these have.
pub type Judge<'j> = &'j (dyn Fn(&Config, &Raw, Option<u64>) -> Result<u64, Refusal> + Sync);

/// Sources fetched at once: enough that one slow server delays no other, few enough for a small host.
const AT_ONCE: usize = 8;
/// Longest time that first fetches may take at the start, all together: questions wait for them.
const AT_START: Duration = Duration::from_secs(20);

impl Arrival {
    /// The source's name.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl Collection {
    /// An empty collection that keeps its content below the state directory `state`, or in memory.
    pub fn new(state: Option<&Path>, clock: Clock) -> Self {
        Self { clock, shelf: state.map(Shelf::new), state: Mutex::default(), notifies: Notifies::default() }
    }

    /// Makes `sources` the ones that are fetched by themselves; forgets all others, on disk too.
    pub fn adopt(&self, sources: &[Config]) {
        let collected: Vec<Config> = sources.iter().filter(|source| source.is_collected()).cloned().collect();
        let names: BTreeSet<&str> = collected.iter().map(|source| source.name.as_str()).collect();
        let now = self.clock.now();
        let mut state = self.state();
        let State { adopted, entries } = &mut *state;
        for source in &collected {
            let entry = entries.entry(source.name.clone()).or_default();
            if !adopted.iter().any(|before| is_same_list(before, source) && before.origin == source.origin) {
                // From elsewhere, or at another pace: its time counts from now.
                entry.reschedule(source, now);
            }
        }
        let known = entries.len();
        entries.retain(|name, _| names.contains(name.as_str()));
        let forgotten = entries.len() < known;
        adopted.clone_from(&collected);
        drop(state);
        if let (Some(shelf), true) = (&self.shelf, forgotten) {
            shelf.retain(&names);
        }
    }

    /// The start: takes what is on disk, adopts `sources`, and fetches what was never fetched, for a bounded time. All
    /// others are due at once.
    pub fn start(&self, sources: &[Config], judge: Judge<'_>) {
        self.resume(sources);
        self.fetch_until(sources, Which::Local, judge, Some(self.clock.now().plus(AT_START)));
    }

    /// The same without a fetch: all are due at once.
    pub fn resume(&self, sources: &[Config]) {
        self.load(sources);
        self.adopt(sources);
        if let Some(shelf) = &self.shelf {
            shelf.retain(&sources.iter().map(|source| source.name.as_str()).collect());
        }
        let now = self.clock.now();
        for entry in self.state().entries.values_mut() {
            // Only a source that is refreshed by itself has a time at all.
            entry.due = entry.due.map(|_| now);
        }
    }

    /// Fetches some of `sources` and has what is new judged. Blocks for as long as the slowest takes. True when
    /// something new waits to be taken.
    pub fn fetch(&self, sources: &[Config], which: Which, judge: Judge<'_>) -> bool {
        self.load(sources);
        self.fetch_until(sources, which, judge, None)
    }

    /// Fetches those of the configuration in force whose time has come.
    pub fn fetch_due(&self, judge: Judge<'_>) -> bool {
        let adopted = self.state().adopted.clone();
        self.fetch(&adopted, Which::Due, judge)
    }

    /// When the next source is due.
    pub fn due(&self) -> Option<Moment> {
        let state = self.state();
        state.adopted.iter().filter_map(|source| state.entries.get(&source.name)?.due).min()
    }

    /// What there is of each of `sources` that is collected, as the configuration they come from may use it.
    pub fn holdings(&self, sources: &[Config]) -> BTreeMap<String, Holding> {
        self.load(sources);
        let state = self.state();
        let holding = |source: &Config| {
            let entry = state.entries.get(&source.name)?;
            let good = |kept: &Option<Arc<Kept>>| kept.clone().filter(|kept| kept.is_good_for(source));
            let (kept, new) = (good(&entry.kept), good(&entry.arrived));
            Some(Holding {
                raw: new.as_ref().or(kept.as_ref()).map(|kept| kept.content.raw.clone()),
                arrival: new.map(|kept| Arrival { source: source.name.clone(), kept }),
                before: kept.as_ref().map(|kept| kept.content.raw.clone()),
                refusal: entry.failing.as_ref().map(|failing| failing.refusal.clone()),
                standing: entry.standing(),
                adopted: state.adopted.iter().any(|adopted| is_same_list(adopted, source)),
            })
        };
        let collected = sources.iter().filter(|source| source.is_collected());
        collected.map(|source| (source.name.clone(), holding(source).unwrap_or_default())).collect()
    }

    /// What there would be after a fetch of those of which there is nothing, or of `all`; keeps and counts nothing.
    pub fn preview(&self, sources: &[Config], all: bool, judge: Judge<'_>) -> BTreeMap<String, Holding> {
        let mut holdings = self.holdings(sources);
        let is_wanted =
            |source: &&Config| holdings.get(&source.name).is_some_and(|held| all || held.raw.is_none());
        let wanted: Vec<&Config> = sources.iter().filter(is_wanted).collect();
        let found = Mutex::new(Vec::new());
        side_by_side(&wanted, |source| {
            let known = self.known(source);
            let fetched = bring(source, known.as_deref(), judge, &mut self.visit(Duration::MAX));
            found.lock().unwrap_or_else(PoisonError::into_inner).push((source.name.clone(), fetched));
        });
        for (name, fetched) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let Some(holding) = holdings.get_mut(&name) else { continue };
            match fetched {
                Ok(Some((content, _))) => holding.raw = Some(content.raw),
                Ok(None) => holding.refusal = None,
                Err(refusal) => holding.refusal = Some(refusal),
            }
        }
        holdings
    }

    /// Takes new content as the last good one: it is part of a generation that will be published.
    pub fn accept(&self, arrivals: &[Arrival]) {
        for Arrival { source, kept } in arrivals {
            let now = self.clock.wall();
            let written = self.shelf.as_ref().map(|shelf| shelf.keep(source, kept, now));
            let mut state = self.state();
            let entry = state.entries.entry(source.clone()).or_default();
            entry.accept(source, kept, now);
            entry.written(source, written);
        }
    }

    /// Lets go of new content: no generation can be made with it.
    pub fn refuse(&self, arrivals: &[Arrival], refusal: &Refusal) {
        let (wall, now) = (self.clock.wall(), self.clock.now());
        for Arrival { source, kept } in arrivals {
            let mut state = self.state();
            let State { adopted, entries } = &mut *state;
            let entry = entries.entry(source.clone()).or_default();
            if entry.arrived.as_ref().is_some_and(|arrived| Arc::ptr_eq(arrived, kept)) {
                entry.arrived = None;
            }
            entry.fail(source, refusal.clone(), wall);
            if let Some(config) = adopted.iter().find(|config| config.name == *source) {
                entry.reschedule(config, now);
            }
        }
    }

    /// The state of every source of the configuration in force.
    pub fn conditions(&self) -> BTreeMap<String, Condition> {
        let state = self.state();
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let condition = |source: &Config| {
            let entry = state.entries.get(&source.name)?;
            let signature = entry.kept.as_ref().and_then(|kept| kept.content.signature.as_ref());
            Some(Condition {
                from: source.title(),
                confirmed_at: entry.confirmed_at,
                changed_at: entry.kept.as_ref().map(|kept| kept.changed_at),
                next_fetch: entry.due.and_then(|due| wall.checked_add(due.since(now)).ok()),
                signed: signature.map(|signature| SignedBy {
                    key: signature.key.to_string(),
                    comment: signature.seal.comment.clone(),
                    at: signature.seal.signed_at.map(fetch::date),
                }),
                failing: entry.failing.as_ref().map(|failing| Failing {
                    since: failing.since,
                    times: failing.times,
                    reason: failing.refusal.reason.as_str(),
                    what: failing.refusal.what.clone(),
                    hint: failing.refusal.hint.clone(),
                    standing: entry.standing(),
                }),
                expires_at: entry.expires_at(),
                unkept: entry.unkept.clone(),
            })
        };
        state.adopted.iter().filter_map(|source| Some((source.name.clone(), condition(source)?))).collect()
    }

    /// Signed files and their signatures, to be watched.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.state();
        let files = state.adopted.iter().filter_map(|source| match &source.origin {
            Origin::File { path, signature } => Some([path.clone(), signature.clone()]),
            Origin::Network(_) | Origin::Zone(_) => None,
        });
        files.flatten().collect()
    }

    /// Appends the sources' samples.
    pub fn collect(&self, samples: &mut Vec<Sample>) {
        let state = self.state();
        for source in &state.adopted {
            if let Some(entry) = state.entries.get(&source.name) {
                metrics::collect(&source.name, entry, samples);
            }
        }
        self.notifies.collect(samples);
    }

    fn fetch_until(
        &self,
        sources: &[Config],
        which: Which,
        judge: Judge<'_>,
        deadline: Option<Moment>,
    ) -> bool {
        let now = self.clock.now();
        let state = self.state();
        let is_wanted = |source: &&Config| {
            let entry = state.entries.get(&source.name);
            source.is_collected()
                && match which {
                    Which::All => true,
                    Which::Due => entry.and_then(|entry| entry.due).is_some_and(|due| due <= now),
                    Which::Local => {
                        matches!(source.origin, Origin::File { .. }) || entry.is_none_or(Entry::is_untried)
                    }
                }
        };
        let chosen: Vec<&Config> = sources.iter().filter(is_wanted).collect();
        drop(state);
        let new = AtomicBool::new(false);
        side_by_side(&chosen, |source| {
            let limit = deadline.map_or(Duration::MAX, |deadline| deadline.since(self.clock.now()));
            if !limit.is_zero() && self.fetch_one(source, judge, limit) {
                new.store(true, Ordering::Release);
            }
        });
        new.into_inner()
    }

    /// One fetch, judged and written down. True when new content waits.
    fn fetch_one(&self, source: &Config, judge: Judge<'_>, limit: Duration) -> bool {
        let turn = Arc::clone(&self.state().entries.entry(source.name.clone()).or_default().turn);
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        // First of all, so that the source comes back even should this thread die.
        self.state().entries.entry(source.name.clone()).or_default().begin(source, self.clock.now());
        let known = self.known(source);
        let mut visit = self.visit(limit);
        let fetched = bring(source, known.as_deref(), judge, &mut visit);
        let wall = self.clock.wall();
        let written = match (&fetched, &known) {
            (Ok(None), Some(known)) => self.confirm(source, known, wall),
            _ => None,
        };
        let mut state = self.state();
        let entry = state.entries.entry(source.name.clone()).or_default();
        let is_new = matches!(fetched, Ok(Some(_)));
        match fetched {
            Ok(Some((content, rules))) => {
                let from = source.title();
                entry.arrived = Some(Arc::new(Kept { content, from, rules, changed_at: wall }));
            }
            Ok(None) => entry.confirm(&source.name, wall),
            Err(refusal) => entry.fail(&source.name, refusal, wall),
        }
        entry.written(&source.name, written);
        if !visit.primaries.is_empty() {
            entry.primaries = visit.primaries;
        }
        entry.reschedule(source, self.clock.now());
        is_new
    }

    /// Writes down that the last good content was confirmed; the content too, if it could not be written before. New
    /// content that waits is written when it is taken.
    fn confirm(&self, source: &Config, known: &Arc<Kept>, at: jiff::Timestamp) -> Option<io::Result<()>> {
        let shelf = self.shelf.as_ref()?;
        let state = self.state();
        let entry = state.entries.get(&source.name)?;
        let is_kept = entry.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, known));
        let is_written = entry.unkept.is_none();
        drop(state);
        is_kept.then(|| match is_written {
            true => shelf.confirm(&source.name, known, at),
            false => shelf.keep(&source.name, known, at),
        })
    }

    /// The newest content of a source that is good by its present configuration.
    fn known(&self, source: &Config) -> Option<Arc<Kept>> {
        let state = self.state();
        let entry = state.entries.get(&source.name)?;
        entry.arrived.iter().chain(&entry.kept).find(|kept| kept.is_good_for(source)).cloned()
    }

    /// Takes from disk what is not in memory yet, and verifies by another key what that key may stand for too.
    fn load(&self, sources: &[Config]) {
        for source in sources.iter().filter(|source| source.is_collected()) {
            let mut state = self.state();
            let entry = state.entries.entry(source.name.clone()).or_default();
            let (before, looked) = (entry.kept.clone(), std::mem::replace(&mut entry.looked, true));
            drop(state);
            let found = match (&before, &self.shelf) {
                (Some(kept), _) if !kept.is_good_for(source) => {
                    kept.verified_for(source).map(|kept| (kept, None))
                }
                (None, Some(shelf)) if !looked => match shelf.load(source) {
                    Ok(found) => found.map(|(kept, confirmed_at)| (kept, Some(confirmed_at))),
                    Err(error) => {
                        tracing::warn!(source = source.name, %error, "kept content cannot be used");
                        None
                    }
                },
                _ => None,
            };
            if let Some((kept, confirmed_at)) = found {
                let mut state = self.state();
                let entry = state.entries.entry(source.name.clone()).or_default();
                // What was taken as good meanwhile is newer.
                if entry.kept.as_ref().map(Arc::as_ptr) == before.as_ref().map(Arc::as_ptr) {
                    entry.kept = Some(Arc::new(kept));
                    entry.confirmed_at = confirmed_at.or(entry.confirmed_at);
                }
            }
        }
    }

    fn visit(&self, limit: Duration) -> Visit {
        Visit { limit, now: self.clock.wall(), primaries: Vec::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True when both are the same list of the same publisher.
fn is_same_list(one: &Config, other: &Config) -> bool {
    one.name == other.name && one.title() == other.title() && one.key == other.key
}

/// Fetches a source and has new content judged; `None` when what is known is what is published.
fn bring(
    source: &Config,
    known: Option<&Kept>,
    judge: Judge<'_>,
    visit: &mut Visit,
) -> Result<Option<(Content, u64)>, Refusal> {
    let Some(content) = fetch::fetch(source, known, visit)? else { return Ok(None) };
    let rules = judge(source, &content.raw, known.map(|known| known.rules))?;
    Ok(Some((content, rules)))
}

/// Does `work` for each source, several at once. A thread that dies takes its source's turn with it, no other's.
fn side_by_side(sources: &[&Config], work: impl Fn(&Config) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(source);
        }
    };
    if let [only] = sources {
        return work(only);
    }
    thread::scope(|scope| {
        let threads: Vec<_> = (0..sources.len().min(AT_ONCE))
            .map(|_| thread::Builder::new().name("fetch".to_owned()).spawn_scoped(scope, worker))
            .collect();
        let mut failed = false;
        for thread in threads {
            failed |= thread.is_ok_and(|thread| thread.join().is_err());
        }
        if failed {
            tracing::error!("a fetch died; its source is tried again later");
        }
        // What no thread could be started for, or a dead one left.
        worker();
    });
}
