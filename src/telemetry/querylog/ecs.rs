//! Owns a line in the Elastic Common Schema 8. Never chooses which queries have one.

use serde_json::{Value, json};

use super::line::{Described, Event, transport};

/// What a line says: `dns`, `event`, `rule`, `source`.
pub(super) fn line(event: Event<'_>) -> Value {
    let Event { record, time, described: Described { words, group, .. }, shown, .. } = event;
    let is_denied = record.decision.is_denial();
    let mut out = json!({
        "@timestamp": time,
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
        "dns": dns(event),
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
    if let Some(took) = record.took_us
        && let Some(event) = out.get_mut("event").and_then(Value::as_object_mut)
    {
        // In nanoseconds.
        event.insert("duration".to_owned(), json!(u64::from(took.get()) * 1000));
    }
    if let Some(answered) = event.answered()
        && let Some(labels) = out.get_mut("labels").and_then(Value::as_object_mut)
    {
        labels.insert("answered_from".to_owned(), json!(answered.origin.as_str()));
        if let Some(upstream) = event.upstream {
            labels.insert("upstream".to_owned(), json!(upstream));
        }
        if let Some(code) = answered.extended_error {
            labels.insert("extended_error".to_owned(), json!(code.to_string()));
        }
        if event.is_cut() {
            labels.insert("answers_cut".to_owned(), json!("true"));
        }
    }
    out
}

/// The question, and with a reply the whole exchange: then its type is `answer`.
fn dns(event: Event<'_>) -> Value {
    let record = event.record;
    let question =
        json!({"name": record.name.to_string(), "type": record.record_type.to_string(), "class": "IN"});
    let Some(answered) = event.answered() else { return json!({"type": "query", "question": question}) };
    let mut out = json!({
        "type": "answer",
        "question": question,
        "id": answered.id.to_string(),
        "op_code": "QUERY",
        "response_code": answered.rcode.to_string(),
        "header_flags": answered.flags(),
    });
    if let (Some(answers), Some(out)) = (event.answers(), out.as_object_mut()) {
        out.insert("answers".to_owned(), json!(answers));
        if !answered.addresses.is_empty() {
            out.insert("resolved_ip".to_owned(), json!(answered.addresses));
        }
    }
    out
}
