//! Owns what is known of a query when it is told, in this product's own form, and in whichever a sink wants. Never chooses which queries have a line.

use jiff::Timestamp;
use serde::Serialize;

use super::answered::{Answer, Answered};
use super::config::Form;
use super::{ecs, ocsf};
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
    pub(super) described: &'a Described,
    pub(super) shown: Shown<'a>,
    /// What was answered; `None` when nothing was, and of connections.
    pub(super) answered: Option<&'a Answered>,
    /// Whether the answer's records are told, beside its code.
    pub(super) tells_answers: bool,
}

/// One line.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    time: String,
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    transport: &'a str,
    name: String,
    r#type: String,
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
    #[serde(flatten)]
    answer: Option<AnswerLine<'a>>,
}

/// What a line says of the reply.
#[derive(Serialize)]
struct AnswerLine<'a> {
    rcode: String,
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
    /// The answer's records, if there was a reply and they are to be told.
    pub(super) fn answers(&self) -> Option<&'a [Answer]> {
        self.answered.filter(|_| self.tells_answers).map(|answered| &*answered.answers)
    }

    /// True when the answer has more records than are told of those that are to be.
    pub(super) fn is_cut(&self) -> bool {
        self.tells_answers && self.answered.is_some_and(|answered| answered.is_cut)
    }
}

/// Appends a query's line, with its end.
pub(super) fn write(form: Form, event: Event<'_>, out: &mut Vec<u8>) {
    let written = match form {
        Form::Json => serde_json::to_writer(&mut *out, &line(event)),
        Form::Ecs => serde_json::to_writer(&mut *out, &ecs::line(event)),
        Form::Ocsf => serde_json::to_writer(&mut *out, &ocsf::line(event)),
    };
    // Writing to memory does not fail, and no field refuses to be written.
    debug_assert!(written.is_ok());
    out.push(b'\n');
}

/// When, in UTC and to the millisecond.
pub(super) fn time(record: &Record) -> String {
    Timestamp::from_millisecond(record.time_ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// What a line of this product's own form says.
pub(super) fn line(event: Event<'_>) -> Line<'_> {
    let Event { record, described: Described { words, group, .. }, shown, .. } = event;
    Line {
        time: time(record),
        client: shown.client,
        identity: shown.identity,
        transport: record.transport,
        name: record.name.to_string(),
        r#type: record.record_type.to_string(),
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
        answer: event.answered.map(|answered| AnswerLine {
            rcode: answered.rcode.to_string(),
            answered_from: answered.origin.as_str(),
            flags: answered.flags(),
            extended_error: answered.extended_error,
            answers: event.answers(),
            answers_cut: event.is_cut(),
        }),
    }
}

/// What carries the query: the words of the schemas know no more.
pub(super) fn transport(record: &Record) -> &'static str {
    match record.transport {
        "udp" | "doq" => "udp",
        _ => "tcp",
    }
}
