//! Owns the thread that keeps the summary of the last day and of what was rehearsed: takes in what workers noted, ages it, and
//! writes it down now and then. A slow disk delays this thread and no query. Never decides anything.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Config;
use super::kept::Kept;
use super::sampler::Feed;
use super::sketch::{Covered, Day, Sketch};
use crate::clock::Clock;
use crate::policy::{Identities, Identity, Labels, Live};
use crate::telemetry::counters::Counters;
use crate::telemetry::metric::{Collect, Kind, Metric, Sample};
use crate::telemetry::rehearsal::{Rehearsal, Rehearsed};

/// What was asked in the last day, and what was rehearsed.
#[derive(Debug)]
pub struct LastDay {
    config: Config,
    clock: Clock,
    feed: Arc<Feed>,
    state: Mutex<State>,
    wiring: OnceLock<Wiring>,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    noted: AtomicU64,
    names: AtomicU64,
}

/// What it reads, and where it is written down.
#[derive(Debug)]
pub struct Wiring {
    /// Says to which group a client belongs.
    pub live: Live,
    /// Counters of rehearsed blocks.
    pub counters: Arc<Counters>,
    /// Their labels.
    pub labels: Labels,
    /// Who clients were, beside their addresses.
    pub identities: Identities,
    /// Where it outlives a restart; `None` for nowhere.
    pub storage: Option<Storage>,
}

/// A place that holds one run of bytes.
pub struct Storage {
    read: Box<dyn Fn() -> Option<Vec<u8>> + Send + Sync>,
    write: Write,
}

/// Writes bytes to a place, whole.
type Write = Box<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

#[derive(Debug)]
struct State {
    sketch: Sketch,
    /// Who asks, whatever it is.
    askers: Sketch,
    rehearsal: Rehearsal,
}

/// Clients counted one by one: many times what anybody looks at, in 300 KiB.
const ASKERS: usize = 1024;
/// How often what waits is taken in.
const EVERY: Duration = Duration::from_millis(100);
/// How often it is written down: what a crash may lose. A quiet stop loses nothing.
const SAVE: Duration = Duration::from_secs(600);
/// How often the counters of rehearsed blocks are looked at: how exact the time of the last one is.
const LOOK: u32 = 10;

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").finish_non_exhaustive()
    }
}

impl Storage {
    /// A place that `read` reads, `None` when nothing is there, and `write` writes whole.
    pub fn new(
        read: impl Fn() -> Option<Vec<u8>> + Send + Sync + 'static,
        write: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { read: Box::new(read), write: Box::new(write) }
    }

    /// What is there; `None` when nothing is.
    pub fn read(&self) -> Option<Vec<u8>> {
        (self.read)()
    }

    /// Writes it anew, whole or not at all.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (self.write)(bytes)
    }
}

impl LastDay {
    /// An empty one, which nobody tends yet.
    pub fn new(config: Config, clock: Clock) -> Arc<Self> {
        let sketch = Sketch::new(config.names, config.clients);
        let askers = Sketch::new(config.names.min(ASKERS), config.clients);
        Arc::new(Self {
            config,
            clock,
            feed: Arc::new(Feed::new(config.names > 0)),
            state: Mutex::new(State { sketch, askers, rehearsal: Rehearsal::default() }),
            wiring: OnceLock::new(),
            stop: AtomicBool::new(false),
            thread: Mutex::default(),
            noted: AtomicU64::new(0),
            names: AtomicU64::new(0),
        })
    }

    /// Where workers leave what they note.
    pub fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed)
    }

    /// Takes up what was kept, and starts the thread. Fails when the system gives none.
    pub fn begin(self: &Arc<Self>, wiring: Wiring) -> io::Result<()> {
        let bytes = wiring.storage.as_ref().and_then(Storage::read);
        let kept = bytes.as_deref().and_then(Kept::read);
        if bytes.is_some() && kept.is_none() {
            tracing::warn!(
                hint = "it was cut off or is of another version; counting begins anew",
                "what was kept of the last day's questions does not read"
            );
        }
        if let Some(kept) = kept {
            let State { sketch, askers, rehearsal } = &mut *self.state();
            kept.restore(sketch, askers, self.config.names, rehearsal);
        }
        let _begun_twice = self.wiring.set(wiring).is_err();
        if bytes.is_some() {
            // At once: clients that were kept under another setting must not lie on the disk any longer.
            self.save();
        }
        let this = Arc::clone(self);
        let thread = thread::Builder::new().name("last-day".to_owned()).spawn(move || this.tend())?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    fn tend(&self) {
        let mut next = self.clock.now() + SAVE;
        let mut turn = 0;
        // Read before the last pass, so that what was noted before the stop is taken in.
        while !self.stop.load(Ordering::Acquire) {
            self.pass(&mut self.state(), turn == 0);
            turn = (turn + 1) % LOOK;
            if self.clock.now() >= next {
                self.save();
                next = self.clock.now() + SAVE;
            }
            thread::park_timeout(EVERY);
        }
        self.pass(&mut self.state(), true);
        self.save();
    }

    /// Takes in what waits; `whole` looks at the counters too.
    fn pass(&self, state: &mut State, whole: bool) {
        let Some(wiring) = self.wiring.get() else { return };
        let now = self.clock.wall();
        let State { sketch, askers, rehearsal } = state;
        if let Some(samples) = &self.feed.samples {
            let snapshot = wiring.live.load();
            let mut noted = 0;
            samples.drain(|sample| {
                let known = |identity: &Identity| snapshot.client_known_as(identity, sample.client);
                let client = wiring.identities.with(sample.identity, known);
                let client = client.unwrap_or_else(|| snapshot.client(sample.client));
                let group = snapshot.group_name(client.group);
                sketch.count(now, sample.name.as_wire(), group, sample.client, sample.stands_for);
                askers.count_client(now, sample.client, sample.stands_for);
                noted += 1;
            });
            self.noted.fetch_add(noted, Ordering::Relaxed);
            self.names.store(sketch.cells.len() as u64, Ordering::Relaxed);
        }
        let mut seen = Vec::new();
        self.feed.sightings.drain(|sighting| seen.push(sighting));
        if whole || !seen.is_empty() {
            rehearsal.look(now, &wiring.labels, &wiring.counters);
        }
        for sighting in seen {
            rehearsal.sight(sighting.number, || sighting.name.to_string());
        }
    }

    fn save(&self) {
        let Some(storage) = self.wiring.get().and_then(|wiring| wiring.storage.as_ref()) else { return };
        let kept = {
            let state = self.state();
            Kept::of(&state.sketch, &state.askers, &state.rehearsal)
        };
        if let Err(error) = storage.write(&kept.to_bytes()) {
            tracing::warn!(%error, "what was asked lately is not kept over a restart");
        }
    }

    /// What was asked in the last day; `None` when that is not kept. Takes milliseconds: not for a query's thread.
    pub fn day(&self) -> Option<Day> {
        let samples = self.feed.samples.as_ref()?;
        let mut state = self.state();
        self.pass(&mut state, false);
        let now = self.clock.wall();
        let day = state.sketch.day(now, samples.lost());
        Some(Day { askers: state.askers.askers(now), ..day })
    }

    /// How much of the last day is known; `None` when nothing is kept.
    pub fn covered(&self) -> Option<Covered> {
        let samples = self.feed.samples.as_ref()?;
        let mut state = self.state();
        self.pass(&mut state, false);
        Some(state.sketch.covered(self.clock.wall(), samples.lost()))
    }

    /// What would have been blocked.
    pub fn rehearsed(&self) -> Rehearsed {
        let mut state = self.state();
        self.pass(&mut state, true);
        state.rehearsal.report(self.clock.wall())
    }

    /// Takes in what waits, writes it down and ends the thread, within `patience`. Returns false when it did not end, and is
    /// left behind. Waits; not for a runtime's thread.
    pub fn stop(&self, patience: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(5);
        self.stop.store(true, Ordering::Release);
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of this room.
pub(in crate::telemetry) static METRICS: &[&Metric] = &[&NAMES, &SAMPLES];

static NAMES: Metric = Metric {
    name: "interdict_last_day_names",
    help: "Pairs of name and group in the summary of what was asked in the last day.",
    kind: Kind::Gauge,
    labels: &[],
};
static SAMPLES: Metric = Metric {
    name: "interdict_last_day_samples_total",
    help: "Queries noted for the summary of the last day, and those that found no room.",
    kind: Kind::Counter,
    labels: &["result"],
};

impl Collect for LastDay {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let names = self.names.load(Ordering::Relaxed) as f64;
        samples.push(Sample { metric: &NAMES, labels: Vec::new(), value: names });
        let lost = self.feed.samples.as_ref().map_or(0, |queue| queue.lost());
        for (result, value) in [("noted", self.noted.load(Ordering::Relaxed)), ("lost", lost)] {
            samples.push(Sample { metric: &SAMPLES, labels: vec![result.to_owned()], value: value as f64 });
        }
    }
}
