//! Owns what the control plane can be asked without changing anything: check, explain, differences, history, status. What is
//! compiled for an answer is thrown away with it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::audit::{Entry, Event, newest_before};
use super::guard;
use super::history::{Generation, Then, generations};
use super::inputs::{self, Failed, Inputs, SourceReport, Understood};
use super::outcome::{self, By, ExceptionStatus, Preview, Status};
use super::pipeline::Pipeline;
use super::ready::Ready;
use super::recorder::FILE as AUDIT_FILE;
use crate::policy::{Compiled, Difference, Explanation, Inquiry, Labels, Snapshot, Standing, When, compile};
use crate::problem::{Place, Problem, Severity};

/// An exception that ends within this time is pointed out.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

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

impl Pipeline {
    /// The reload path without publishing.
    pub fn check(&self) -> Checked {
        let parts = &self.parts;
        let understood = self.gather(None, true).and_then(|(inputs, warnings)| {
            let mut understood = inputs::understand(&inputs, &parts.interpret, &[])?;
            understood.warnings.extend(warnings);
            Ok(understood)
        });
        let failed = |problems, sources| Checked { problems, sources, snapshot: None };
        let Understood { draft, guard, approval, reports, warnings, .. } = match understood {
            Ok(understood) => understood,
            Err((_, problems)) => return failed(problems, Vec::new()),
        };
        let now = parts.clock.wall();
        match compile(draft, now, 0, &parts.labels) {
            Err(problems) => failed(problems, reports),
            Ok(Compiled { snapshot, warnings: more }) => {
                let refused = guard::check(&guard, None, &snapshot, false);
                let too_long = super::approval::too_long(&approval, None, snapshot.config(), now);
                let mut problems = [warnings, more, refused, too_long].concat();
                problems.sort();
                Checked { problems, sources: reports, snapshot: Some(snapshot) }
            }
        }
    }

    /// All present inputs; those of collected sources as a fetch of the missing ones, or of all, finds them now. Without
    /// last good inputs to fall back on, bad lists are taken too, so that every problem in them is shown.
    pub(super) fn gather(
        &self,
        last_good: Option<&Inputs>,
        all: bool,
    ) -> Result<(Inputs, Vec<Problem>), Failed> {
        let (config, plan) = inputs::configured(self.parts.config_file.as_deref(), &self.parts.interpret)?;
        let holdings = self.look(&plan, all, last_good.is_some());
        let gathered = inputs::gather(config, &plan, holdings, last_good, None)?;
        Ok((gathered.inputs, gathered.warnings))
    }

    /// The present inputs compiled for another moment.
    pub fn compile_on(&self, on: Timestamp) -> Result<Snapshot, Vec<Problem>> {
        let parts = &self.parts;
        let (inputs, _) = self.gather(None, false).map_err(|(_, problems)| problems)?;
        let understood =
            inputs::understand(&inputs, &parts.interpret, &[]).map_err(|(_, problems)| problems)?;
        // Labels of its own: a question must not make a metric.
        compile(understood.draft, on, 0, &Labels::default()).map(|compiled| compiled.snapshot)
    }

    /// Inputs that were kept or are in force, compiled for a moment under a number.
    fn compile_kept(&self, inputs: &Inputs, on: Timestamp, number: u64) -> Result<Snapshot, Vec<Problem>> {
        let force = self.force();
        let known: Vec<_> = force.iter().map(|force| &force.lists).collect();
        let understood = inputs::understand(inputs, &self.parts.interpret_kept, &known)
            .map_err(|(_, problems)| problems)?;
        compile(understood.draft, on, number, &Labels::default()).map(|compiled| compiled.snapshot)
    }

    /// The policy in force.
    pub fn in_force(&self) -> Option<Arc<Snapshot>> {
        self.force().map(|force| Arc::clone(&force.snapshot))
    }

    /// Explains by the policy in force, or by its inputs compiled for another moment. A day is asked about as it ends in the
    /// policy's zone.
    pub fn explain(&self, inquiry: &Inquiry, on: Option<When>) -> Result<Explanation, Vec<Problem>> {
        let force = self.force().ok_or_else(Vec::new)?;
        match on {
            None => Ok(force.snapshot.explain(inquiry)),
            Some(when) => {
                let on = when.end_of_day(&force.snapshot.config().time_zone);
                let snapshot = self.compile_kept(&force.inputs, on, force.generation())?;
                Ok(snapshot.explain(inquiry))
            }
        }
    }

    /// The policy that was in force here at a moment that has passed, from what was kept of it, and what is to be said of it.
    pub fn then(&self, at: Timestamp) -> Result<(Snapshot, Then), Vec<Problem>> {
        let complain = |what: String, hint: &str| vec![Problem::error(Place::file("--at"), what, hint)];
        let now = self.parts.clock.wall();
        if at > now {
            return Err(complain(format!("{at} is yet to come"), "ask with --on what will count then"));
        }
        let Some(store) = &self.store else {
            return Err(complain("no generations are kept".to_owned(), "set `state` under [policy]"));
        };
        let number = store.in_force_at(at).map_err(|gone| {
            complain(gone.to_string(), "`interdict history` shows what is kept; [history] says how much")
        })?;
        let (manifest, inputs) = store.load(number).map_err(|error| {
            complain(format!("generation {number} cannot be used: {error}"), "restore the state directory")
        })?;
        let on = at.max(manifest.compiled_on);
        let snapshot = self.compile_kept(&inputs, on, number)?;
        let next = manifest.next_transition.is_none_or(|next| next > on);
        let exact = !next || snapshot.digest() == manifest.digest;
        Ok((snapshot, Then { generation: number, at, exact }))
    }

    /// What a reload would change.
    pub fn preview(&self) -> Result<Preview, Vec<Problem>> {
        let Some(force) = self.force() else { return Ok(Preview::default()) };
        let (next, guard, mut warnings) = self.prospect(&force)?;
        let problems = guard::check(&guard, Some(&force.snapshot), &next, true);
        if !problems.is_empty() {
            return Err(problems);
        }
        let asked = self.blocks_most_asked(&guard, &force.snapshot, &next);
        warnings.extend(asked.into_iter().map(|one| Problem { severity: Severity::Warning, ..one }));
        Ok(Preview { difference: Difference::between(&force.snapshot, &next), warnings })
    }

    /// What the present inputs would make of the policy in force, with its guard, and what is to be said of the inputs.
    pub(super) fn prospect(
        &self,
        force: &Ready,
    ) -> Result<(Snapshot, guard::Config, Vec<Problem>), Vec<Problem>> {
        let parts = &self.parts;
        let read = self.gather(Some(&force.inputs), true);
        let (inputs, warnings) = read.map_err(|(_, problems)| problems)?;
        let understood = inputs::understand(&inputs, &parts.interpret, &[&force.lists])
            .map_err(|(_, problems)| problems)?;
        let next = compile(understood.draft, self.now(), force.generation() + 1, &Labels::default())?;
        Ok((next.snapshot, understood.guard, warnings))
    }

    /// What tells two generations apart, each as it was compiled when it came into force.
    pub fn compare(&self, one: u64, other: u64) -> Result<Difference, Vec<Problem>> {
        Ok(Difference::between(&*self.generation(one)?, &*self.generation(other)?))
    }

    /// A generation that is in force, ready or kept.
    pub fn generation(&self, number: u64) -> Result<Arc<Snapshot>, Vec<Problem>> {
        {
            let state = self.state();
            let force = state.force.as_ref().filter(|force| force.generation() == number);
            if let Some(ready) = force.or_else(|| state.earlier.find(number)) {
                return Ok(Arc::clone(&ready.snapshot));
            }
        }
        let complain = |what: String| {
            let hint = "`interdict history` shows what is kept";
            vec![Problem::error(Place::file(format!("generation {number}")), what, hint)]
        };
        let store = self.store.as_ref().ok_or_else(|| complain("no generations are kept".to_owned()))?;
        let (manifest, inputs) =
            store.load(number).map_err(|error| complain(format!("cannot be used: {error}")))?;
        self.compile_kept(&inputs, manifest.compiled_on, number).map(Arc::new)
    }

    /// The generation that was last good on this machine, compiled for now.
    pub fn last_good(&self) -> Result<Snapshot, Vec<Problem>> {
        let complain = |what: String| {
            let hint = "run it as somebody who may read the state directory of `interdict serve`";
            vec![Problem::error(Place::file("state"), what, hint)]
        };
        let number = self.store.as_ref().and_then(|store| Some((store, store.good()?)));
        let (store, number) = number.ok_or_else(|| complain("no generation is kept there".to_owned()))?;
        let (_, inputs) = store
            .load(number)
            .map_err(|error| complain(format!("generation {number} cannot be used: {error}")))?;
        self.compile_kept(&inputs, self.parts.clock.wall(), number)
    }

    /// Every time a kept generation came into force, the newest first.
    pub fn history(&self) -> Vec<Generation> {
        let (hold, ready, in_force) = {
            let state = self.state();
            let in_force = state.force.as_ref().map(|force| force.generation());
            (state.hold.clone(), state.earlier.numbers(), in_force)
        };
        let timeline = self.store.as_ref().map(|store| store.timeline()).unwrap_or_default();
        generations(timeline, in_force, hold.as_ref(), &ready)
    }

    /// The state of the control plane; `None` before the start.
    pub fn status(&self) -> Option<Status> {
        let audit = self.recorder.shown();
        let now = self.parts.clock.wall();
        let conditions = self.collection.conditions();
        let state = self.state();
        let force = state.force.as_ref()?;
        let live = &force.snapshot;
        let mut degraded: Vec<String> = Vec::new();
        if state.fell_back {
            degraded.push("the present inputs are bad; the last good ones are in force".to_owned());
        }
        degraded.extend(state.not_kept.clone());
        degraded.extend(audit.trouble);
        degraded
            .extend(state.stale.iter().map(|source| format!("source {source}: last good content in use")));
        degraded.extend(self.beside.iter().filter_map(|beside| beside()));
        degraded.extend(conditions.iter().flat_map(|(name, condition)| condition.complaints(name)));
        let (last_outcome, last_outcome_at) = match &state.last_outcome {
            Some((outcome, at)) => (Some(outcome.clone()), *at),
            None => (None, state.spell.from),
        };
        let waiting = state.candidate.as_ref().map(|candidate| candidate.waiting.clone());
        let waiting = waiting.filter(|waiting| waiting.until > now);
        Some(Status {
            generation: live.generation(),
            digest: live.digest(),
            law: force.law.digest(),
            compiled_on: live.compiled_on(),
            published_at: state.spell.from,
            who: state.spell.who.clone(),
            why: state.spell.why.clone(),
            next_transition: live.next_transition(),
            rules: live.rule_count(),
            names: live.name_count(),
            memory_bytes: live.memory(),
            groups: live.group_names().map(str::to_owned).collect(),
            sources: outcome::with_conditions(&state.reports, &conditions),
            bundle: force.inputs.bundle.as_ref().map(outcome::BundleStatus::of),
            exceptions: exceptions(live, now),
            pinned: state.hold.is_some(),
            hold: state.hold.clone(),
            held_back: state.held_back.clone(),
            waiting,
            ready: state.earlier.numbers(),
            audit: audit.head,
            last_outcome,
            last_outcome_at,
            degraded,
        })
    }

    /// The files whose change should wake the pipeline.
    pub fn watched(&self) -> Vec<PathBuf> {
        let inputs = self.force().map(|force| Arc::clone(&force.inputs));
        let all = inputs.iter().flat_map(|inputs| inputs.sources.values());
        let plain = all.filter(|raw| !raw.name.contains("://")).map(|raw| &raw.name);
        let bundle = inputs.iter().filter_map(|inputs| inputs.bundle.as_ref());
        let bundle = bundle.flat_map(|bundle| {
            [&bundle.name].into_iter().chain(bundle.signature.as_ref().map(|raw| &raw.name))
        });
        let lists = plain.chain(bundle).map(PathBuf::from).chain(self.collection.files());
        self.parts.config_file.iter().cloned().chain(lists).collect()
    }

    /// When the legal date trigger must fire.
    pub fn next_transition(&self) -> Option<Timestamp> {
        self.force()?.snapshot.next_transition()
    }

    /// The newest entries of the audit log whose number is smaller than `before`, oldest first.
    pub fn audit(&self, most: usize, before: Option<u64>) -> Result<Vec<Entry>, Vec<Problem>> {
        let path = self.parts.state.as_ref().map(|state| state.join(AUDIT_FILE));
        let Some(path) = path.filter(|path| path.exists()) else { return Ok(Vec::new()) };
        newest_before(&path, most, before.unwrap_or(u64::MAX)).map_err(|error| {
            let place = Place::file(path.display().to_string());
            vec![Problem::error(place, format!("cannot be read: {error}"), "")]
        })
    }

    /// Writes down that somebody without a valid token asked for a change.
    pub fn refuse_stranger(&self, from: Option<IpAddr>, what: &str) {
        self.recorder.stranger(from, what, self.parts.clock.wall());
    }

    /// Writes down that somebody asked for a change whose role does not allow it.
    pub fn refuse(&self, by: &By, from: Option<IpAddr>, what: &str) {
        let detail = from.map(|from| format!("from {from}")).into_iter().collect();
        self.record(Event { detail, ..self.event(by, what, "forbidden", None) });
    }

    /// Writes down that somebody was let in whom no file names.
    pub fn admit(&self, by: &By, from: Option<IpAddr>, what: &str, mut detail: Vec<String>) {
        detail.extend(from.map(|from| format!("from {from}")));
        self.record(Event { detail, ..self.event(by, what, "admitted", None) });
    }

    /// Writes down that the process stops.
    pub fn end(&self) {
        let _turn = self.turn();
        self.recorder.tend(self.parts.clock.wall(), true);
        self.record(self.event(&By::new("interdict"), "stop", "stopped", self.force().as_deref()));
    }

    /// What is due by time alone: entries that a disk refused, a candidate that lapsed.
    pub fn tend(&self) {
        self.recorder.tend(self.parts.clock.wall(), false);
        self.lapse();
    }
}

/// Exceptions that have not ended, the first to end first.
fn exceptions(live: &Snapshot, now: Timestamp) -> Vec<ExceptionStatus> {
    let config = live.config();
    let mut all: Vec<ExceptionStatus> = config
        .exceptions
        .iter()
        .filter_map(|exception| {
            let from = exception.from.map(|from| from.in_zone(&config.time_zone));
            let until = exception.until.in_zone(&config.time_zone);
            let standing = Standing::at(now, from, Some(until));
            (!matches!(standing, Standing::Ended(_))).then(|| ExceptionStatus {
                id: exception.id.clone(),
                group: exception.group.clone(),
                until,
                in_force: standing == Standing::InForce,
                ends_soon: until.duration_since(now) <= SOON,
                break_glass: exception.break_glass,
                approved_by: exception.approved_by.clone(),
                reason: exception.reason.clone(),
            })
        })
        .collect();
    all.sort_by(|a, b| a.until.cmp(&b.until).then_with(|| a.id.cmp(&b.id)));
    all
}
