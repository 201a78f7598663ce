//! Owns what is known of a query when it is told, in this product's own form, and in whichever a sink wants. Never chooses which queries have a line.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::answered::{Answer, Answered, Said};
use super::config::Form;
use super::draft::{Draft, drafted};
use super::{ecs, json, ocsf};
use crate::policy::Description;
use crate::telemetry::record::Record;

/// A record in words.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// Which rule was met, and whose it is.
    pub words: Description,
    /// The client's group.
    pub group: String,
    /// Who the client is beside its address.
    pub identity: Option<String>,
}

/// Who asked, as far as a sink shows it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown<'a> {
    /// Address, network, digest, or nothing.
    pub(super) client: Option<&'a str>,
    /// The name it showed; with whole addresses only, as it tells of one person's device.
    pub(super) identity: Option<&'a str>,
    /// Whether the client is a whole address.
    pub(super) is_address: bool,
}

/// All that can be told of one query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub(super) record: &'a Record<'a>,
    /// When, in UTC and to the millisecond.
    pub(super) time: &'a str,
    pub(super) described: &'a Described,
    /// What a line says of the decision, in this product's own form, but for the rule's name.
    pub(super) decided: &'a [u8],
    pub(super) shown: Shown<'a>,
    /// What was answered; nothing when nothing was, and of connections.
    pub(super) said: &'a Said<'a>,
    /// The upstream that answered, if one did.
    pub(super) upstream: Option<&'a str>,
    /// Whether the answer's records are told, beside its code.
    pub(super) tells_answers: bool,
}

/// Writes what people read, without keeping it as text before.
pub(super) fn displayed<S: Serializer>(shown: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(shown)
}

/// What a line says of the decision, whichever rule was met: nothing of what there is not, which is most of it for most queries.
#[derive(Serialize)]
struct Decided<'a> {
    verdict: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    action: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    app: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instrument: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    authority: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    trigger: &'a str,
    group: &'a str,
    generation: u64,
}

impl<'a> Event<'a> {
    /// What was answered, if something was.
    pub(super) fn answered(&self) -> Option<&'a Answered> {
        self.said.answered()
    }

    /// The answer's records, if there was a reply and they are to be told.
    pub(super) fn answers(&self) -> Option<&'a [Answer]> {
        self.answered().filter(|_| self.tells_answers).map(|answered| &*answered.answers)
    }

    /// True when the answer has more records than are told of those that are to be.
    pub(super) fn is_cut(&self) -> bool {
        self.tells_answers && self.answered().is_some_and(|answered| answered.is_cut)
    }
}

/// Puts a query's line into the draft, without its end.
pub(super) fn put(form: Form, event: Event<'_>, draft: &mut Draft<'_>) {
    let written = match form {
        Form::Json => {
            json::put(event, draft);
            Ok(())
        }
        Form::Ecs => serde_json::to_writer(draft, &ecs::line(event)),
        Form::Ocsf => serde_json::to_writer(draft, &ocsf::line(event)),
    };
    // A draft takes everything, and no field refuses to be written.
    debug_assert!(written.is_ok());
}

/// The fields of a line, for whoever writes them one by one.
pub(super) fn fields(event: Event<'_>) -> Map<String, Value> {
    let mut line = Vec::new();
    let end = drafted(&mut line, 0, |draft| json::put(event, draft));
    line.get(..end).and_then(|line| serde_json::from_slice(line).ok()).unwrap_or_default()
}

/// What a line says of the decision, as members of an object: of a record, and of all others that were decided like it, by whichever rule of that list.
pub(super) fn decided(record: &Record<'_>, described: &Described) -> Vec<u8> {
    let Described { words, group, .. } = described;
    let decided = Decided {
        verdict: record.decision.as_str(),
        action: words.action,
        app: &words.app,
        instrument: &words.instrument,
        authority: &words.authority,
        in_force_from: words.in_force_from,
        source: &words.source,
        exception: words.exception.as_deref(),
        trigger: words.trigger,
        group,
        generation: record.generation,
    };
    // No field refuses to be written. Its braces are the line's.
    let object = serde_json::to_vec(&decided).unwrap_or_default();
    object.get(1..object.len().saturating_sub(1)).unwrap_or(&[]).to_vec()
}

/// What carries the query: the words of the schemas know no more.
pub(super) fn transport(record: &Record<'_>) -> &'static str {
    match record.transport {
        "udp" | "doq" => "udp",
        _ => "tcp",
    }
}
