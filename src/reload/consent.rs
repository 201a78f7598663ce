//! Owns a change that waits for people: when it begins to wait, who has signed, when it lapses, and that what was signed is
//! what comes into force. Never decides how many signatures are enough; `approval` does.

use std::sync::Arc;

use jiff::SignedDuration;

use super::approval::{Approval, Waiting};
use super::audit::Event;
use super::inputs::Fresh;
use super::outcome::{By, HoldKind, Outcome, Stage};
use super::pipeline::{Candidate, Pipeline, Proposal, not_started};
use super::ready::Ready;
use crate::policy::{Amendment, Difference};
use crate::problem::{Place, Problem};
use crate::sources::Arrival;

/// Name of the file below the state directory that keeps signatures over a restart.
pub(super) const APPROVALS: &str = "approvals.json";
/// Signatures kept; beyond it the oldest go. Each candidate needs a handful.
const KEPT: usize = 100;

impl Pipeline {
    /// Takes an approver's signature of the candidate that waits; publishes it when it has enough.
    pub fn approve(&self, law: &str, signature: &str, by: &By) -> Outcome {
        let _turn = self.turn();
        self.lapse();
        let outcome = self
            .take(law, signature, by)
            .unwrap_or_else(|problem| Outcome::Rejected { stage: Stage::Approve, problems: vec![problem] });
        self.conclude(outcome, "approve", by)
    }

    fn take(&self, law: &str, signature: &str, by: &By) -> Result<Outcome, Problem> {
        let Some(force) = self.force() else { return Ok(not_started()) };
        let Some(candidate) = self.state().candidate.clone() else {
            let what = "no change waits for approval";
            return Err(Problem::error(Place::file("approve"), what, "it may have lapsed: interdict reload"));
        };
        if candidate.waiting.law != law {
            let what = format!("another candidate waits: {}", candidate.waiting.law);
            let hint = "its inputs have changed since; look at it with: interdict approve";
            return Err(Problem::error(Place::file("approve"), what, hint));
        }
        let approval = force.approval.read(law, signature, self.parts.clock.wall())?;
        self.record(Event {
            detail: vec![
                format!("signed by {} ({}) at {}", approval.name, approval.key, approval.signed_at),
                approval.signature.clone(),
            ],
            law: law.to_owned(),
            ..self.event(by, "approve", "signed", Some(&force))
        });
        self.add(approval);
        let proposal = Proposal {
            inputs: Arc::clone(&candidate.inputs),
            // What was signed is what comes into force: nothing of it is left out.
            fresh: Fresh { arrivals: candidate.arrivals.clone(), ..Fresh::default() },
            warnings: Vec::new(),
            accept_shrink: candidate.accept_shrink,
            explicit: true,
            by: &By { who: candidate.waiting.who.clone(), why: candidate.waiting.why.clone() },
            what: "approve",
        };
        Ok(self.consider(&force, proposal))
    }

    fn add(&self, approval: Approval) {
        let mut state = self.state();
        state.approvals.retain(|known| (&known.law, &known.key) != (&approval.law, &approval.key));
        let surplus = (state.approvals.len() + 1).saturating_sub(KEPT);
        state.approvals.drain(..surplus);
        state.approvals.push(approval);
        let all = state.approvals.clone();
        drop(state);
        if let Some(Err(error)) = self.store.as_ref().map(|store| store.remember(APPROVALS, &all)) {
            tracing::error!(%error, "signatures are not kept over a restart");
        }
    }

    /// Signatures that count for a law under the rules in force.
    pub(super) fn approvals_of(&self, force: &Ready, law: &str) -> Vec<Approval> {
        let all = self.state().approvals.clone();
        force.approval.counting(&all, law, self.parts.clock.wall())
    }

    /// Lets `next` wait when the rules in force ask for more approvals than it has; `None` when it may come into force.
    pub(super) fn ask_approval(
        &self,
        force: &Ready,
        next: &Ready,
        arrivals: &[Arrival],
        accept_shrink: bool,
        by: &By,
    ) -> Option<Outcome> {
        let amendment = next.law.amends(&force.law);
        let needed = force.approval.needed(amendment);
        let law = next.law.digest();
        let approvals = self.approvals_of(force, &law);
        if approvals.len() >= needed {
            return None;
        }
        let now = self.parts.clock.wall();
        let lifetime = SignedDuration::try_from(force.approval.expiry).unwrap_or(SignedDuration::MAX);
        let mut state = self.state();
        // The same change asked for again waits on, and is not waited for anew.
        let known = state.candidate.take().filter(|known| known.waiting.law == law);
        let since = known.as_ref().map_or(now, |known| known.waiting.since);
        let first = known.map(|known| By { who: known.waiting.who, why: known.waiting.why });
        // Who asks for what a changed file began has a name, and maybe a reason.
        let by = first.filter(|first| !first.is_automatic() || by.is_automatic()).unwrap_or(by.clone());
        let waiting = Waiting {
            law,
            needed,
            approved_by: approvals.into_iter().map(|approval| approval.name).collect(),
            since,
            until: since.saturating_add(lifetime).unwrap_or(jiff::Timestamp::MAX),
            break_glass: amendment == Amendment::BreakGlass,
            who: by.who,
            why: by.why,
            difference: Difference::between(&force.snapshot, &next.snapshot),
        };
        let inputs = Arc::clone(&next.inputs);
        state.candidate =
            Some(Candidate { waiting: waiting.clone(), inputs, arrivals: arrivals.to_vec(), accept_shrink });
        Some(Outcome::Waiting(Box::new(waiting)))
    }

    /// Takes back a candidate that nobody wants any more.
    pub(super) fn withdraw(&self, why: &str) {
        let gone = self.state().candidate.take();
        if let Some(candidate) = gone {
            tracing::warn!(candidate = candidate.waiting.law, "no longer waits for approval: {why}");
            let force = self.force();
            let event = self.event(&By::new("interdict"), "approve", "withdrawn", force.as_deref());
            self.record(Event { law: candidate.waiting.law, detail: vec![why.to_owned()], ..event });
        }
    }

    /// Takes back a candidate whose time is over.
    pub(super) fn lapse(&self) {
        let now = self.parts.clock.wall();
        let over = self.state().candidate.as_ref().is_some_and(|candidate| candidate.waiting.until <= now);
        if over {
            self.withdraw("its time is over");
        }
    }

    /// Nothing waits and nothing is held back any more.
    pub(super) fn settled(&self) {
        let mut state = self.state();
        state.candidate = None;
        state.held_back = None;
    }

    /// Ends a hold of that kind, if one holds.
    pub(super) fn release(&self, kind: HoldKind) {
        if self.state().hold.as_ref().is_some_and(|hold| hold.kind == kind) {
            self.let_go();
        }
    }
}
