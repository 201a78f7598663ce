//! Owns what a line says of a query, in each form. Never chooses which queries have one.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::config::Form;
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
}

/// Appends a record's line, with its end.
pub(super) fn write(form: Form, record: &Record, described: &Described, shown: Shown<'_>, out: &mut Vec<u8>) {
    let written = match form {
        Form::Json => serde_json::to_writer(&mut *out, &line(record, described, shown)),
        Form::Ecs => serde_json::to_writer(&mut *out, &ecs(record, described, shown)),
        Form::Ocsf => serde_json::to_writer(&mut *out, &ocsf(record, described, shown)),
    };
    // Writing to memory does not fail, and no field refuses to be written.
    debug_assert!(written.is_ok());
    out.push(b'\n');
}

fn time(record: &Record) -> String {
    Timestamp::from_millisecond(record.time_ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// What a line of this product's own form says.
pub(super) fn line<'a>(record: &'a Record, described: &'a Described, shown: Shown<'a>) -> Line<'a> {
    let Described { words, group, .. } = described;
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
    }
}

/// Elastic Common Schema 8: `dns`, `event`, `rule`, `source`.
fn ecs(record: &Record, described: &Described, shown: Shown<'_>) -> Value {
    let Described { words, group, .. } = described;
    let is_denied = record.decision.is_denial();
    let mut out = json!({
        "@timestamp": time(record),
        "ecs": {"version": "8.11.0"},
        "event": {
            "kind": "event",
            "category": ["network"],
            "type": if is_denied { json!(["protocol", "denied"]) } else { json!(["protocol", "allowed"]) },
            "action": record.decision.as_str(),
            "outcome": if is_denied { "failure" } else { "success" },
            "dataset": "interdict.query",
            "module": "interdict",
        },
        "network": {"protocol": "dns", "transport": transport(record)},
        "dns": {
            "type": "query",
            "question": {"name": record.name.to_string(), "type": record.record_type.to_string(), "class": "IN"},
        },
        "observer": {"product": "interdict", "type": "dns"},
        "labels": {"group": group, "generation": record.generation.to_string(), "transport": record.transport},
    });
    let mut put = |key: &str, value: Value| {
        if let Some(out) = out.as_object_mut() {
            out.insert(key.to_owned(), value);
        }
    };
    if let Some(client) = shown.client {
        put(
            "source",
            if shown.is_address {
                json!({"ip": client, "address": client})
            } else {
                json!({"address": client})
            },
        );
    }
    if let Some(identity) = shown.identity {
        put("user", json!({"name": identity}));
    }
    if record.cause.is_some() {
        let rule = json!({
            "name": words.listed, "id": words.rule, "category": words.app, "ruleset": words.source,
            "reference": words.instrument, "author": words.authority, "description": words.action,
        });
        put("rule", rule);
    }
    out
}

/// OCSF 1.3, class DNS Activity (4003), activity Query (1).
fn ocsf(record: &Record, described: &Described, shown: Shown<'_>) -> Value {
    let Described { words, group, .. } = described;
    let is_denied = record.decision.is_denial();
    let (disposition, disposition_name) = if is_denied { (2, "Blocked") } else { (1, "Allowed") };
    let (action, action_name) = if is_denied { (2, "Denied") } else { (1, "Allowed") };
    let severity = if is_denied { (2, "Low") } else { (1, "Informational") };
    let mut endpoint = serde_json::Map::new();
    if let Some(client) = shown.client {
        endpoint.insert(if shown.is_address { "ip" } else { "name" }.to_owned(), json!(client));
    }
    if let Some(identity) = shown.identity {
        endpoint.insert("hostname".to_owned(), json!(identity));
    }
    let mut out = json!({
        "class_uid": 4003,
        "class_name": "DNS Activity",
        "category_uid": 4,
        "category_name": "Network Activity",
        "activity_id": 1,
        "activity_name": "Query",
        "type_uid": 400_301,
        "type_name": "DNS Activity: Query",
        "time": record.time_ms,
        "severity_id": severity.0,
        "severity": severity.1,
        "action_id": action,
        "action": action_name,
        "disposition_id": disposition,
        "disposition": disposition_name,
        "metadata": {
            "version": "1.3.0",
            "product": {"name": "interdict", "vendor_name": "interdict", "version": env!("CARGO_PKG_VERSION")},
            "profiles": ["security_control"],
        },
        "query": {"hostname": record.name.to_string(), "type": record.record_type.to_string(), "class": "IN"},
        "src_endpoint": endpoint,
        "connection_info": {"protocol_name": transport(record), "direction_id": 1},
        "unmapped": {
            "decision": record.decision.as_str(), "group": group, "transport": record.transport,
            "generation": record.generation,
        },
    });
    if record.cause.is_some()
        && let Some(out) = out.as_object_mut()
    {
        let rule =
            json!({"name": words.listed, "uid": words.rule, "category": words.app, "desc": words.instrument});
        out.insert("firewall_rule".to_owned(), rule);
        let policy =
            json!({"name": words.instrument, "uid": words.app, "desc": words.authority, "is_applied": true});
        out.insert("policy".to_owned(), policy);
    }
    out
}

/// What carries the query: the words of the schemas know no more.
fn transport(record: &Record) -> &'static str {
    match record.transport {
        "udp" | "doq" => "udp",
        _ => "tcp",
    }
}
