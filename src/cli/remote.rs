//! Owns the verbs that change what a running resolver enforces, or ask it: diff, reload, rollback, pin, unpin, status.

use std::path::Path;

use serde_json::Value;

use super::ask::{ask, print_warnings, with};
use super::{Exit, seconds};

/// What a change is asked for with.
#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Why, for history and audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn diff(config: Option<&Path>, between: Option<(u64, u64)>, json: bool) -> Exit {
    let path = match between {
        None => "/api/v1/diff".to_owned(),
        Some((from, to)) => format!("/api/v1/diff?from={from}&to={to}"),
    };
    ask(
        config,
        json,
        |client| client.read(&path),
        |value| {
            let count = |key: &str| value[key].as_u64().unwrap_or(0);
            let (before, after) = (count("rules_before"), count("rules_after"));
            match between {
                None => say!("rules: {before} now, {after} after a reload"),
                Some((from, to)) => {
                    say!("rules: {before} in generation {from}, {after} in generation {to}")
                }
            }
            print_changes(value);
            print_warnings(value);
        },
    )
}

/// The lists and groups of a difference.
pub(super) fn print_changes(difference: &Value) {
    for (sign, key) in [("+", "added"), ("-", "removed")] {
        for (list, change) in difference[key].as_object().into_iter().flatten() {
            let names: Vec<&str> =
                change["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            say!("{sign} {list}: {} rules: {}", change["count"], names.join(" "));
        }
    }
    for line in difference["groups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say!("{line}");
    }
}

pub(super) fn reload(config: Option<&Path>, accept_shrink: bool, why: &Why, json: bool) -> Exit {
    let accept = accept_shrink.then_some("true");
    change(config, "/api/v1/reload", &[("accept_shrink", accept), ("reason", why.reason.as_deref())], json)
}

pub(super) fn rollback(config: Option<&Path>, to: Option<u64>, why: &Why, json: bool) -> Exit {
    let to = to.map(|to| to.to_string());
    change(config, "/api/v1/rollback", &[("to", to.as_deref()), ("reason", why.reason.as_deref())], json)
}

pub(super) fn pin(config: Option<&Path>, to: Option<u64>, why: &Why, json: bool) -> Exit {
    let to = to.map(|to| to.to_string());
    let path = with("/api/v1/pin", &[("to", to.as_deref()), ("reason", why.reason.as_deref())]);
    ask(
        config,
        json,
        |client| client.change(&path),
        |value| say!("pinned: generation {} until `interdict unpin`", value["generation"]),
    )
}

pub(super) fn unpin(config: Option<&Path>, why: &Why, json: bool) -> Exit {
    change(config, "/api/v1/unpin", &[("reason", why.reason.as_deref())], json)
}

fn change(config: Option<&Path>, path: &str, parameters: &[(&str, Option<&str>)], json: bool) -> Exit {
    let path = with(path, parameters);
    ask(config, json, |client| client.change(&path), print_outcome)
}

pub(super) fn print_outcome(value: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    match value["outcome"].as_str() {
        Some("published") => {
            say!("published generation {}: {} rules", value["generation"], value["difference"]["rules_after"])
        }
        Some("unchanged") => say!("unchanged: generation {} stays in force", value["generation"]),
        Some("held") => say!(
            "held back by the {} of {}: generation {} stays in force; it would change:",
            text(&value["hold"]["kind"]),
            text(&value["hold"]["who"]),
            value["generation"]
        ),
        Some("waiting") => say!(
            "waiting for approvals, {} of {} until {}; see: interdict approve",
            value["approved_by"].as_array().map_or(0, Vec::len),
            value["needed"],
            seconds(&text(&value["until"]))
        ),
        _ => say!("rejected; the generation in force keeps deciding"),
    }
    if matches!(value["outcome"].as_str(), Some("held" | "waiting")) {
        print_changes(&value["difference"]);
    }
    print_warnings(value);
}
