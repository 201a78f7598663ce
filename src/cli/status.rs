//! Owns the verb `status`: what a running resolver enforces, and everything an operator should look at.

use std::path::Path;

use serde_json::Value;

use super::ask::ask;
use super::{Exit, egress, seconds, source};

pub(super) fn run(config: Option<&Path>, json: bool) -> Exit {
    ask(config, json, |client| client.read("/api/v1/status"), print)
}

fn print(value: &Value) {
    let text = |key: &str| value[key].as_str().unwrap_or("-").to_owned();
    let short = |value: &Value| value.as_str().and_then(|text| text.get(..12)).unwrap_or("-").to_owned();
    say!("generation       {} ({})", value["generation"], short(&value["digest"]));
    say!("in force since   {}, by {}{}", seconds(&text("published_at")), text("who"), because(&value["why"]));
    say!(
        "rules            {} ({} names, {} KiB)",
        value["rules"],
        value["names"],
        value["memory_bytes"].as_u64().unwrap_or(0) / 1024
    );
    say!("next by date     {}", text("next_transition"));
    match &value["hold"] {
        Value::Null => say!("pinned           no"),
        hold => {
            let word = |key: &str| hold[key].as_str().unwrap_or("-").to_owned();
            let end = if hold["kind"] == "pin" { "interdict unpin" } else { "interdict reload" };
            say!(
                "pinned           by the {} of {} since {}{}; to end that: {end}",
                word("kind"),
                word("who"),
                seconds(&word("since")),
                because(&hold["why"])
            );
        }
    }
    if let held @ Value::Object(_) = &value["held_back"] {
        say!(
            "HELD BACK        since {}: {} rules would be added, {} removed",
            seconds(held["since"].as_str().unwrap_or("-")),
            held["added"],
            held["removed"]
        );
    }
    if let waiting @ Value::Object(_) = &value["waiting"] {
        say!(
            "WAITING          candidate {}: {} of {} approvals, until {}; see: interdict approve",
            short(&waiting["law"]),
            waiting["approved_by"].as_array().map_or(0, Vec::len),
            waiting["needed"],
            seconds(waiting["until"].as_str().unwrap_or("-"))
        );
    }
    say!(
        "last reload      {} at {}",
        value["last_outcome"]["outcome"].as_str().unwrap_or("none yet"),
        seconds(&text("last_outcome_at"))
    );
    let ready: Vec<String> = list(&value["ready"]).map(ToString::to_string).collect();
    say!("rollback at once {}", if ready.is_empty() { "-".to_owned() } else { ready.join(" ") });
    if let bundle @ Value::Object(_) = &value["bundle"] {
        say!("bundle           {} ({})", bundle["file"].as_str().unwrap_or("-"), short(&bundle["sha256"]));
        if let signed @ Value::Object(_) = &bundle["signed"] {
            let word = |key: &str| signed[key].as_str().unwrap_or("-").to_owned();
            say!("                 signed by {}: {}", word("key"), word("comment"));
        }
    }
    for source in list(&value["sources"]) {
        source::print(source);
    }
    for exception in list(&value["exceptions"]) {
        let word = |key: &str| exception[key].as_str().unwrap_or("-").to_owned();
        let title = match (exception["break_glass"] == true, exception["ends_soon"] == true) {
            (true, _) => "BREAK GLASS     ",
            (false, true) => "ENDS SOON       ",
            (false, false) => "exception       ",
        };
        let begins = if exception["in_force"] == true { "" } else { ", not yet in force" };
        say!(
            "{title} {} until {}{begins}, by {}{}",
            word("id"),
            word("until"),
            word("approved_by"),
            because(&exception["reason"])
        );
    }
    if let zone @ Value::Object(_) = &value["zone"] {
        print_zone(zone);
    }
    if let held @ Value::Object(_) = &value["egress"] {
        egress::print_status(held);
    }
    for upstream in list(&value["upstreams"]) {
        say!(
            "upstream         {}{}{}{}",
            upstream["upstream"].as_str().unwrap_or("-"),
            if upstream["healthy"] == true { "" } else { ", DOES NOT ANSWER" },
            if upstream["encrypted"] == true { ", inside of TLS" } else { ", in clear" },
            upstream["late_after_ms"]
                .as_u64()
                .map_or(String::new(), |after| format!(", late after {after} ms"))
        );
    }
    for anchor in list(&value["trust_anchors"]) {
        let word = |key: &str| anchor[key].as_str().unwrap_or("-").to_owned();
        let seen = anchor["seen"]
            .as_str()
            .map_or("not yet seen".to_owned(), |at| format!("last seen {}", seconds(at)));
        let pending = anchor["pending_seconds"].as_u64().map_or(String::new(), |left| {
            format!(", to be trusted after {} more days", left.div_ceil(86_400))
        });
        say!(
            "root key         {} {} since {}, {seen}{pending}",
            anchor["tag"],
            word("state"),
            seconds(&word("since"))
        );
    }
    for listener in list(&value["announced"]) {
        let word = |key: &str| listener[key].as_str().unwrap_or("-").to_owned();
        say!(
            "to be announced  {} {} {}; DHCPv4 option 162: {}; DHCPv6 option 144: {}",
            listener["priority"],
            word("name"),
            word("parameters"),
            word("dhcpv4_option_162"),
            word("dhcpv6_option_144")
        );
    }
    if let day @ Value::Object(_) = &value["last_day"] {
        say!(
            "last day         about {} questions since {}, by {} pairs of name and group",
            day["questions"],
            day["since"].as_str().map_or("-".to_owned(), seconds),
            day["names"]
        );
    }
    if let Some(trouble) = value["report"]["trouble"].as_str() {
        say!("REPORTS          {trouble}");
    }
    say!("audit log        {} entries, head {}", value["audit"]["sequence"], hash(&value["audit"]));
    for line in list(&value["degraded"]).filter_map(Value::as_str) {
        say!("degraded         {line}");
    }
}

/// The policy as a zone, and which of its secondaries do not know its serial.
fn print_zone(zone: &Value) {
    say!(
        "zone             {} for group {}, serial {}, {} records; differences to {} earlier versions",
        zone["name"].as_str().unwrap_or("-"),
        zone["group"].as_str().unwrap_or("-"),
        zone["serial"],
        zone["records"],
        zone["history"]
    );
    if zone["left_out"].as_u64().unwrap_or(0) > 0 {
        say!("LEFT OUT         {} listed names have no place in the zone", zone["left_out"]);
    }
    for secondary in list(&zone["secondaries"]).filter(|one| one["serial"] != zone["serial"]) {
        say!(
            "NOT TOLD         secondary {}: NOTIFY {}, last answered for serial {}",
            secondary["address"].as_str().unwrap_or("-"),
            secondary["last"].as_str().unwrap_or("-"),
            secondary["serial"]
        );
    }
}

fn hash(head: &Value) -> String {
    head["hash"].as_str().unwrap_or("-").to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// `: reason`, or nothing.
fn because(why: &Value) -> String {
    why.as_str().filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default()
}
