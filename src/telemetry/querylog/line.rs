//! Owns what is known of a query when it is told, in this product's own form, and in whichever a sink wants. Never chooses which queries have a line.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::answered::{Answer, Answered, Said};
use super::config::Form;
use super::{ecs, json, ocsf};
use crate::dns::{CanonicalName, Rcode, RecordType};
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
    pub(super) record: &'a Record,
    /// When, in UTC and to the millisecond.
    pub(super) time: &'a str,
    pub(super) described: &'a Described,
    /// What a line says of the decision, in this product's own form.
    pub(super) decided: &'a [u8],
    pub(super) shown: Shown<'a>,
    /// What was answered; nothing when nothing was, and of connections.
    pub(super) said: &'a Said<'a>,
    /// Whether the answer's records are told, beside its code.
    pub(super) tells_answers: bool,
}

/// Writes what people read, without keeping it as text before.
pub(super) fn displayed<S: Serializer>(shown: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(shown)
}

/// What a line says first: when, who, what.
#[derive(Serialize)]
struct Asked<'a> {
    time: &'a str,
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    transport: &'a str,
    #[serde(serialize_with = "displayed")]
    name: &'a CanonicalName,
    #[serde(serialize_with = "displayed")]
    r#type: RecordType,
}

/// What a line says of the decision.
#[derive(Serialize)]
struct Decided<'a> {
    verdict: &'a str,
    action: &'a str,
    app: &'a str,
    instrument: &'a str,
    authority: &'a str,
    in_force_from: Option<Timestamp>,
    rule: &'a str,
    listed: &'a str,
    source: &'a str,
    exception: Option<&'a str>,
    trigger: &'a str,
    group: &'a str,
    generation: u64,
}

/// What a line says of the reply, if there was one.
#[derive(Serialize)]
struct Replied<'a> {
    #[serde(serialize_with = "displayed")]
    rcode: Rcode,
    answered_from: &'a str,
    flags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended_error: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<&'a [Answer]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    answers_cut: bool,
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

/// Appends a query's line, with its end.
pub(super) fn write(form: Form, event: Event<'_>, out: &mut Vec<u8>) {
    let written = match form {
        Form::Json => {
            json::write(event, out);
            Ok(())
        }
        Form::Ecs => serde_json::to_writer(&mut *out, &ecs::line(event)),
        Form::Ocsf => serde_json::to_writer(&mut *out, &ocsf::line(event)),
    };
    // Writing to memory does not fail, and no field refuses to be written.
    debug_assert!(written.is_ok());
    out.push(b'\n');
}

/// The fields of a line.
pub(super) fn fields(event: Event<'_>) -> Map<String, Value> {
    let parts = [
        serde_json::to_value(asked(event)),
        serde_json::from_slice(event.decided),
        serde_json::to_value(replied(event)),
    ];
    let objects = parts.into_iter().filter_map(|part| match part {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    });
    objects.flatten().collect()
}

fn asked(event: Event<'_>) -> Asked<'_> {
    let Event { record, time, shown, .. } = event;
    Asked {
        time,
        client: shown.client,
        identity: shown.identity,
        transport: record.transport,
        name: &record.name,
        r#type: record.record_type,
    }
}

/// What a line says of the decision, as an object: of a record, and of all others that were decided like it.
pub(super) fn decided(record: &Record, described: &Described) -> Vec<u8> {
    let Described { words, group, .. } = described;
    let decided = Decided {
        verdict: record.decision.as_str(),
        action: words.action,
        app: &words.app,
        instrument: &words.instrument,
        authority: &words.authority,
        in_force_from: words.in_force_from,
        rule: &words.rule,
        listed: &words.listed,
        source: &words.source,
        exception: words.exception.as_deref(),
        trigger: words.trigger,
        group,
        generation: record.generation,
    };
    // No field refuses to be written.
    serde_json::to_vec(&decided).unwrap_or_else(|_| b"{}".to_vec())
}

fn replied(event: Event<'_>) -> Option<Replied<'_>> {
    event.answered().map(|answered| Replied {
        rcode: answered.rcode,
        answered_from: answered.origin.as_str(),
        flags: answered.flags(),
        extended_error: answered.extended_error,
        answers: event.answers(),
        answers_cut: event.is_cut(),
    })
}

/// What carries the query: the words of the schemas know no more.
pub(super) fn transport(record: &Record) -> &'static str {
    match record.transport {
        "udp" | "doq" => "udp",
        _ => "tcp",
    }
}
