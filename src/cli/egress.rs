//! Owns how egress is shown on the command line: a line in the status, and what becomes of one address in the kernel of a running resolver. Never
//! decides it.

use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use super::Exit;
use super::ask::{answer, print_problems};
use super::{complain, print_json, seconds};

/// Says what becomes of connections to an address. Negative when any group is kept from it.
pub(super) fn explain(config: Option<&Path>, address: IpAddr, client: IpAddr, json: bool) -> Exit {
    let path = format!("/api/v1/egress?address={address}&client={client}");
    let value = match answer(config, |client| client.read(&path)) {
        Ok((200, value)) => value,
        Ok((_, value)) => {
            print_problems(&value);
            return Exit::Failed;
        }
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    if json {
        print_json(&value);
    } else {
        print(&value);
    }
    let of_client = &value["client"];
    let unresolved = of_client["egress"] == "resolved-only"
        && of_client["permitted"] == false
        && of_client["reach"].is_null();
    let blocked = unresolved || list(&value["groups"]).any(|group| group["verdict"] == "blocked");
    if blocked { Exit::Negative } else { Exit::Done }
}

fn print(value: &Value) {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    say!("connections to {} (generation {} in the kernel)", word(&value["address"]), value["generation"]);
    for belonging in list(&value["belongs_to"]) {
        let names: Vec<&str> = list(&belonging["names"]).filter_map(Value::as_str).collect();
        let why = match (belonging["network"].as_str(), names.is_empty()) {
            (Some(network), _) => network.to_owned(),
            (None, true) => "held before the last start".to_owned(),
            (None, false) => names.join(", "),
        };
        let spared =
            belonging["spared"].as_str().map(|reason| format!("; spared: {reason}")).unwrap_or_default();
        say!("  belongs to  {} ({}: {why}){spared}", word(&belonging["title"]), word(&belonging["origin"]));
    }
    if list(&value["belongs_to"]).next().is_none() {
        say!("  belongs to  nothing that is banned");
    }
    for group in list(&value["groups"]) {
        let mut why = String::new();
        for key in ["part", "reason", "name"] {
            if let Some(text) = group[key].as_str() {
                why.push_str(if why.is_empty() { " (" } else { ", " });
                why.push_str(text);
            }
        }
        why.push_str(if why.is_empty() { "" } else { ")" });
        say!("  group       {}: {}{why}", word(&group["group"]), word(&group["verdict"]));
    }
    print_client(&value["client"]);
}

/// The line about one client that is held to what it resolved.
fn print_client(of: &Value) {
    let Some(client) = of["client"].as_str() else { return };
    let reach: Vec<&str> = list(&of["reach"]).filter_map(Value::as_str).collect();
    let what = match (of["permitted"].as_bool(), of["seconds"].as_u64(), of["egress"].as_str()) {
        (Some(true), Some(seconds), _) => format!("permitted for {seconds} s, as it was answered so"),
        _ if !reach.is_empty() => format!("may always reach {}", reach.join(", ")),
        (.., Some("shadow")) => "not resolved; let pass (shadow)".to_owned(),
        _ => "not resolved: no connection may begin".to_owned(),
    };
    say!("  client      {client} ({}): {what}", of["group"].as_str().unwrap_or("-"));
}

/// The lines of the status.
pub(super) fn print_status(egress: &Value) {
    let sum = |key: &str| -> u64 {
        let apps = egress["apps"].as_object().into_iter().flatten();
        apps.filter_map(|(_, amount)| amount[key].as_u64()).sum()
    };
    say!(
        "egress           generation {} in the kernel since {}: {} networks, {} learned addresses, {} spared",
        egress["generation"],
        egress["applied_at"].as_str().map_or("-".to_owned(), seconds),
        sum("networks"),
        sum("learned"),
        egress["spared"]
    );
    let resolved = &egress["resolved"];
    if resolved.is_object() {
        say!(
            "                 {} of {} permissions for what clients resolved, {} replies wait{}",
            resolved["pairs"],
            resolved["most"],
            resolved["waiting"],
            if resolved["open"] == true { "; no room: every way is open" } else { "" }
        );
    }
    for (group, packets) in egress["groups"].as_object().into_iter().flatten() {
        say!(
            "                 {group}: {} packets held, {} rehearsed",
            packets["held"],
            packets["rehearsed"]
        );
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
