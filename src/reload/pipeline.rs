//! Owns the reload path: fetch → parse → compile → guard → approvals → keep on disk → audit → publish → mark good. All or
//! nothing; one change at a time; the policy in force is replaced by one pointer, or not at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::approval::{Approval, Waiting, terms, too_long};
use super::audit::Event;
use super::enact::Deed;
use super::fold::Fold;
use super::guard;
use super::inputs::{
    self, Failed, Fresh, Gathered, Holdings, Inputs, Interpret, Plan, SourceReport, Understood,
};
use super::manifest::{Manifest, Spell};
use super::metrics::Tally;
use super::outcome::{By, HeldBack, Hold, HoldKind, Outcome, Stage, Step};
use super::ready::{Earlier, Ready, configuration};
use super::recorder::Recorder;
use super::store::{Store, fingerprint};
use super::trigger::Trigger;
use crate::clock::Clock;
use crate::policy::{Amendment, Compiled, Labels, Law, Live, compile};
use crate::problem::{Place, Problem};
use crate::sources::{Arrival, Collection};
use crate::telemetry::LastDay;

/// What a pipeline works with.
#[derive(Clone)]
pub struct Parts {
    /// The configuration file; `None` for built-in defaults.
    pub config_file: Option<PathBuf>,
    /// Reads the present configuration.
    pub interpret: Interpret,
    /// Reads a configuration that was kept: its boot settings may be others than this process's.
    pub interpret_kept: Interpret,
    /// Where generations are kept. While it cannot be used the pipeline works without, and says so in its status.
    pub state: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
    /// Numbers of label sets.
    pub labels: Labels,
}

/// Told of every step before it is taken.
pub type OnStep = Arc<dyn Fn(Step) + Send + Sync>;

/// Tells what does not work as it should in another room, if anything.
pub type Beside = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The control plane.
pub struct Pipeline {
    pub(super) parts: Parts,
    pub(super) store: Option<Store>,
    pub(super) recorder: Recorder,
    pub(super) collection: Collection,
    pub(super) tally: Tally,
    pub(super) fold: Arc<Fold>,
    /// What was asked lately, where that is known.
    pub(super) last_day: Option<Arc<LastDay>>,
    /// What does not work beside it, in words.
    pub(super) beside: Option<Beside>,
    on_step: OnStep,
    /// Held while something is changed.
    turn: Mutex<()>,
    /// Held for moments only.
    state: Mutex<State>,
}

/// What the last changes left.
#[derive(Default)]
pub(super) struct State {
    pub(super) live: Option<Live>,
    pub(super) force: Option<Arc<Ready>>,
    pub(super) earlier: Earlier,
    pub(super) spell: Spell,
    pub(super) hold: Option<Hold>,
    pub(super) held_back: Option<HeldBack>,
    pub(super) candidate: Option<Candidate>,
    pub(super) approvals: Vec<Approval>,
    /// What each source holds, as last read for the generation in force.
    pub(super) reports: Vec<SourceReport>,
    /// Plain files whose last good bytes stand in, as last read.
    pub(super) stale: Vec<String>,
    /// The latest moment that any policy was compiled for.
    pub(super) latest: Option<Timestamp>,
    /// The highest number that any generation had.
    pub(super) highest: u64,
    /// The generation that the process before had in force.
    pub(super) before_start: Option<u64>,
    pub(super) last_outcome: Option<(Outcome, Timestamp)>,
    pub(super) not_kept: Option<String>,
    pub(super) fell_back: bool,
    /// SHA-256 of the configuration as last read, and as last written of in the audit log.
    configuration: String,
    pub(super) recorded_configuration: String,
    /// The last refusal, so that one that repeats by itself is written down once.
    refusal: Vec<String>,
}

/// A change that waits, with what it is made of.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) waiting: Waiting,
    pub(super) inputs: Arc<Inputs>,
    /// New content among them, taken as good once it is in force.
    pub(super) arrivals: Vec<Arrival>,
    pub(super) accept_shrink: bool,
}

/// A policy that may be put in force.
pub(super) struct Prepared {
    pub(super) ready: Ready,
    pub(super) warnings: Vec<Problem>,
}

/// Inputs that may come into force.
pub(super) struct Proposal<'a> {
    pub(super) inputs: Arc<Inputs>,
    pub(super) fresh: Fresh,
    pub(super) warnings: Vec<Problem>,
    pub(super) accept_shrink: bool,
    /// Whether somebody asked for it, rather than a file that changed.
    pub(super) explicit: bool,
    pub(super) by: &'a By,
    pub(super) what: &'static str,
}

/// What a policy is made from.
pub(super) struct Making<'a> {
    pub(super) inputs: Arc<Inputs>,
    /// Whether the inputs were kept from before rather than read now.
    pub(super) kept: bool,
    pub(super) before: Option<&'a Ready>,
    /// Generations whose number it takes when it states their law and no date has come since.
    pub(super) known: &'a [&'a Manifest],
    /// Its number otherwise.
    pub(super) number: u64,
    pub(super) accept_shrink: bool,
    pub(super) rollback_of: Option<u64>,
}

/// Why a candidate is taken back when nothing differs any more.
const REVERTED: &str = "the inputs are again those in force";

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("config_file", &self.parts.config_file).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A pipeline that has not started.
    pub fn new(parts: Parts) -> Self {
        let store = parts.state.as_deref().map(Store::new);
        let recorder = Recorder::new(parts.state.as_deref());
        let collection = Collection::new(parts.state.as_deref(), parts.clock.clone());
        let on_step: OnStep = Arc::new(|step| tracing::debug!(?step, "reload"));
        let (turn, state) = (Mutex::default(), Mutex::default());
        Self {
            parts,
            store,
            recorder,
            collection,
            tally: Tally::default(),
            fold: Arc::default(),
            last_day: None,
            beside: None,
            on_step,
            turn,
            state,
        }
    }

    /// Tells `on_step` of every step before it is taken, instead of the log.
    pub fn watched_by(mut self, on_step: OnStep) -> Self {
        self.on_step = on_step;
        self
    }

    /// Judges changes by what was asked lately too.
    pub fn recalling(mut self, last_day: Arc<LastDay>) -> Self {
        self.last_day = Some(last_day);
        self
    }

    /// Says in its status what does not work in another room.
    pub fn minding(mut self, beside: Beside) -> Self {
        self.beside = Some(beside);
        self
    }

    /// THE RELOAD PATH. Blocks for as long as reading and compiling take; never call it on a query thread.
    pub fn run(&self, trigger: Trigger, accept_shrink: bool, by: &By) -> Outcome {
        let _turn = self.turn();
        self.lapse();
        let outcome = match self.force() {
            None => not_started(),
            Some(force) if trigger == Trigger::LegalDate => self.date(&force, by),
            Some(force) => self.attempt(&force, trigger, accept_shrink, by),
        };
        self.conclude(outcome, trigger.as_str(), by)
    }

    /// A date of law: the inputs in force, compiled for now. Reads nothing, so that nothing that is wrong with the files of
    /// the day can stop a law; waits for nobody, as this law was agreed to before.
    fn date(&self, force: &Ready, by: &By) -> Outcome {
        let making = Making {
            inputs: Arc::clone(&force.inputs),
            kept: true,
            before: Some(force),
            known: &[],
            number: self.next_number(),
            accept_shrink: true,
            rollback_of: force.rollback_of,
        };
        match self.make(making) {
            Err((stage, problems)) => Outcome::Rejected { stage, problems },
            Ok(prepared) if is_same(&prepared.ready, force) => unchanged(force, Vec::new()),
            Ok(prepared) => self.enact(prepared, &Deed::written("date", by)),
        }
    }

    /// The whole path, unless an automatic trigger turns out to have changed nothing.
    fn attempt(&self, force: &Ready, trigger: Trigger, accept_shrink: bool, by: &By) -> Outcome {
        let read = self.read(Some(&force.inputs), |plan| self.collection.holdings(&plan.sources));
        let Gathered { inputs, fresh, warnings } = match read {
            Ok(gathered) => gathered,
            Err((stage, problems)) => return Outcome::Rejected { stage, problems },
        };
        let same = {
            let mut state = self.state();
            let same = fingerprint(&inputs) == force.fingerprint && inputs.stale == state.stale;
            state.stale.clone_from(&inputs.stale);
            same
        };
        if !trigger.is_explicit() && same {
            self.collection.accept(&fresh.arrivals);
            self.withdraw(REVERTED);
            self.state().held_back = None;
            return unchanged(force, warnings);
        }
        let (explicit, what) = (trigger.is_explicit(), trigger.as_str());
        let inputs = Arc::new(inputs);
        self.consider(force, Proposal { inputs, fresh, warnings, accept_shrink, explicit, by, what })
    }

    /// parse → compile → guard → held back? → approved? → publish.
    pub(super) fn consider(&self, force: &Ready, proposal: Proposal<'_>) -> Outcome {
        let Proposal { inputs, fresh, warnings, accept_shrink, explicit, by, what } = proposal;
        let number = self.next_number();
        let make = |inputs| {
            let (kept, before, known, rollback_of) = (false, Some(force), [], None);
            self.make(Making { inputs, kept, before, known: &known, number, accept_shrink, rollback_of })
        };
        let (mut prepared, arrivals, left_out) = match self.with_new(inputs, fresh, make) {
            Ok(made) => made,
            Err((stage, problems)) => return Outcome::Rejected { stage, problems },
        };
        prepared.warnings.splice(0..0, warnings.into_iter().chain(left_out));
        let next = &prepared.ready;
        let amendment = next.law.amends(&force.law);
        if amendment == Amendment::None && is_same(next, force) {
            self.take_new(next, &arrivals);
            self.state().reports.clone_from(&next.reports);
            self.withdraw(REVERTED);
            if explicit {
                self.release(HoldKind::Rollback);
            }
            self.state().held_back = None;
            return unchanged(force, prepared.warnings);
        }
        let hold = self.state().hold.clone();
        if let Some(hold) = hold.filter(|hold| hold.kind == HoldKind::Pin || !explicit) {
            return self.hold_back(force, next, hold);
        }
        if let Some(outcome) = self.ask_approval(force, next, &arrivals, accept_shrink, by) {
            return outcome;
        }
        let approvals = self.approvals_of(force, &next.law.digest());
        let deed = Deed { by, what, written_before: false, kept_before: false, approvals };
        self.take_new(next, &arrivals);
        let outcome = self.enact(prepared, &deed);
        self.release(HoldKind::Rollback);
        self.settled();
        outcome
    }

    /// Reads the configuration, and all else with what `holdings` finds of collected sources.
    pub(super) fn read(
        &self,
        last_good: Option<&Inputs>,
        holdings: impl FnOnce(&Plan) -> Holdings,
    ) -> Result<Gathered, Failed> {
        self.step(Step::Fetch);
        // Until it is read: what is refused must not be written down under another's digest.
        self.state().configuration.clear();
        let (config, plan) = inputs::configured(self.parts.config_file.as_deref(), &self.parts.interpret)?;
        let gathered = inputs::gather(
            config,
            &plan,
            holdings(&plan),
            last_good,
            self.store.as_ref().map(Store::blobs).as_deref(),
        )?;
        self.state().configuration = configuration(&gathered.inputs);
        Ok(gathered)
    }

    /// parse → compile → guard.
    pub(super) fn make(&self, making: Making<'_>) -> Result<Prepared, Failed> {
        let Making { inputs, kept, before, known, number, accept_shrink, rollback_of } = making;
        self.step(Step::Parse);
        let interpret = if kept { &self.parts.interpret_kept } else { &self.parts.interpret };
        let folded = self.fold.made();
        let read_before: Vec<_> = folded.iter().chain(before.map(|before| &before.lists)).collect();
        let Understood { draft, lists, guard, approval, history, sources, reports, mut warnings } =
            inputs::understand(&inputs, interpret, &read_before)?;
        // A clock that was set back never takes a ban out of force: compile for the latest moment known.
        let on = before.map_or(self.parts.clock.wall(), |_| self.now());
        let law = Law::of(&draft, &terms(&guard, &approval));
        let same =
            |one: &&&Manifest| one.law == law.digest() && one.next_transition.is_none_or(|next| next > on);
        let number = known.iter().find(same).map_or(number, |one| one.generation);
        self.step(Step::Compile);
        let compiled =
            compile(draft, on, number, &self.parts.labels).map_err(|problems| (Stage::Compile, problems))?;
        let Compiled { snapshot, warnings: more } = compiled;
        warnings.extend(more);
        self.step(Step::Guard);
        let mut refused =
            guard::check(&guard, before.map(|before| &*before.snapshot), &snapshot, accept_shrink);
        if let Some(before) = before.filter(|_| !accept_shrink) {
            refused.extend(self.blocks_most_asked(&guard, &before.snapshot, &snapshot));
        }
        if !kept {
            let known = before.map(|before| before.snapshot.config());
            refused.extend(too_long(&approval, known, snapshot.config(), on));
        }
        if !refused.is_empty() {
            return Err((Stage::Guard, refused));
        }
        let (snapshot, fingerprint) = (Arc::new(snapshot), fingerprint(&inputs));
        let ready = Ready {
            snapshot,
            law,
            inputs,
            lists,
            fingerprint,
            guard,
            approval,
            history,
            sources,
            reports,
            rollback_of,
        };
        Ok(Prepared { ready, warnings })
    }

    /// Says how a change ended: counts it, remembers it, and writes it down unless `enact` did.
    pub(super) fn conclude(&self, outcome: Outcome, what: &'static str, by: &By) -> Outcome {
        self.tally.count(&outcome);
        let repeats = self.note_outcome(&outcome, what, by);
        if !repeats {
            let force = self.force();
            let event = self.event(by, what, outcome.as_str(), force.as_deref());
            let configuration = self.state().configuration.clone();
            self.record(Event { detail: detail(&outcome), configuration, ..event });
        }
        self.state().last_outcome = Some((outcome.clone(), self.parts.clock.wall()));
        outcome
    }

    /// True when the outcome needs no entry of its own: it was written down when it came into force, changed nothing, or is
    /// what the same automatic trigger ended with last time.
    fn note_outcome(&self, outcome: &Outcome, what: &str, by: &By) -> bool {
        let mut state = self.state();
        let asked = !by.is_automatic();
        match outcome {
            Outcome::Published { .. } => {
                state.refusal.clear();
                true
            }
            Outcome::Unchanged { .. } => {
                state.refusal.clear();
                // A configuration may change without its policy.
                let seen = state.configuration == state.recorded_configuration;
                state.recorded_configuration = state.configuration.clone();
                seen && !asked
            }
            _ => {
                let refusal = [vec![what.to_owned(), outcome.as_str().to_owned()], detail(outcome)].concat();
                let repeats = !asked && state.refusal == refusal;
                state.refusal = refusal;
                repeats
            }
        }
    }

    pub(super) fn step(&self, step: Step) {
        (self.on_step)(step);
    }

    /// The latest moment known: a clock that was set back is not believed.
    pub(super) fn now(&self) -> Timestamp {
        let wall = self.parts.clock.wall();
        self.state().latest.map_or(wall, |latest| latest.max(wall))
    }

    pub(super) fn next_number(&self) -> u64 {
        self.state().highest + 1
    }

    pub(super) fn force(&self) -> Option<Arc<Ready>> {
        self.state().force.clone()
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True when two policies decide the same now, and change at the same time next.
pub(super) fn is_same(one: &Ready, other: &Ready) -> bool {
    one.snapshot.digest() == other.snapshot.digest()
        && one.snapshot.next_transition() == other.snapshot.next_transition()
}

pub(super) fn unchanged(force: &Ready, warnings: Vec<Problem>) -> Outcome {
    Outcome::Unchanged { generation: force.generation(), warnings }
}

pub(super) fn not_started() -> Outcome {
    let problem = Problem::error(Place::file("reload"), "nothing is in force yet", "");
    Outcome::Rejected { stage: Stage::Store, problems: vec![problem] }
}

/// What the audit log says of an outcome besides its word.
fn detail(outcome: &Outcome) -> Vec<String> {
    /// Enough to know what was wrong; a list with a thousand bad lines needs no thousand lines here.
    const LINES: usize = 20;
    const LENGTH: usize = 300;
    let lines = match outcome {
        Outcome::Held { difference, .. } => difference.summary(),
        Outcome::Published { difference, .. } => difference.summary(),
        Outcome::Rejected { problems, .. } => problems
            .iter()
            .filter(|problem| problem.is_error())
            .map(|problem| format!("{}: {}", problem.place, problem.what))
            .collect(),
        Outcome::Unchanged { .. } => Vec::new(),
        Outcome::Waiting(waiting) => [
            vec![
                format!("candidate {}", waiting.law),
                format!("approved by {} of {}", waiting.approved_by.len(), waiting.needed),
            ],
            waiting.difference.summary(),
        ]
        .concat(),
    };
    let more = lines.len().saturating_sub(LINES);
    let mut shown: Vec<String> =
        lines.into_iter().take(LINES).map(|line| line.chars().take(LENGTH).collect()).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}
