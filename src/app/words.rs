//! Owns the way from a record's ids to words, for whoever logs or counts it: in the generation that decided it, as long as somebody holds that. Never on a query's
//! thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::policy::{Description, Identities, Identity, Live, Snapshot, Trigger};
use crate::telemetry::{self, Decision, Described, Record};

/// Looks up the words of a record in the generation that decided it.
pub(super) fn describe(live: Live, identities: Identities) -> telemetry::Describe {
    let known: Mutex<Vec<Weak<Snapshot>>> = Mutex::default();
    Arc::new(move |record: &Record| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|snapshot| snapshot.strong_count() > 0);
        let mut found = known.iter().filter_map(Weak::upgrade).find(|s| s.generation() == record.generation);
        if found.is_none() {
            let current = live.load();
            known.push(Arc::downgrade(&current));
            found = Some(current).filter(|snapshot| snapshot.generation() == record.generation);
        }
        let identity = identities.with(record.identity, Identity::to_string);
        match (found, &record.cause) {
            (Some(snapshot), Some(cause)) => Described {
                words: snapshot.describe(cause),
                group: snapshot.group_name(cause.group).to_owned(),
                identity,
            },
            (Some(snapshot), None) => {
                let known = |identity: &Identity| snapshot.client_known_as(identity, record.client);
                let client = identities.with(record.identity, known);
                let group = client.unwrap_or_else(|| snapshot.client(record.client)).group;
                let words = if record.transport == Record::EGRESS {
                    unresolved(record)
                } else {
                    Description::default()
                };
                Described { group: snapshot.group_name(group).to_owned(), identity, words }
            }
            (None, _) => Described { identity, ..Described::default() },
        }
    })
}

/// A connection to an address that its client was not answered: no rule names it.
fn unresolved(record: &Record) -> Description {
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
