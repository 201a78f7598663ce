//! Owns going back to an earlier generation and holding one in force: rollback, pin, unpin. A rollback to a generation that
//! is still compiled is a pointer swap. Dates of law pass through a hold: what was law goes on being law.

use std::io;
use std::sync::Arc;

use super::enact::Deed;
use super::manifest::Manifest;
use super::outcome::{By, HeldBack, Hold, HoldKind, Outcome, Stage};
use super::pipeline::{Pipeline, not_started, unchanged};
use super::ready::Ready;
use super::trigger::Trigger;
use crate::policy::Difference;
use crate::problem::{Place, Problem};

/// Name of the file below the state directory that keeps a hold over a restart.
pub(super) const HOLD: &str = "hold.json";

impl Pipeline {
    /// Puts an earlier generation in force: `to`, or the newest one before the present that was made of other inputs. It
    /// stays until somebody asks for a reload.
    pub fn rollback(&self, to: Option<u64>, by: &By) -> Outcome {
        let _turn = self.turn();
        let outcome = self.go_back(to, by, "rollback").unwrap_or_else(rejected);
        let pinned = self.state().hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Pin);
        // A pin goes along: whoever set it meant that nothing changes by itself.
        if matches!(outcome, Outcome::Published { .. }) && !pinned {
            self.take_hold(HoldKind::Rollback, by);
        }
        self.conclude(outcome, "rollback", by)
    }

    /// Holds the generation in force, or puts `to` in force and holds that. Reloads are compiled and recorded from now on, and
    /// not published.
    pub fn pin(&self, to: Option<u64>, by: &By) -> Outcome {
        let _turn = self.turn();
        let Some(force) = self.force() else { return not_started() };
        let outcome = match to {
            Some(to) if to != force.generation() => {
                self.go_back(Some(to), by, "pin").unwrap_or_else(rejected)
            }
            _ => {
                self.record(self.event(by, "pin", "pinned", Some(&force)));
                self.take_hold(HoldKind::Pin, by);
                return unchanged(&force, Vec::new());
            }
        };
        if matches!(outcome, Outcome::Published { .. }) {
            self.take_hold(HoldKind::Pin, by);
        }
        self.conclude(outcome, "pin", by)
    }

    /// Ends a pin, or the hold of a rollback, and reloads.
    pub fn unpin(&self, by: &By) -> Outcome {
        {
            let _turn = self.turn();
            if self.state().hold.is_none() {
                let what = "nothing is pinned".to_owned();
                let outcome = rejected(Problem::error(Place::file("unpin"), what, ""));
                return self.conclude(outcome, "unpin", by);
            }
            self.let_go();
            self.record(self.event(by, "unpin", "released", self.force().as_deref()));
        }
        self.run(Trigger::Request, false, by)
    }

    /// Puts an earlier generation in force.
    fn go_back(&self, to: Option<u64>, by: &By, what: &'static str) -> Result<Outcome, Problem> {
        let Some(force) = self.force() else { return Ok(not_started()) };
        let number = to.or_else(|| self.one_before(&force)).ok_or_else(|| {
            let what = "there is no earlier generation to go back to";
            Problem::error(Place::file("rollback"), what, "`interdict history` shows what is kept")
        })?;
        if number == force.generation() {
            return Ok(unchanged(&force, Vec::new()));
        }
        let in_memory = self.state().earlier.find(number).cloned();
        if let Some(ready) = in_memory.filter(|ready| ready.holds_at(self.now())) {
            let deed = Deed { kept_before: true, ..Deed::written(what, by) };
            return Ok(self.enact_ready(&ready, &deed).0);
        }
        self.go_back_on_disk(&force, number, by, what)
    }

    /// The same for one that must be compiled: it is no longer in memory, or a date has come since.
    fn go_back_on_disk(
        &self,
        force: &Ready,
        number: u64,
        by: &By,
        what: &'static str,
    ) -> Result<Outcome, Problem> {
        let complain = |what: String, hint: &str| Problem::error(Place::file("rollback"), what, hint);
        let Some(store) = &self.store else {
            return Err(complain("no generations are kept".to_owned(), "set `state` under [policy]"));
        };
        let (manifest, inputs) = store.load(number).map_err(|error| {
            let hint = "`interdict history` shows what is kept";
            match error.kind() {
                io::ErrorKind::NotFound => complain(format!("generation {number} is not kept"), hint),
                _ => complain(format!("generation {number} cannot be used: {error}"), hint),
            }
        })?;
        match self.make_numbered(Arc::new(inputs), true, &[&manifest], Some(force)) {
            Err((stage, problems)) => Ok(Outcome::Rejected { stage, problems }),
            Ok((prepared, known)) => {
                Ok(self.enact(prepared, &Deed { kept_before: known, ..Deed::written(what, by) }))
            }
        }
    }

    /// The newest generation before the one in force that was made of other inputs.
    pub(super) fn one_before(&self, force: &Ready) -> Option<u64> {
        let origin = force.rollback_of.unwrap_or(force.generation());
        let print = |number: u64| {
            let known = self.state().earlier.find(number).map(|ready| ready.fingerprint.clone());
            let read =
                || self.store.as_ref()?.manifest(number).ok().map(|Manifest { fingerprint, .. }| fingerprint);
            known.or_else(read)
        };
        let mut numbers = self.state().earlier.numbers();
        numbers.extend(self.store.iter().flat_map(|store| store.generations()));
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.dedup();
        numbers
            .into_iter()
            .filter(|number| *number < origin)
            .find(|number| print(*number).is_some_and(|print| print != force.fingerprint))
    }

    /// Says what a reload would have put in force.
    pub(super) fn hold_back(&self, force: &Ready, next: &Ready, hold: Hold) -> Outcome {
        let difference = Difference::between(&force.snapshot, &next.snapshot);
        let law = next.law.digest();
        let mut state = self.state();
        let since = state.held_back.as_ref().filter(|known| known.law == law).map(|known| known.since);
        state.held_back = Some(HeldBack {
            law,
            since: since.unwrap_or(self.parts.clock.wall()),
            added: difference.added_count(),
            removed: difference.removed_count(),
        });
        Outcome::Held { generation: force.generation(), hold, difference }
    }

    fn take_hold(&self, kind: HoldKind, by: &By) {
        let Some(generation) = self.force().map(|force| force.generation()) else { return };
        let since = self.parts.clock.wall();
        let hold = Hold { kind, generation, who: by.who.clone(), why: by.why.clone(), since };
        tracing::warn!(generation, who = hold.who, why = hold.why, "held in force by a {}", kind.as_str());
        self.state().hold = Some(hold);
        if let Err(error) = self.move_hold(generation) {
            let what = format!("the {} does not outlive the process: {error}", kind.as_str());
            tracing::error!("{what}");
            self.state().not_kept = Some(what);
        }
    }

    /// Writes down which generation is held, if one is.
    pub(super) fn move_hold(&self, generation: u64) -> io::Result<()> {
        let hold = {
            let mut state = self.state();
            let Some(hold) = &mut state.hold else { return Ok(()) };
            hold.generation = generation;
            hold.clone()
        };
        self.store.as_ref().map_or(Ok(()), |store| store.remember(HOLD, &hold))
    }

    /// Ends whatever holds.
    pub(super) fn let_go(&self) {
        self.state().hold = None;
        if let Some(Err(error)) = self.store.as_ref().map(|store| store.remove(HOLD)) {
            tracing::error!(%error, "the hold would be back after a restart");
        }
    }
}

fn rejected(problem: Problem) -> Outcome {
    Outcome::Rejected { stage: Stage::Store, problems: vec![problem] }
}
