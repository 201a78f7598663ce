//! Owns the reports while the process runs: the thread that writes what was counted to the store, opens it, has it forget, and the questions about it. A
//! slow, full or broken disk delays this thread and whoever asks for a report; never a query.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};

use super::config::Config;
use super::metrics::Counts;
use super::period::{Asked, Calendar, Period};
use super::store::{Batch, ReadError, Store, StoreError, devices_beside, move_aside, report_beside};
use super::summary::{Devices, Event, Generation, Report};
use super::taker::Taker;
use super::tally::{Client, Reason, Tally, Words};
use crate::clock::{Clock, Moment};
use crate::policy::{Identities, Identity, Live};
use crate::problem::{Place, Problem};
use crate::telemetry::{Clients, Collect, Describe, Inboxes, Sample, Tap};

/// The reports of a running resolver.
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What it reads.
pub struct Wiring {
    /// The policy in force: zone, generation, signs.
    pub live: Live,
    /// Turns the ids of a record into words.
    pub describe: Arc<dyn Describe>,
    /// Who clients were, beside their addresses.
    pub identities: Identities,
    /// The queues that records come from; asked how many they lost.
    pub inboxes: Arc<Inboxes>,
    /// The time.
    pub clock: Clock,
}

#[derive(Debug)]
pub(super) struct Shared {
    config: Config,
    path: PathBuf,
    clock: Clock,
    live: Live,
    identities: Identities,
    inboxes: Arc<Inboxes>,
    pending: Mutex<(Tally, Words)>,
    kept: Mutex<Kept>,
    failing: AtomicBool,
    stop: AtomicBool,
    counts: Counts,
}

/// The store, and what its thread knows.
#[derive(Debug)]
struct Kept {
    store: Option<Store>,
    /// When opening it is tried again.
    try_at: Moment,
    complained: Option<Moment>,
    /// When it is next looked at what is too old.
    forget_at: Moment,
    /// What the queues of query threads had lost.
    lost: u64,
    /// Not written yet; the last is in force.
    generations: Vec<Generation>,
    events: Vec<Event>,
    /// How far wall time was from monotonic time, in milliseconds, and since when that stands still.
    offset: i64,
    steady_since: Moment,
    /// When anything was last written.
    written: Moment,
}

/// How often what was counted is written: what a crash may lose.
const FLUSH: Duration = Duration::from_secs(10);
/// How often the generation in force and the clock are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is written that nothing was counted.
const IDLE: Duration = Duration::from_secs(60);
/// How long a store that cannot be opened is left alone.
const RETRY: Duration = Duration::from_secs(30);
/// How often days that are too old are taken away, and how long the clock must have stood still before that: one that runs ahead by years until the
/// network sets it right must not empty the store.
const FORGET: Duration = Duration::from_secs(3600);
/// Time between two complaints.
const COMPLAINT: Duration = Duration::from_secs(60);
/// A wall clock that moves by more than this against monotonic time was set.
const SET_MS: i64 = 60_000;
/// Events that wait to be written.
const EVENTS: usize = 100;

impl Ledger {
    /// Starts it over a file. Returns what the log's thread is to show its records. Fails when the system gives no thread; a store that cannot be
    /// opened is said, counted, and tried again.
    pub fn begin(config: Config, path: PathBuf, wiring: Wiring) -> io::Result<(Arc<Self>, Tap)> {
        let Wiring { live, describe, identities, inboxes, clock } = wiring;
        let now = clock.now();
        let kept = Kept {
            store: None,
            try_at: now,
            complained: None,
            forget_at: now.plus(FORGET),
            lost: inboxes.lost(),
            generations: Vec::new(),
            events: Vec::new(),
            offset: offset(&clock),
            steady_since: now,
            written: now,
        };
        let shared = Arc::new(Shared {
            path,
            clock,
            live: live.clone(),
            identities,
            inboxes,
            pending: Mutex::default(),
            kept: Mutex::new(kept),
            failing: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            counts: Counts::default(),
            config,
        });
        let mut taker = Taker::new(Arc::clone(&shared), &shared.config, describe, live);
        let working = Arc::clone(&shared);
        let thread = thread::Builder::new().name("report".to_owned()).spawn(move || working.tend())?;
        let ledger = Self { shared, thread: Mutex::new(Some(thread)) };
        Ok((Arc::new(ledger), Box::new(move |record| taker.take(record))))
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Writes what waits, now. Waits for a disk: not for a runtime's thread.
    pub fn write(&self) {
        let mut kept = self.shared.kept();
        self.shared.look(&mut kept);
        self.shared.flush(&mut kept, false);
    }

    /// What an operator should look at; `None` when the store can be written.
    pub fn trouble(&self) -> Option<String> {
        let path = self.shared.path.display();
        self.shared
            .is_failing()
            .then(|| format!("the store of reports {path} cannot be written; counts wait in memory"))
    }

    /// A report, of what was counted up to now. Reads a disk: not for a runtime's thread.
    pub fn report(&self, asked: &Asked, detailed: bool) -> Result<Report, Problem> {
        let (calendar, now) = (self.shared.calendar(), self.shared.clock.wall());
        let period = asked.period(calendar.day(now))?;
        self.shared.read(|path| report_beside(path, now, &calendar, period, detailed))
    }

    /// Devices that very likely have an app; without a period asked for, by the last 30 days.
    pub fn devices(&self, asked: &Asked) -> Result<Devices, Problem> {
        let (calendar, now) = (self.shared.calendar(), self.shared.clock.wall());
        let today = calendar.day(now);
        let period = if asked.is_empty() { Period::last(30, today) } else { asked.period(today)? };
        self.shared.read(|path| devices_beside(path, now, &calendar, period))
    }

    /// Writes what waits and ends the thread, within `patience`. Returns false when it did not end, and is left behind. Waits; not for a runtime's
    /// thread. After the log's thread has ended, nothing more comes.
    pub fn stop(&self, patience: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(5);
        self.shared.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return true };
        thread.thread().unpark();
        for _ in 0..patience.as_millis() / LOOK.as_millis() {
            if thread.is_finished() {
                break;
            }
            thread::sleep(LOOK);
        }
        thread.is_finished() && thread.join().is_ok()
    }
}

impl Collect for Ledger {
    fn collect(&self, samples: &mut Vec<Sample>) {
        self.shared.counts.collect(samples);
    }
}

impl Shared {
    /// What was counted and not written. Held briefly by everybody.
    pub(super) fn pending(&self) -> MutexGuard<'_, (Tally, Words)> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while the store cannot be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calendar(&self) -> Calendar {
        Calendar::new(self.live.load().config().time_zone.clone())
    }

    fn tend(&self) {
        let mut next = self.clock.now();
        loop {
            // Read before the last write, so that what was counted before the stop is written.
            let stopping = self.stop.load(Ordering::Acquire);
            let mut kept = self.kept();
            self.look(&mut kept);
            if stopping || self.clock.now() >= next {
                self.flush(&mut kept, stopping);
                next = self.clock.now().plus(FLUSH);
            }
            if stopping {
                if let Some(store) = &kept.store {
                    store.settle();
                }
                return;
            }
            drop(kept);
            thread::park_timeout(LOOK);
        }
    }

    /// Notes which generation is in force, and whether the clock was set.
    fn look(&self, kept: &mut Kept) {
        let (snapshot, now) = (self.live.load(), self.clock.wall());
        match kept.generations.last_mut() {
            Some(known) if known.generation == snapshot.generation() => known.until = known.until.max(now),
            _ => kept.generations.push(Generation {
                generation: snapshot.generation(),
                digest: snapshot.digest(),
                since: now,
                until: now,
            }),
        }
        let offset = offset(&self.clock);
        let moved = offset - kept.offset;
        kept.offset = offset;
        if moved.abs() < SET_MS {
            return;
        }
        kept.steady_since = self.clock.now();
        kept.note(now, "clock", format!("{:+} s", moved / 1000));
        if let Some(store) = &mut kept.store {
            store.begin_run(now.as_millisecond());
        }
        let generation = kept.generations.last().cloned();
        kept.generations.extend(generation.map(|known| Generation { since: now, until: now, ..known }));
    }

    /// Writes what was counted, opens the store for that where need be, and keeps it within its bounds.
    fn flush(&self, kept: &mut Kept, at_the_end: bool) {
        let lost = self.inboxes.lost();
        let today = self.calendar();
        let (tally, said) = {
            let mut pending = self.pending();
            if lost > kept.lost {
                pending.0.lose(today.day(self.clock.wall()), Reason::Queue, lost - kept.lost);
                kept.lost = lost;
            }
            for (count, more) in self.counts.lost.iter().zip(std::mem::take(&mut pending.0.untold)) {
                count.fetch_add(more, Ordering::Relaxed);
            }
            (std::mem::take(&mut pending.0), pending.1.said())
        };
        let now = self.clock.now();
        let has_news = !tally.is_empty() || kept.generations.len() > 1 || !kept.events.is_empty();
        if !has_news && !at_the_end && kept.store.is_some() && now.since(kept.written) < IDLE {
            return;
        }
        if kept.store.is_none() && now < kept.try_at && !at_the_end {
            return self.pending().0.take_back(tally);
        }
        let written = self.open(kept).and_then(|()| {
            let wall = self.clock.wall();
            let batch = Batch {
                tally: &tally,
                said: &said,
                client: &|client| self.in_words(client),
                generations: &kept.generations,
                events: &kept.events,
                until: wall.as_millisecond(),
                today: today.day(wall),
                time_zone: today.name(),
                clients: self.config.clients.as_str(),
            };
            kept.store.as_mut().map_or(Ok(0), |store| store.write(&batch))
        });
        match written {
            Ok(rows) => {
                self.failing.store(false, Ordering::Relaxed);
                self.counts.records.fetch_add(tally.records, Ordering::Relaxed);
                self.counts.rows.fetch_add(rows, Ordering::Relaxed);
                if let Some(newest) = tally.totals.values().map(|count| count.last).max() {
                    self.counts.newest.store(newest / 1000, Ordering::Relaxed);
                }
                kept.written = now;
                kept.events.clear();
                let in_force = kept.generations.pop();
                kept.generations.clear();
                kept.generations.extend(in_force);
                if let Err(error) = self.bound(kept, &today) {
                    self.fail(kept, error);
                }
            }
            Err(error) => {
                self.pending().0.take_back(tally);
                self.fail(kept, error);
            }
        }
    }

    fn open(&self, kept: &mut Kept) -> Result<(), StoreError> {
        // What is written to a file that was taken away is gone with it.
        if kept.store.is_some() && self.path.exists() {
            return Ok(());
        }
        kept.store = None;
        let now = self.clock.wall();
        let mut opened = Store::open(&self.path, self.config.size, now.as_millisecond());
        if let Err(StoreError::Damaged(what)) = &opened {
            self.set_aside(kept, what);
            opened = Store::open(&self.path, self.config.size, now.as_millisecond());
        }
        kept.store = Some(opened?);
        Ok(())
    }

    /// Moves a damaged store aside, loudly.
    fn set_aside(&self, kept: &mut Kept, what: &str) {
        kept.store = None;
        let now = self.clock.wall();
        match move_aside(&self.path, now) {
            Ok(aside) => {
                tracing::error!(
                    path = %self.path.display(), moved_to = %aside.display(), what,
                    "the store of reports is damaged: it was moved aside, and a new one is begun"
                );
                kept.note(now, "damaged", aside.display().to_string());
            }
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), what, "the store of reports is damaged and cannot be moved aside");
            }
        }
    }

    /// Takes away what is too old, or too much.
    fn bound(&self, kept: &mut Kept, today: &Calendar) -> Result<(), StoreError> {
        let Kept { store: Some(store), events, .. } = kept else { return Ok(()) };
        let now = self.clock.now();
        if now >= kept.forget_at && now.since(kept.steady_since) >= FORGET {
            kept.forget_at = now.plus(FORGET);
            let days = i32::try_from(self.config.days).unwrap_or(i32::MAX);
            store.forget(today.day(self.clock.wall()).saturating_sub((days - 1).days()))?;
        }
        // The file is bounded by itself; below that bound there is room for the transaction that makes room.
        let most = self.config.size - self.config.size / 8;
        for _ in 0..DAYS_AT_ONCE {
            let (used, _) = store.size()?;
            let Some((oldest, newest)) =
                store.span()?.filter(|(oldest, newest)| used > most && oldest < newest)
            else {
                break;
            };
            tracing::warn!(day = %oldest, "the store of reports is full: its oldest day is taken away");
            if events.len() < EVENTS {
                events.push(Event {
                    at: self.clock.wall(),
                    what: "full".to_owned(),
                    detail: oldest.to_string(),
                });
            }
            store.forget(oldest.tomorrow().unwrap_or(newest))?;
        }
        self.counts.bytes.store(store.size()?.1, Ordering::Relaxed);
        Ok(())
    }

    fn fail(&self, kept: &mut Kept, error: StoreError) {
        self.failing.store(true, Ordering::Relaxed);
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        if kept.complained.is_none_or(|last| now.since(last) >= COMPLAINT) {
            kept.complained = Some(now);
            tracing::warn!(%error, path = %self.path.display(), "the store of reports cannot be written; what is counted waits in memory");
        }
        match error {
            StoreError::Damaged(what) => self.set_aside(kept, &what),
            StoreError::Full(_) => self.make_room(kept),
            StoreError::Foreign => kept.try_at = now.plus(COMPLAINT),
            // A disk that came back is found by opening the file again.
            StoreError::Failed(_) => {
                kept.store = None;
                kept.try_at = now.plus(RETRY);
            }
        }
    }

    /// When it is the file's own bound that was met, the oldest day goes.
    fn make_room(&self, kept: &mut Kept) {
        let Some(store) = &mut kept.store else { return };
        let Ok((used, _)) = store.size() else { return };
        let span = store
            .span()
            .ok()
            .flatten()
            .filter(|(oldest, newest)| used > self.config.size / 2 && oldest < newest);
        let Some((oldest, newest)) = span else { return };
        if store.forget(oldest.tomorrow().unwrap_or(newest)).is_ok() {
            kept.note(self.clock.wall(), "full", oldest.to_string());
        }
    }

    /// Writes what waits, and reads beside whoever writes next.
    fn read<T>(&self, read: impl FnOnce(&Path) -> Result<T, ReadError>) -> Result<T, Problem> {
        let is_open = {
            let mut kept = self.kept();
            self.look(&mut kept);
            self.flush(&mut kept, false);
            kept.store.is_some()
        };
        let found = match is_open {
            true => read(&self.path).map_err(|error| format!("cannot be read: {error}")),
            false => Err("the store of reports cannot be opened".to_owned()),
        };
        let hint = "the log says since when; what is counted meanwhile waits in memory";
        found.map_err(|what| Problem::error(Place::file(self.path.display().to_string()), what, hint))
    }

    /// A device as reports show it.
    fn in_words(&self, client: Client) -> String {
        match client {
            Client::Address(address) => address.to_string(),
            Client::Digest(digest) => format!("{digest:016x}"),
            Client::Known(number) => self.identities.with(number, Identity::to_string).unwrap_or_default(),
            Client::Network(network) => Clients::Prefix.show(network).unwrap_or_default(),
        }
    }
}

/// Days taken away at a time for want of room.
const DAYS_AT_ONCE: usize = 8;

impl Kept {
    fn note(&mut self, at: Timestamp, what: &str, detail: String) {
        if self.events.len() < EVENTS {
            self.events.push(Event { at, what: what.to_owned(), detail });
        }
    }
}

/// How far wall time is from monotonic time, in milliseconds.
fn offset(clock: &Clock) -> i64 {
    clock.wall().as_millisecond() - (clock.now().nanoseconds() / 1_000_000) as i64
}
