//! Owns the reload path: fetch → stage → parse → compile → diff → guard → publish → mark good. All or nothing; one at a
//! time; the policy in force is replaced by one pointer, or not at all.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::guard;
use super::inputs::{self, Failed, Inputs, Interpret, SourceReport, Understood};
use super::metrics::Tally;
use super::outcome::{self, Outcome, Preview, Stage, Status};
use super::store::Store;
use super::trigger::Trigger;
use crate::clock::Clock;
use crate::dns::{Name, RecordType};
use crate::policy::{Compiled, Difference, Explanation, Labels, Live, Snapshot, When, compile};
use crate::problem::{Place, Problem};
use crate::sources::Collection;

/// The control plane.
pub struct Pipeline {
    pub(super) config_file: Option<PathBuf>,
    pub(super) interpret: Interpret,
    clock: Clock,
    labels: Labels,
    store: Option<Store>,
    pub(super) collection: Collection,
    pub(super) tally: Tally,
    state: Mutex<State>,
}

/// What the last publication left.
pub(super) struct State {
    live: Option<Live>,
    pub(super) inputs: Inputs,
    pub(super) guard: guard::Config,
    reports: Vec<SourceReport>,
    pinned: bool,
    published_at: Timestamp,
    last_outcome: Option<Outcome>,
    last_outcome_at: Timestamp,
    degraded: Vec<String>,
}

/// A first policy, and what was wrong when it is an older one.
#[derive(Debug)]
pub struct Started {
    /// The policy in force.
    pub live: Live,
    /// Warnings; errors when the present inputs are bad and the last good ones are used.
    pub problems: Vec<Problem>,
    /// True when the last good inputs are used.
    pub fell_back: bool,
}

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// Every complaint.
    pub problems: Vec<Problem>,
    /// What each source holds; empty when it did not come so far.
    pub sources: Vec<SourceReport>,
    /// What would be published.
    pub snapshot: Option<Snapshot>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("config_file", &self.config_file).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A pipeline over a configuration file, or built-in defaults. `state` is where generations are kept; while it cannot
    /// be used the pipeline works without, and says so in its status.
    pub fn new(
        config_file: Option<PathBuf>,
        interpret: Interpret,
        state: Option<&Path>,
        clock: Clock,
        labels: Labels,
    ) -> Self {
        let store = state.map(Store::new);
        let collection = Collection::new(state, clock.clone());
        let state = State {
            live: None,
            inputs: Inputs::default(),
            guard: guard::Config::default(),
            reports: Vec::new(),
            pinned: false,
            published_at: clock.wall(),
            last_outcome: None,
            last_outcome_at: clock.wall(),
            degraded: Vec::new(),
        };
        Self {
            config_file,
            interpret,
            clock,
            labels,
            store,
            collection,
            tally: Tally::default(),
            state: Mutex::new(state),
        }
    }

    /// Publishes the first policy: from the present inputs, or from the last good ones when those are bad. Fails with every
    /// problem when neither will do.
    pub fn start(&self) -> Result<Started, Vec<Problem>> {
        let good = self.last_good();
        let mut state = self.state();
        let first =
            self.store.as_ref().and_then(|store| store.generations().first().copied()).unwrap_or(0) + 1;
        let (problems, fell_back) = match self.first(good.as_ref(), first) {
            Ok((inputs, prepared)) => (self.install(&mut state, inputs, prepared, None), false),
            Err((_, mut problems)) => {
                let Some(inputs) = good else { return Err(problems) };
                let Ok(prepared) = self.make(&inputs, None, first, true) else { return Err(problems) };
                self.install(&mut state, inputs, prepared, None);
                state.degraded.push("the present inputs are bad; the last good ones are in force".to_owned());
                problems.push(Problem::warning(
                    Place::file("start"),
                    "the last good generation is in force instead",
                    "put the inputs right, then: interdict reload",
                ));
                (problems, true)
            }
        };
        match &state.live {
            Some(live) => Ok(Started { live: live.clone(), problems, fell_back }),
            None => Err(problems),
        }
    }

    /// THE RELOAD PATH. Blocks for as long as reading and compiling take; never call it on a query thread.
    pub fn run(&self, trigger: Trigger, accept_shrink: bool) -> Outcome {
        let mut state = self.state();
        let explicit = matches!(trigger, Trigger::Request | Trigger::Signal);
        let Some(live) = state.live.as_ref().map(Live::load) else { return not_started() };
        let number = live.generation() + 1;
        let outcome = if state.pinned && !explicit {
            // A rollback holds against automatic triggers; the date alone may change what its inputs mean.
            let inputs = state.inputs.clone();
            match (trigger, self.make(&inputs, Some(&live), number, true)) {
                (Trigger::LegalDate, Ok(prepared)) => self.publish(&mut state, &live, inputs, prepared, None),
                (_, Err((stage, problems))) => Outcome::Rejected { stage, problems },
                (_, Ok(_)) => Outcome::Unchanged { generation: live.generation(), warnings: Vec::new() },
            }
        } else {
            self.attempt(&mut state, &live, trigger, accept_shrink)
                .unwrap_or_else(|(stage, problems)| Outcome::Rejected { stage, problems })
        };
        self.conclude(&mut state, outcome)
    }

    /// Puts an earlier generation's inputs in force as a new generation: `to`, or the one before the present.
    pub fn rollback(&self, to: Option<u64>) -> Outcome {
        let mut state = self.state();
        let Some(live) = state.live.as_ref().map(Live::load) else { return not_started() };
        let rejected = |what: String, hint: &str| Outcome::Rejected {
            stage: Stage::Store,
            problems: vec![Problem::error(Place::file("rollback"), what, hint)],
        };
        let Some(store) = &self.store else {
            let outcome = rejected("no generations are kept".to_owned(), "set `state` under [policy]");
            return self.conclude(&mut state, outcome);
        };
        let current = state.inputs.clone();
        // The newest kept generation whose inputs differ from the present ones.
        let differs = |inputs: &Inputs| fingerprints(inputs) != fingerprints(&current);
        let candidates = to.map_or_else(|| store.generations(), |number| vec![number]);
        let found = candidates.into_iter().find_map(|number| {
            let (manifest, inputs) = store.load(number).ok()?;
            (to.is_some() || (manifest.generation < live.generation() && differs(&inputs)))
                .then_some((number, inputs))
        });
        let outcome = match found {
            None => rejected(
                "there is no earlier generation to go back to".to_owned(),
                "`interdict status` shows what is kept",
            ),
            Some((number, inputs)) => match self.make(&inputs, Some(&live), live.generation() + 1, true) {
                Ok(prepared) => {
                    let outcome = self.publish(&mut state, &live, inputs, prepared, Some(number));
                    state.pinned = true;
                    outcome
                }
                Err((stage, problems)) => Outcome::Rejected { stage, problems },
            },
        };
        self.conclude(&mut state, outcome)
    }

    /// The same path without publishing.
    pub fn check(&self) -> Checked {
        let understood = self.gather(None, true).and_then(|(inputs, warnings)| {
            let mut understood = inputs::understand(&inputs, &self.interpret)?;
            understood.warnings.extend(warnings);
            Ok(understood)
        });
        let failed = |problems, sources| Checked { problems, sources, snapshot: None };
        let Understood { draft, guard, reports, warnings } = match understood {
            Ok(understood) => understood,
            Err((_, problems)) => return failed(problems, Vec::new()),
        };
        match compile(draft, self.clock.wall(), 0, &self.labels) {
            Err(problems) => failed(problems, reports),
            Ok(Compiled { snapshot, warnings: more }) => {
                let mut problems = [warnings, more, guard::check(&guard, None, &snapshot, false)].concat();
                problems.sort();
                Checked { problems, sources: reports, snapshot: Some(snapshot) }
            }
        }
    }

    /// The present inputs compiled for another moment.
    pub fn compile_on(&self, on: Timestamp) -> Result<Snapshot, Vec<Problem>> {
        let (inputs, _) = self.gather(None, false).map_err(|(_, problems)| problems)?;
        let understood = inputs::understand(&inputs, &self.interpret).map_err(|(_, problems)| problems)?;
        compile(understood.draft, on, 0, &self.labels).map(|compiled| compiled.snapshot)
    }

    /// The inputs in force compiled for another moment.
    pub fn live_on(&self, on: Timestamp) -> Result<Snapshot, Vec<Problem>> {
        let inputs = self.state().inputs.clone();
        let understood = inputs::understand(&inputs, &self.interpret).map_err(|(_, problems)| problems)?;
        compile(understood.draft, on, 0, &self.labels).map(|compiled| compiled.snapshot)
    }

    /// Explains a name by the policy in force, or by its inputs compiled for another moment. A day is
    /// asked about as it ends in the policy's zone.
    pub fn explain(
        &self,
        name: &Name,
        record_type: RecordType,
        client: IpAddr,
        on: Option<When>,
    ) -> Result<Explanation, Vec<Problem>> {
        let live = self.state().live.as_ref().map(Live::load).ok_or_else(Vec::new)?;
        match on {
            None => Ok(live.explain(name, record_type, client)),
            Some(when) => {
                let snapshot = self.live_on(when.end_of_day(&live.config().time_zone))?;
                Ok(snapshot.explain(name, record_type, client))
            }
        }
    }

    /// What a reload would change.
    pub fn preview(&self) -> Result<Preview, Vec<Problem>> {
        let state = self.state();
        let Some(live) = state.live.as_ref().map(Live::load) else { return Ok(Preview::default()) };
        let inputs = state.inputs.clone();
        drop(state);
        let (inputs, warnings) = self.gather(Some(&inputs), true).map_err(|(_, problems)| problems)?;
        let prepared =
            self.make(&inputs, Some(&live), live.generation() + 1, true).map_err(|(_, problems)| problems)?;
        Ok(Preview { difference: Difference::between(&live, &prepared.snapshot), warnings })
    }

    /// The state of the control plane; `None` before the start.
    pub fn status(&self) -> Option<Status> {
        let state = self.state();
        let live = state.live.as_ref()?.load();
        let conditions = self.collection.conditions();
        let complaints = conditions.iter().flat_map(|(name, condition)| condition.complaints(name));
        Some(Status {
            generation: live.generation(),
            digest: live.digest(),
            compiled_on: live.compiled_on(),
            published_at: state.published_at,
            next_transition: live.next_transition(),
            rules: live.rule_count(),
            names: live.name_count(),
            memory_bytes: live.memory(),
            groups: live.group_names().map(str::to_owned).collect(),
            sources: outcome::with_conditions(&state.reports, &conditions),
            pinned: state.pinned,
            last_outcome: state.last_outcome.clone(),
            last_outcome_at: state.last_outcome_at,
            degraded: state.degraded.iter().cloned().chain(complaints).collect(),
        })
    }

    /// The files whose change should wake the pipeline.
    pub fn watched(&self) -> Vec<PathBuf> {
        let state = self.state();
        let plain = state.inputs.sources.values().filter(|raw| !raw.name.contains("://"));
        let lists = plain.map(|raw| PathBuf::from(&raw.name)).chain(self.collection.files());
        self.config_file.iter().cloned().chain(lists).collect()
    }

    /// When the legal date trigger must fire.
    pub fn next_transition(&self) -> Option<Timestamp> {
        self.state().live.as_ref()?.load().next_transition()
    }

    /// All present inputs; those of collected sources as a fetch of the missing ones, or of all, finds them now. Without
    /// last good inputs to fall back on, bad lists are taken too, so that every problem in them is shown.
    fn gather(&self, last_good: Option<&Inputs>, all: bool) -> Result<(Inputs, Vec<Problem>), Failed> {
        let (config, plan) = inputs::configured(self.config_file.as_deref(), &self.interpret)?;
        inputs::gather(config, &plan, &self.look(&plan, all, last_good.is_some()), last_good)
    }

    /// A generation from the present inputs, for the start.
    fn first(&self, last_good: Option<&Inputs>, number: u64) -> Result<(Inputs, Prepared), Failed> {
        let (config, plan) = inputs::configured(self.config_file.as_deref(), &self.interpret)?;
        let holdings = self.begin(&plan);
        let (inputs, warnings) = inputs::gather(config, &plan, &holdings, last_good)?;
        let (inputs, mut prepared) = self.settle(inputs, &holdings, None, number, false)?;
        prepared.warnings.splice(0..0, warnings);
        Ok((inputs, prepared))
    }

    /// parse → compile → guard.
    pub(super) fn make(
        &self,
        inputs: &Inputs,
        live: Option<&Snapshot>,
        number: u64,
        accept_shrink: bool,
    ) -> Result<Prepared, Failed> {
        let Understood { draft, guard, reports, mut warnings } = inputs::understand(inputs, &self.interpret)?;
        // A clock that was set back never takes a ban out of force: compile for the latest moment known.
        let on = live.map_or(self.clock.wall(), |live| self.clock.wall().max(live.compiled_on()));
        let compiled =
            compile(draft, on, number, &self.labels).map_err(|problems| (Stage::Compile, problems))?;
        warnings.extend(compiled.warnings);
        let refused = guard::check(&guard, live, &compiled.snapshot, accept_shrink);
        if !refused.is_empty() {
            return Err((Stage::Guard, refused));
        }
        Ok(Prepared { snapshot: compiled.snapshot, guard, reports, warnings })
    }

    /// diff → publish → mark good; or nothing, when nothing differs.
    pub(super) fn publish(
        &self,
        state: &mut State,
        live: &Snapshot,
        inputs: Inputs,
        prepared: Prepared,
        rollback_of: Option<u64>,
    ) -> Outcome {
        if live.digest() == prepared.snapshot.digest()
            && live.next_transition() == prepared.snapshot.next_transition()
        {
            state.pinned = false;
            state.reports = prepared.reports;
            return Outcome::Unchanged { generation: live.generation(), warnings: prepared.warnings };
        }
        let difference = Difference::between(live, &prepared.snapshot);
        let (generation, digest) = (prepared.snapshot.generation(), prepared.snapshot.digest());
        let warnings = self.install(state, inputs, prepared, rollback_of);
        Outcome::Published { generation, digest, difference, warnings }
    }

    fn install(
        &self,
        state: &mut State,
        inputs: Inputs,
        prepared: Prepared,
        rollback_of: Option<u64>,
    ) -> Vec<Problem> {
        let Prepared { snapshot, guard, reports, mut warnings } = prepared;
        let (generation, digest, on) =
            (snapshot.generation(), snapshot.digest(), snapshot.compiled_on().to_string());
        let snapshot = Arc::new(snapshot);
        match &state.live {
            Some(live) => retire(live.publish(snapshot)),
            None => state.live = Some(Live::new(snapshot)),
        }
        state.degraded.clear();
        if let Some(store) = &self.store
            && let Err(error) = store.keep(generation, &digest, &on, rollback_of, &inputs)
        {
            let what = format!("generation {generation} is in force but could not be kept: {error}");
            state.degraded.push(what.clone());
            warnings.push(Problem::warning(
                Place::file("state"),
                what,
                "free space, or check the state directory",
            ));
        }
        state
            .degraded
            .extend(inputs.stale.iter().map(|source| format!("source {source}: last good content in use")));
        state.inputs = inputs;
        state.guard = guard;
        state.reports = reports;
        state.pinned = false;
        state.published_at = self.clock.wall();
        warnings
    }

    fn conclude(&self, state: &mut State, outcome: Outcome) -> Outcome {
        self.tally.count(&outcome);
        state.last_outcome = Some(outcome.clone());
        state.last_outcome_at = self.clock.wall();
        outcome
    }

    /// The newest stored inputs that are whole, the one marked good first.
    fn last_good(&self) -> Option<Inputs> {
        let store = self.store.as_ref()?;
        store.good().into_iter().chain(store.generations()).find_map(|number| match store.load(number) {
            Ok((_, inputs)) => Some(inputs),
            Err(error) => {
                tracing::warn!(generation = number, %error, "a stored generation cannot be used");
                None
            }
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A generation that may be published.
pub(super) struct Prepared {
    snapshot: Snapshot,
    guard: guard::Config,
    reports: Vec<SourceReport>,
    pub(super) warnings: Vec<Problem>,
}

fn not_started() -> Outcome {
    let problem = Problem::error(Place::file("reload"), "nothing is in force yet", "");
    Outcome::Rejected { stage: Stage::Store, problems: vec![problem] }
}

/// Lets go of the old policy on a thread of its own: after a second, in which the log still looks up its words, and once
/// no query uses it; gives up waiting when a query thread is stuck, and the drop may then fall to that thread.
fn retire(old: Arc<Snapshot>) {
    const LOOKED_UP: Duration = Duration::from_secs(1);
    let wait = move || {
        std::thread::sleep(LOOKED_UP);
        for _ in 0..100 {
            if Arc::strong_count(&old) == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(old);
    };
    if let Err(error) = std::thread::Builder::new().name("retire".to_owned()).spawn(wait) {
        tracing::warn!(%error, "no thread to drop the old policy on");
    }
}

/// What tells two sets of inputs apart.
pub(super) fn fingerprints(inputs: &Inputs) -> Vec<String> {
    let all = inputs.config.iter().chain(inputs.catalog.iter().flatten()).chain(inputs.sources.values());
    all.map(|raw| raw.digest.to_string()).collect()
}
