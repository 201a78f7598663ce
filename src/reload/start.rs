//! Owns the first policy of a process: the present inputs, or what was kept when those are bad, held back, or wait for
//! approval. What was in force before the process ended goes on under its number. Never serves a request.

use std::sync::Arc;

use super::audit::{Anchor, Event};
use super::consent::APPROVALS;
use super::enact::Deed;
use super::hold::HOLD;
use super::inputs::{Failed, Gathered, Inputs};
use super::manifest::{Manifest, Spell};
use super::outcome::{By, Hold};
use super::pipeline::{Making, Pipeline, Prepared};
use super::ready::Ready;
use crate::policy::{Difference, Live};
use crate::problem::{Place, Problem};
use crate::sources::Arrival;

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

/// A generation as it was kept.
struct Kept {
    manifest: Manifest,
    inputs: Arc<Inputs>,
}

/// How the first policy was found.
struct First {
    prepared: Prepared,
    /// It is kept under its number already.
    known: bool,
    /// Why it is not the present inputs.
    instead: Option<&'static str>,
    problems: Vec<Problem>,
}

impl Pipeline {
    /// Publishes the first policy. Fails with every problem when neither the present inputs nor any kept ones will do.
    pub fn start(&self) -> Result<Started, Vec<Problem>> {
        let _turn = self.turn();
        let by = By::new("start");
        let (good, lost) = self.remember();
        self.catch_up();
        if let Some(hold) = lost {
            self.lose(&hold, &by);
        }
        let First { prepared, known, instead, mut problems } = self.first(good.as_ref(), &by)?;
        let Prepared { ready, warnings } = prepared;
        problems.extend(warnings);
        let ready = Arc::new(ready);
        let goes_on = known && self.state().before_start == Some(ready.generation());
        if goes_on {
            self.record(self.event(&by, "start", "resumed", Some(&ready)));
            self.swap(&ready);
            self.shout(&ready);
            let marked = self.store.as_ref().map(|store| store.mark_good(ready.generation()));
            if let Some(Err(error)) = marked {
                self.state().not_kept = Some(format!("the state directory cannot be written: {error}"));
            }
        } else {
            let deed = Deed {
                by: &by,
                what: "start",
                written_before: false,
                kept_before: known,
                approvals: Vec::new(),
            };
            let (_, not_kept) = self.enact_ready(&ready, &deed);
            problems.extend(not_kept);
        }
        if let Some(instead) = instead {
            let detail =
                problems.iter().filter(|problem| problem.is_error()).map(|problem| problem.what.clone());
            let event = self.event(&by, "start", instead, Some(&ready));
            self.record(Event { detail: detail.take(20).collect(), ..event });
        }
        let fell_back = instead == Some("fell-back");
        let mut state = self.state();
        state.fell_back = fell_back;
        let live = state.live.clone().ok_or_else(Vec::new)?;
        Ok(Started { live, problems, fell_back })
    }

    /// Looks after what a start leaves for later: compiles the generation to go back to, so that a rollback is a pointer swap,
    /// and finds out what the start changed. Takes no turn while it compiles.
    pub(super) fn settle(&self) {
        let Some((force, number)) = self.force().and_then(|force| {
            let number = self.one_before(&force)?;
            Some((force, number))
        }) else {
            return;
        };
        if force.history.memory == 0 || self.state().earlier.find(number).is_some() {
            return;
        }
        let Some(Ok((manifest, inputs))) = self.store.as_ref().map(|store| store.load(number)) else {
            return;
        };
        let Ok((prepared, true)) = self.make_numbered(Arc::new(inputs), true, &[&manifest], Some(&force))
        else {
            return;
        };
        let _turn = self.turn();
        let started = {
            let mut state = self.state();
            let still = state.force.as_ref().is_some_and(|now| now.generation() == force.generation());
            if !still || state.earlier.find(number).is_some() {
                return;
            }
            let ready = Arc::new(prepared.ready);
            state.earlier.push(Arc::clone(&ready), force.history.memory);
            let spell = &state.spell;
            let started = spell.what == "start" && spell.replaced == Some(number) && spell.change.from == 0;
            started.then_some((spell.number, ready))
        };
        if let (Some((spell, before)), Some(store)) = (started, &self.store) {
            let change = Difference::between(&before.snapshot, &force.snapshot);
            if let Err(error) = store.note_change(force.generation(), spell, change) {
                tracing::warn!(%error, "what the start changed is not written down");
            }
        }
    }

    /// Writes down what a crash kept the process before from writing down.
    fn catch_up(&self) {
        let (spell, generation) = {
            let state = self.state();
            (state.spell.clone(), state.before_start)
        };
        let anchor = Anchor { hash: spell.audit.hash.clone(), origin: "the newest generation".to_owned() };
        let anchor = Some(anchor).filter(|_| spell.audit.sequence > 0);
        let head = self.recorder.open(self.parts.clock.wall(), anchor).unwrap_or_default();
        let manifest =
            generation.zip(self.store.as_ref()).and_then(|(number, store)| store.manifest(number).ok());
        let Some(manifest) = manifest.filter(|_| spell.number > 0 && spell.audit.sequence >= head.sequence)
        else {
            return;
        };
        let mut detail =
            vec!["the process ended before this was written; it may not have come into force".to_owned()];
        detail.extend(spell.change.summary());
        self.record(Event {
            time: spell.from,
            who: spell.who,
            what: spell.what,
            outcome: "interrupted".to_owned(),
            generation,
            digest: manifest.digest,
            law: manifest.law,
            why: spell.why,
            detail,
            ..Event::default()
        });
    }

    /// Reads what the process before left; returns the generation that is held in force, or was last good.
    /// The second value is a hold whose generation cannot be used.
    fn remember(&self) -> (Option<Kept>, Option<Hold>) {
        let Some(store) = &self.store else { return (None, None) };
        let hold: Option<Hold> = store.recall(HOLD);
        let mut state = self.state();
        state.highest = store.generations().first().copied().unwrap_or(0);
        if let Some((spell, manifest)) = store.timeline().pop() {
            state.spell = spell;
            state.before_start = Some(manifest.generation);
        } else {
            state.spell = Spell::default();
        }
        state.approvals = store.recall(APPROVALS).unwrap_or_default();
        let load = |number: u64| match store.load(number) {
            Ok((manifest, inputs)) => Some(Kept { manifest, inputs: Arc::new(inputs) }),
            Err(error) => {
                tracing::warn!(generation = number, %error, "a stored generation cannot be used");
                None
            }
        };
        let held = hold.as_ref().and_then(|hold| load(hold.generation));
        let lost = hold.clone().filter(|_| held.is_none());
        state.hold = hold.filter(|_| held.is_some());
        (held.or_else(|| store.good().into_iter().chain(store.generations()).find_map(load)), lost)
    }

    /// Says that what was held in force is gone, and holds no more.
    fn lose(&self, hold: &Hold, by: &By) {
        let what = format!(
            "generation {}, held in force by the {} of {}, cannot be used",
            hold.generation,
            hold.kind.as_str(),
            hold.who
        );
        tracing::error!("{what}");
        self.let_go();
        self.record(Event { detail: vec![what], ..self.event(by, "unpin", "lost", None) });
    }

    fn first(&self, good: Option<&Kept>, by: &By) -> Result<First, Vec<Problem>> {
        let hold = self.state().hold.clone();
        if let (Some(hold), Some(good)) = (hold, good) {
            match self.make_kept(good) {
                Ok((prepared, known)) => {
                    self.begin_held(&prepared.ready);
                    let what = format!(
                        "generation {} is held in force by the {} of {}",
                        prepared.ready.generation(),
                        hold.kind.as_str(),
                        hold.who
                    );
                    let problem =
                        Problem::warning(Place::file("start"), what, "to end that: interdict unpin");
                    return Ok(First { prepared, known, instead: Some("held"), problems: vec![problem] });
                }
                Err((_, problems)) => {
                    tracing::error!(?problems, "the generation held in force does not compile");
                    self.lose(&hold, by);
                }
            }
        }
        let read = self.read(good.map(|good| &*good.inputs), |plan| self.begin(plan));
        let made = read.and_then(|Gathered { inputs, fresh, warnings }| {
            let make = |inputs| self.make_present(inputs, good);
            let ((mut prepared, known), arrivals, left_out) = self.with_new(Arc::new(inputs), fresh, make)?;
            prepared.warnings.splice(0..0, warnings.into_iter().chain(left_out));
            Ok((prepared, known, arrivals))
        });
        match (made, good) {
            (Ok((prepared, known, arrivals)), good) => {
                let waits = good.and_then(|good| self.first_waits(&prepared, &arrivals, good, by));
                if waits.is_none() {
                    self.collection.accept(&arrivals);
                }
                Ok(waits.unwrap_or(First { prepared, known, instead: None, problems: Vec::new() }))
            }
            (Err((_, problems)), None) => Err(problems),
            (Err((_, mut problems)), Some(good)) => {
                let Ok((prepared, known)) = self.make_kept(good) else { return Err(problems) };
                problems.push(Problem::warning(
                    Place::file("start"),
                    "the last good generation is in force instead",
                    "put the inputs right, then: interdict reload",
                ));
                Ok(First { prepared, known, instead: Some("fell-back"), problems })
            }
        }
    }

    /// The policy in force before, when the present one needs approvals that it does not have: a restart is no way around
    /// the two-person rule.
    fn first_waits(&self, present: &Prepared, arrivals: &[Arrival], good: &Kept, by: &By) -> Option<First> {
        if good.manifest.law == present.ready.law.digest() || !self.has_rule(good) {
            return None;
        }
        let (prepared, known) = self
            .make_kept(good)
            .inspect_err(|(_, problems)| tracing::error!(?problems, "the generation before cannot be used"))
            .ok()?;
        let outcome = self.ask_approval(&prepared.ready, &present.ready, arrivals, false, by)?;
        let problem = Problem::warning(
            Place::file("start"),
            outcome.to_string(),
            "the generation before stays in force until then; see: interdict approve",
        );
        Some(First { prepared, known, instead: Some("waiting"), problems: vec![problem] })
    }

    /// Whether a kept configuration asks for approvals at all; what cannot be read might.
    fn has_rule(&self, kept: &Kept) -> bool {
        let Some(raw) = &kept.inputs.config else { return false };
        let plan = raw.text().ok().and_then(|text| (self.parts.interpret_kept)(&raw.name, &text).ok());
        plan.is_none_or(|(plan, _)| plan.approval.approvals > 0)
    }

    /// Compiles the present inputs, under the number that they have already if they were in force before.
    fn make_present(&self, inputs: Arc<Inputs>, good: Option<&Kept>) -> Result<(Prepared, bool), Failed> {
        let newest = self.store.as_ref().and_then(|store| store.manifest(self.state().highest).ok());
        let known: Vec<&Manifest> = good.map(|good| &good.manifest).into_iter().chain(&newest).collect();
        self.make_numbered(inputs, false, &known, None)
    }

    fn make_kept(&self, kept: &Kept) -> Result<(Prepared, bool), Failed> {
        self.make_numbered(Arc::clone(&kept.inputs), true, &[&kept.manifest], None)
    }

    /// Compiles inputs under the number of one of `known` if that states the same law and still decides the same, else under
    /// a new one. The second value is true for the former.
    pub(super) fn make_numbered(
        &self,
        inputs: Arc<Inputs>,
        kept: bool,
        known: &[&Manifest],
        before: Option<&Ready>,
    ) -> Result<(Prepared, bool), Failed> {
        let next = self.next_number();
        let make = |known: &[&Manifest], rollback_of: Option<u64>| {
            let inputs = Arc::clone(&inputs);
            self.make(Making { inputs, kept, before, known, number: next, accept_shrink: kept, rollback_of })
        };
        let origin = known.first().filter(|_| kept).map(|one| one.rollback_of.unwrap_or(one.generation));
        let prepared = make(known, origin)?;
        let number = prepared.ready.generation();
        let Some(one) = known.iter().find(|one| one.generation == number) else {
            return Ok((prepared, false));
        };
        if prepared.ready.snapshot.digest() == one.digest {
            let ready = Ready { rollback_of: one.rollback_of, ..prepared.ready };
            return Ok((Prepared { ready, ..prepared }, true));
        }
        // Another version of the program reads it otherwise.
        Ok((make(&[], origin)?, false))
    }
}
