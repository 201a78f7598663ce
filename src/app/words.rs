//! Owns the way from a record's ids to words, for whoever logs or counts it: in the generation that decided it, as long as somebody holds that. Never on a query's
//! thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::policy::{Description, Identities, Identity, Live, Snapshot, Trigger};
use crate::telemetry::{Decision, Describe, Described, Record};

/// Looks up the words of a record in the generation that decided it.
pub(super) struct Words {
    live: Live,
    identities: Identities,
    /// Generations that records were described in.
    known: Mutex<Vec<Weak<Snapshot>>>,
}

impl Words {
    pub(super) fn new(live: Live, identities: Identities) -> Self {
        Self { live, identities, known: Mutex::default() }
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
        }
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
