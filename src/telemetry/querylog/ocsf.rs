//! Owns a line in the class DNS Activity (4003) of the Open Cybersecurity Schema Framework, version 1.3. Never chooses which queries have one.

use serde_json::{Value, json};

use super::answered::Answered;
use super::line::{Described, Event, transport};
use crate::dns::{Flags, Rcode};

/// What a line says: activity Traffic (6), which is a query and its answer, or Query (1) where there is none.
pub(super) fn line(event: Event<'_>) -> Value {
    let Event { record, described: Described { words, group, .. }, shown, .. } = event;
    let answered = event.answered();
    let (activity, activity_name) = if answered.is_some() { (6, "Traffic") } else { (1, "Query") };
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
    // The object must say something; that much is true.
    if endpoint.is_empty() {
        endpoint.insert("name".to_owned(), json!("withheld"));
    }
    let mut out = json!({
        "class_uid": 4003,
        "class_name": "DNS Activity",
        "category_uid": 4,
        "category_name": "Network Activity",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": 400_300 + activity,
        "type_name": format!("DNS Activity: {activity_name}"),
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
    if let Some(answered) = answered {
        add_answer(event, answered, &mut out);
    }
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

/// The answer, its code, and what the schema has no place for.
fn add_answer(event: Event<'_>, answered: &Answered, out: &mut Value) {
    let (rcode, rcode_name) = rcode(answered.rcode);
    let at = |out: &mut Value, object: &str, key: &str, value: Value| {
        if let Some(object) = out.get_mut(object).and_then(Value::as_object_mut) {
            object.insert(key.to_owned(), value);
        }
    };
    at(out, "query", "packet_uid", json!(answered.id));
    at(out, "query", "opcode_id", json!(0));
    at(out, "query", "opcode", json!("Query"));
    at(out, "unmapped", "answered_from", json!(answered.origin.as_str()));
    if let Some(upstream) = event.upstream {
        at(out, "unmapped", "upstream", json!(upstream));
    }
    at(out, "unmapped", "flags", json!(answered.flags()));
    if let Some(code) = answered.extended_error {
        at(out, "unmapped", "extended_error", json!(code));
    }
    if event.is_cut() {
        at(out, "unmapped", "answers_cut", json!(true));
    }
    let Some(out) = out.as_object_mut() else { return };
    out.insert("rcode_id".to_owned(), json!(rcode));
    out.insert("rcode".to_owned(), json!(rcode_name));
    out.insert("query_time".to_owned(), json!(event.record.asked_ms()));
    out.insert("response_time".to_owned(), json!(event.record.time_ms));
    if let Some(answers) = event.answers() {
        let flags = flag_ids(answered);
        let answers = answers.iter().map(|one| {
            json!({"type": one.r#type.to_string(), "class": one.class.to_string(), "rdata": one.data, "ttl": one.ttl, "flag_ids": flags})
        });
        out.insert("answers".to_owned(), answers.collect());
    }
}

/// The schema's number and caption of a response code; those of RFC 6895 that it does not know are unassigned, or none of its.
fn rcode(rcode: Rcode) -> (u16, String) {
    const CAPTIONS: [&str; 11] = [
        "NoError",
        "FormError",
        "ServError",
        "NXDomain",
        "NotImp",
        "Refused",
        "YXDomain",
        "YXRRSet",
        "NXRRSet",
        "NotAuth",
        "NotZone",
    ];
    match CAPTIONS.get(usize::from(rcode.0)) {
        Some(caption) => (rcode.0, (*caption).to_owned()),
        None if rcode == Rcode::BADVERS => (16, "BADSIG_VERS".to_owned()),
        None => (99, rcode.to_string()),
    }
}

/// The schema's numbers of the header's flags.
fn flag_ids(answered: &Answered) -> Vec<u8> {
    let masks = [Flags::AA, Flags::TC, Flags::RD, Flags::RA, Flags::AD, Flags::CD];
    (1..).zip(masks).filter(|(_, mask)| answered.flags.has(*mask)).map(|(number, _)| number).collect()
}
