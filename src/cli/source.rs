//! Owns how `status` shows one source: where its rules come from, how fresh they are, who signed them, since when it
//! fails. Never asks for any of it.

use serde_json::Value;

/// Width of the titles before each line.
const INDENT: &str = "                 ";

pub(super) fn print(source: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let stale = if source["last_good"] == true { ", last good content" } else { "" };
    say!(
        "source           {}: {} rules from {}{stale}",
        text(&source["name"]),
        source["rules"],
        text(&source["file"])
    );
    let zone = &source["zone"];
    if zone.is_object() {
        let number = |value: &Value| value.as_u64().map_or("-".to_owned(), |number| number.to_string());
        say!("{INDENT}zone serial {}, TTL {}", number(&zone["serial"]), number(&zone["ttl"]));
    }
    let condition = &source["condition"];
    if !condition.is_object() {
        return;
    }
    let time = |value: &Value| value.as_str().map_or("never".to_owned(), whole_seconds);
    say!(
        "{INDENT}confirmed {}, changed {}, next fetch {}",
        time(&condition["confirmed_at"]),
        time(&condition["changed_at"]),
        condition["next_fetch"].as_str().map_or("on request".to_owned(), whole_seconds)
    );
    if let Some(at) = condition["expires_at"].as_str() {
        say!("{INDENT}expires {} unless confirmed before; it stays in force all the same", whole_seconds(at));
    }
    let signed = &condition["signed"];
    if signed.is_object() {
        say!("{INDENT}signed by {}: {}", text(&signed["key"]), text(&signed["comment"]));
    }
    let failing = &condition["failing"];
    if failing.is_object() {
        say!(
            "{INDENT}failing ({}, {} times): {}; {}",
            text(&failing["reason"]),
            failing["times"],
            text(&failing["what"]),
            text(&failing["standing"])
        );
        if let Some(hint) = failing["hint"].as_str().filter(|hint| !hint.is_empty()) {
            say!("{INDENT}hint: {hint}");
        }
    }
}

/// A time without its fraction.
fn whole_seconds(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or(time.to_owned(), |at| format!("{at:.0}"))
}
