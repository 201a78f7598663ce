//! Owns the way from a record's ids to words, for whoever logs or counts it: in the generation that decided it, as long as somebody holds that. Never on a query's
//! thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::policy::{Description, Identities, Identity, Live, Snapshot, Trigger};
use crate::telemetry::{Decision, Describe, Described, Record};

/// Looks up the words of a record in the generation that decided it.
pub(super) struct Words {
    live: Live,
    identities: Identities,
    /// By their numbers.
    upstreams: Vec<String>,
    /// Generations that records were described in.
    known: Mutex<Vec<Weak<Snapshot>>>,
}

impl Words {
    pub(super) fn new(live: Live, identities: Identities, upstreams: Vec<String>) -> Self {
        Self { live, identities, upstreams, known: Mutex::default() }
    }

    /// A generation, as long as somebody holds it.
    fn generation(&self, number: u64) -> Option<Arc<Snapshot>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|snapshot| snapshot.strong_count() > 0);
        let is_wanted = |snapshot: &Arc<Snapshot>| snapshot.generation() == number;
        known.iter().filter_map(Weak::upgrade).find(is_wanted).or_else(|| {
            let current = self.live.load();
            known.push(Arc::downgrade(&current));
            Some(current).filter(is_wanted)
        })
    }
}

impl Describe for Words {
    fn describe(&self, record: &Record<'_>) -> Described {
        let identity = self.identities.with(record.identity, Identity::to_string);
        let Some(snapshot) = self.generation(record.generation) else {
            return Described { identity, ..Described::default() };
        };
        let (words, group) = match &record.cause {
            Some(cause) => (snapshot.describe(cause), cause.group),
            None => {
                let known = |identity: &Identity| snapshot.client_known_as(identity, record.client);
                let client = self.identities.with(record.identity, known);
                let words = if record.transport == Record::EGRESS {
                    unresolved(record)
                } else {
                    Description::default()
                };
                (words, client.unwrap_or_else(|| snapshot.client(record.client)).group)
            }
        };
        Described { words, group: snapshot.group_name(group).to_owned(), identity }
    }

    fn name_rule(&self, record: &Record<'_>, words: &mut Description) {
        if let (Some(snapshot), Some(cause)) = (self.generation(record.generation), &record.cause) {
            snapshot.name_rule(cause, Some(record.name), words);
        } else {
            // Nobody knows it any more: none is named, rather than the one that was before.
            words.listed.clear();
            words.rule.clear();
        }
    }

    fn upstream(&self, number: u16) -> Option<&str> {
        self.upstreams.get(usize::from(number)).map(String::as_str)
    }
}

/// A connection to an address that its client was not answered: no rule names it.
fn unresolved(record: &Record<'_>) -> Description {
    Description {
        trigger: Trigger::Egress.as_str(),
        action: if record.decision == Decision::Blocked { "drop" } else { "" },
        rule: "resolved-only".to_owned(),
        source: "resolved-only".to_owned(),
        app: "none".to_owned(),
        instrument: "none".to_owned(),
        ..Description::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::CanonicalName;
    use crate::policy::{Catalog, Cause, Draft, Labels, Rulebook, compile};

    #[test]
    fn a_rule_of_a_generation_that_is_gone_is_not_named_as_another_was() {
        let draft =
            Draft { book: Arc::new(Rulebook::new(Catalog::default(), Vec::new())), ..Draft::default() };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let live = Live::new(Arc::new(compile(draft, now, 2, &Labels::default()).unwrap().snapshot));
        let words = Words::new(live, Identities::default(), Vec::new());
        let name = CanonicalName::read(b"\x06wechat\x03com\0").unwrap();
        let trigger = Trigger::QueryName;
        let cause = Cause { rule: 1, kind: 0, group: 0, enforcement: 0, trigger, depth: 0, exact: false };
        let record = Record { name: &name, cause: Some(cause), generation: 1, ..Record::example() };
        let mut said = Description {
            listed: "tiktok.com".to_owned(),
            rule: "own:7".to_owned(),
            ..Description::default()
        };
        words.name_rule(&record, &mut said);
        assert_eq!((&*said.listed, &*said.rule), ("", ""));
    }
}
