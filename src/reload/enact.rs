//! Owns the last steps of a change: keep on disk → audit → publish → mark good. What was law before, a date or a rollback,
//! is published first. Never decides whether a change may come into force.

use std::io;
use std::sync::Arc;

use super::approval::Approval;
use super::audit::Event;
use super::manifest::{Manifest, Spell};
use super::outcome::{By, Outcome, Step};
use super::pipeline::{Pipeline, Prepared};
use super::ready::Ready;
use crate::policy::{Difference, Live};
use crate::problem::{Place, Problem};

/// How something comes into force.
pub(super) struct Deed<'a> {
    pub(super) by: &'a By,
    pub(super) what: &'static str,
    /// Its law was in force and written down before: put it in force first and write then.
    pub(super) written_before: bool,
    /// It is kept already, under its number.
    pub(super) kept_before: bool,
    pub(super) approvals: Vec<Approval>,
}

impl<'a> Deed<'a> {
    /// A law that was agreed to and written down before.
    pub(super) fn written(what: &'static str, by: &'a By) -> Self {
        Deed { by, what, written_before: true, kept_before: false, approvals: Vec::new() }
    }
}

impl Pipeline {
    /// Puts a policy in force, and says so.
    pub(super) fn enact(&self, prepared: Prepared, deed: &Deed<'_>) -> Outcome {
        let Prepared { ready, warnings } = prepared;
        let (mut outcome, not_kept) = self.enact_ready(&Arc::new(ready), deed);
        if let Outcome::Published { warnings: said, .. } = &mut outcome {
            said.extend(warnings);
            said.extend(not_kept);
        }
        outcome
    }

    /// The same for a policy that may be in memory already. The second value says what could not be kept.
    pub(super) fn enact_ready(&self, ready: &Arc<Ready>, deed: &Deed<'_>) -> (Outcome, Option<Problem>) {
        let before = self.force();
        if deed.written_before {
            self.swap(ready);
        }
        let difference = match &before {
            Some(before) => Difference::between(&before.snapshot, &ready.snapshot),
            None => Difference { rules_after: ready.snapshot.rule_count(), ..Difference::default() },
        };
        let spell = Spell { change: difference.clone(), ..self.next_spell(before.as_deref(), deed) };
        let mut kept = self.keep(ready, deed, &spell);
        self.step(Step::Record);
        let mut detail = difference.summary();
        detail.extend(deed.approvals.iter().map(|approval| {
            format!("approved by {} ({}) at {}", approval.name, approval.key, approval.signed_at)
        }));
        self.record(Event { detail, ..self.event(deed.by, deed.what, "published", Some(ready)) });
        if !deed.written_before {
            self.swap(ready);
        }
        self.state().spell = spell;
        let generation = ready.generation();
        self.shout(ready);
        if let Some(store) = &self.store {
            self.step(Step::MarkGood);
            kept = kept.and_then(|()| store.mark_good(generation)).and_then(|()| self.move_hold(generation));
            self.step(Step::Forget);
            store.forget(&ready.history, generation, self.parts.clock.wall());
        }
        let not_kept = kept
            .err()
            .map(|error| format!("generation {generation} is in force but could not be kept: {error}"));
        let mut state = self.state();
        state.not_kept.clone_from(&not_kept);
        state.fell_back = false;
        drop(state);
        let problem = not_kept.map(|what| {
            Problem::warning(Place::file("state"), what, "free space, or check the state directory")
        });
        let digest = ready.snapshot.digest();
        (Outcome::Published { generation, digest, difference, warnings: Vec::new() }, problem)
    }

    fn keep(&self, ready: &Ready, deed: &Deed<'_>, spell: &Spell) -> io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        self.step(Step::Stage);
        if deed.kept_before {
            match store.note(ready.generation(), spell.clone()) {
                // Only memory still knew it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                noted => return noted,
            }
        }
        let manifest = Manifest {
            generation: ready.generation(),
            digest: ready.snapshot.digest(),
            law: ready.law.digest(),
            compiled_on: ready.snapshot.compiled_on(),
            next_transition: ready.snapshot.next_transition(),
            rollback_of: ready.rollback_of,
            spells: vec![spell.clone()],
            ..Manifest::default()
        };
        store.stage(manifest, &ready.inputs)
    }

    /// The one pointer.
    pub(super) fn swap(&self, ready: &Arc<Ready>) {
        self.step(Step::Publish);
        let mut state = self.state();
        let snapshot = Arc::clone(&ready.snapshot);
        match &state.live {
            // Never the last holder: what it was made of holds it too.
            Some(live) => drop(live.publish(snapshot)),
            None => state.live = Some(Live::new(snapshot)),
        }
        state.latest = state.latest.max(Some(ready.snapshot.compiled_on()));
        state.highest = state.highest.max(ready.generation());
        if let Some(hold) = &mut state.hold {
            hold.generation = ready.generation();
        }
        state.earlier.take_out(ready.generation());
        if let Some(before) = state.force.replace(Arc::clone(ready)) {
            state.earlier.push(before, ready.history.memory);
        }
        state.stale.clone_from(&ready.inputs.stale);
        state.reports.clone_from(&ready.reports);
        drop(state);
        self.fold.after(ready);
    }

    fn next_spell(&self, before: Option<&Ready>, deed: &Deed<'_>) -> Spell {
        let state = self.state();
        Spell {
            number: state.spell.number + 1,
            from: self.parts.clock.wall(),
            who: deed.by.who.clone(),
            what: deed.what.to_owned(),
            why: deed.by.why.clone(),
            replaced: before.map(Ready::generation).or(state.before_start),
            approvals: deed.approvals.iter().map(|approval| approval.name.clone()).collect(),
            audit: self.recorder.shown().head,
            change: Difference::default(),
        }
    }

    /// An entry for the audit log about `ready`.
    pub(super) fn event(&self, by: &By, what: &str, outcome: &str, ready: Option<&Ready>) -> Event {
        Event {
            time: self.parts.clock.wall(),
            who: by.who.clone(),
            what: what.to_owned(),
            outcome: outcome.to_owned(),
            generation: ready.map(Ready::generation),
            digest: ready.map(|ready| ready.snapshot.digest()).unwrap_or_default(),
            law: ready.map(|ready| ready.law.digest()).unwrap_or_default(),
            configuration: ready.map(Ready::configuration).unwrap_or_default(),
            why: by.why.clone(),
            ..Event::default()
        }
    }

    pub(super) fn record(&self, event: Event) {
        if !event.configuration.is_empty() {
            self.state().recorded_configuration.clone_from(&event.configuration);
        }
        self.recorder.append(event);
    }

    /// Emergencies are never quiet.
    pub(super) fn shout(&self, ready: &Ready) {
        let config = ready.snapshot.config();
        for exception in config.exceptions.iter().filter(|exception| exception.break_glass) {
            let until = exception.until.in_zone(&config.time_zone);
            if until > self.parts.clock.wall() {
                tracing::warn!(
                    exception = %exception.id,
                    apps = ?exception.apps,
                    names = ?exception.names,
                    %until,
                    approved_by = %exception.approved_by,
                    reason = %exception.reason,
                    "BREAK GLASS: an emergency exception is in the policy"
                );
            }
        }
    }
}
