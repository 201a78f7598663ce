//! Owns the part of the reload path that concerns collected sources: fetching them outside any lock, judging what is new,
//! and leaving out what no generation can be made with, so that one bad list holds up nothing else. Never publishes.

use std::net::IpAddr;
use std::sync::Arc;

use super::guard;
use super::inputs::{self, Failed, Fresh, Holdings, Inputs, Plan};
use super::lists::Lists;
use super::pipeline::Pipeline;
use super::reading::read;
use super::ready::Ready;
use super::trigger::Trigger;
use crate::clock::Moment;
use crate::problem::{Place, Problem};
use crate::sources::{Arrival, Config, Raw, Reason, Refusal, Which};

impl Pipeline {
    /// Fetches what this trigger asks for. Blocks for as long as the network takes, without holding up anything: never call
    /// it on a query thread or in the runtime. True when there is something for [`Pipeline::run`] to look at.
    pub fn collect(&self, trigger: Trigger, accept_leaps: bool) -> bool {
        let force = self.force();
        let known = force.as_ref().map(|force| &force.lists);
        let which = match trigger {
            Trigger::LegalDate => return true,
            Trigger::Refresh => {
                let guard = force.as_ref().map(|force| force.guard.clone()).unwrap_or_default();
                return self.collection.fetch_due(&|source: &Config, raw: &Raw, before| {
                    judge(&guard, known, accept_leaps, source, raw, before)
                });
            }
            Trigger::File => Which::Local,
            Trigger::Request | Trigger::Signal => Which::All,
        };
        // A configuration that cannot be read is complained of by the run.
        if let Ok(plan) = self.plan() {
            self.collection.fetch(&plan.sources, which, &|source: &Config, raw: &Raw, before| {
                judge(&plan.guard, known, accept_leaps, source, raw, before)
            });
        }
        true
    }

    /// The start: what was kept is taken, what was never fetched is fetched.
    pub(super) fn begin(&self, plan: &Plan) -> Holdings {
        self.collection.start(&plan.sources, &|source: &Config, raw: &Raw, before| {
            judge(&plan.guard, None, false, source, raw, before)
        });
        self.collection.holdings(&plan.sources)
    }

    /// The start with a generation that is held in force: the sources of the present configuration, or of the held one when
    /// that is bad, are due, and waited for by nobody.
    pub(super) fn begin_held(&self, held: &Ready) {
        let present = self.plan().map(|plan| plan.sources);
        self.collection.resume(&present.unwrap_or_else(|_| held.sources.clone()));
    }

    fn plan(&self) -> Result<Plan, Failed> {
        inputs::configured(self.parts.config_file.as_deref(), &self.parts.interpret).map(|(_, plan)| plan)
    }

    /// When a source is next to be fetched.
    pub fn next_fetch(&self) -> Option<Moment> {
        self.collection.due()
    }

    /// Takes a NOTIFY of a primary, and returns the response to it; see [`crate::sources::Collection::take_notify`].
    pub fn take_notify(&self, message: &[u8], from: IpAddr) -> Option<Vec<u8>> {
        self.collection.take_notify(message, from)
    }

    /// Returns once a NOTIFY made a source due.
    pub async fn notified(&self) {
        self.collection.notified().await;
    }

    /// What there is of the collected sources, and what a fetch of the missing ones, or of `all`, brings now; `judged` as a
    /// reload would, or as it is. Changes nothing.
    pub(super) fn look(&self, plan: &Plan, all: bool, judged: bool) -> Holdings {
        let force = self.force();
        let known = force.as_ref().map(|force| &force.lists);
        self.collection.preview(&plan.sources, all, &|source: &Config, raw: &Raw, before| match judged {
            true => judge(&plan.guard, known, true, source, raw, before),
            false => Ok(0),
        })
    }

    /// What `make` makes of the inputs, and the new content in it. When nothing can be made with new content, it is refused,
    /// and what can be made without it comes with warnings.
    pub(super) fn with_new<T>(
        &self,
        inputs: Arc<Inputs>,
        fresh: Fresh,
        make: impl Fn(Arc<Inputs>) -> Result<T, Failed>,
    ) -> Result<(T, Vec<Arrival>, Vec<Problem>), Failed> {
        let Fresh { arrivals, holdings } = fresh;
        let failed = match make(Arc::clone(&inputs)) {
            Ok(made) => return Ok((made, arrivals, Vec::new())),
            Err(failed) => failed,
        };
        let Some(before) = without(&inputs, &arrivals, &holdings) else { return Err(failed) };
        // If that fails too, the new content is not to blame: it waits.
        let Ok(made) = make(Arc::new(before)) else { return Err(failed) };
        let first = failed.1.into_iter().find(Problem::is_error);
        let (what, hint) = first.map_or_else(Default::default, |problem| {
            (format!("{}: {}", problem.place, problem.what), problem.hint)
        });
        let what = format!("no generation can be made with its new content: {what}");
        self.collection.refuse(&arrivals, &Refusal::new(Reason::Guard, what, hint));
        let conditions = self.collection.conditions();
        let mut warnings = Vec::new();
        for arrival in &arrivals {
            let Some(condition) = conditions.get(arrival.source()) else { continue };
            let hint = condition.failing.as_ref().map_or("", |failing| &failing.hint);
            for complaint in condition.complaints(arrival.source()) {
                warnings.push(Problem::warning(Place::file(&condition.from), complaint, hint));
            }
        }
        Ok((made, Vec::new(), warnings))
    }

    /// Takes new content as good, and the sources it is of as those to fetch: `next` is in force, or about to be.
    pub(super) fn take_new(&self, next: &Ready, arrivals: &[Arrival]) {
        self.collection.accept(arrivals);
        self.collection.adopt(&next.sources);
    }
}

/// The inputs with the content before in place of each new one. `None` when nothing is new, or new content is all there
/// is of a source that an operator just added.
fn without(inputs: &Inputs, arrivals: &[Arrival], holdings: &Holdings) -> Option<Inputs> {
    if arrivals.is_empty() {
        return None;
    }
    let mut inputs = inputs.clone();
    for arrival in arrivals {
        let holding = holdings.get(arrival.source())?;
        match &holding.before {
            Some(raw) => {
                inputs.sources.insert(arrival.source().to_owned(), raw.clone());
            }
            None if holding.adopted => {
                inputs.sources.remove(arrival.source());
            }
            None => return None,
        }
    }
    Some(inputs)
}

/// Whether new content of a source is good by itself: a list in its syntax, with rules, of a size that can be meant.
/// Returns its rules.
fn judge(
    guard: &guard::Config,
    known: Option<&Arc<Lists>>,
    accept_leaps: bool,
    source: &Config,
    raw: &Raw,
    before: Option<u64>,
) -> Result<u64, Refusal> {
    let (found, _) =
        read(source, raw, known.and_then(|known| known.reading(&source.name)).map(|reading| &**reading));
    let rules = found.rules as u64;
    if found.refused() > source.tolerate {
        let (first, hint) = found.first_error().map_or_else(Default::default, |problem| {
            (format!("line {}: {}", problem.place.line, problem.what), problem.hint.clone())
        });
        let what = format!("{} of its {} lines are malformed: {first}", found.refused(), found.lines());
        return Err(Refusal::new(Reason::Malformed, what, hint));
    }
    if accept_leaps {
        return Ok(rules);
    }
    if rules == 0 {
        let what = format!("none of its {} lines is a rule", found.lines());
        return Err(Refusal::new(Reason::NoRules, what, format!("is `{}` its syntax?", source.format)));
    }
    match before.map(|before| guard.allow(&source.name, before, rules)) {
        Some(Err(leap)) => Err(Refusal::new(leap.reason, leap.what, leap.hint)),
        _ => Ok(rules),
    }
}
