//! Owns the verbs that speak to a running resolver: diff, reload, status, rollback.

use std::path::PathBuf;

use serde_json::Value;

use super::{Exit, complain, print_json, source};
use crate::admin::{Client, LOCAL_TOKEN};
use crate::app;
use crate::problem::{Place, Problem, Severity};
use crate::sources::{CONFIG_FILE, read_file};

pub(super) fn diff(config: Option<PathBuf>, json: bool) -> Exit {
    ask(
        config,
        json,
        |client| client.read("/api/v1/diff"),
        |value| {
            let count = |key: &str| value[key].as_u64().unwrap_or(0);
            println!("rules: {} now, {} after a reload", count("rules_before"), count("rules_after"));
            for (sign, key) in [("+", "added"), ("-", "removed")] {
                for (list, change) in value[key].as_object().into_iter().flatten() {
                    let names: Vec<&str> =
                        change["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                    println!("{sign} {list}: {} rules: {}", change["count"], names.join(" "));
                }
            }
            for line in value["groups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                println!("{line}");
            }
            print_warnings(value);
        },
    )
}

pub(super) fn reload(config: Option<PathBuf>, accept_shrink: bool, json: bool) -> Exit {
    let path = if accept_shrink { "/api/v1/reload?accept_shrink=true" } else { "/api/v1/reload" };
    ask(config, json, |client| client.change(path), print_outcome)
}

pub(super) fn rollback(config: Option<PathBuf>, to: Option<u64>, json: bool) -> Exit {
    let path = to.map_or("/api/v1/rollback".to_owned(), |to| format!("/api/v1/rollback?to={to}"));
    ask(config, json, |client| client.change(&path), print_outcome)
}

pub(super) fn status(config: Option<PathBuf>, json: bool) -> Exit {
    ask(
        config,
        json,
        |client| client.read("/api/v1/status"),
        |value| {
            let text = |key: &str| value[key].as_str().unwrap_or("-").to_owned();
            println!(
                "generation       {} ({})",
                value["generation"],
                text("digest").get(..12).unwrap_or("-")
            );
            println!("in force since   {}", text("published_at"));
            println!(
                "rules            {} ({} names, {} KiB)",
                value["rules"],
                value["names"],
                value["memory_bytes"].as_u64().unwrap_or(0) / 1024
            );
            println!("next by date     {}", text("next_transition"));
            println!(
                "pinned           {}",
                if value["pinned"] == true { "yes, by a rollback" } else { "no" }
            );
            println!(
                "last reload      {} at {}",
                value["last_outcome"]["outcome"].as_str().unwrap_or("none yet"),
                text("last_outcome_at")
            );
            for source in value["sources"].as_array().into_iter().flatten() {
                source::print(source);
            }
            for line in value["degraded"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                println!("degraded         {line}");
            }
        },
    )
}

fn print_outcome(value: &Value) {
    match value["outcome"].as_str() {
        Some("published") => println!(
            "published generation {}: {} rules",
            value["generation"], value["difference"]["rules_after"]
        ),
        Some("unchanged") => println!("unchanged: generation {} stays in force", value["generation"]),
        _ => println!("rejected; the generation in force keeps deciding"),
    }
    print_warnings(value);
}

/// What a person should look at, on standard error.
fn print_warnings(value: &Value) {
    for problem in value["warnings"].as_array().into_iter().flatten() {
        eprintln!("{}", Problem { severity: Severity::Warning, ..problem_of(problem) });
    }
}

fn ask(
    config: Option<PathBuf>,
    json: bool,
    question: impl FnOnce(&Client) -> Result<(u16, Value), crate::admin::ClientError>,
    print: impl FnOnce(&Value),
) -> Exit {
    let boot = match app::boot(config.as_deref()) {
        Ok(boot) => boot,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    let local = app::state_directory(&boot).map(|state| state.join(LOCAL_TOKEN));
    let token = std::env::var("INTERDICT_TOKEN").ok().or_else(|| {
        let raw = read_file(&local?, CONFIG_FILE).ok()?;
        raw.text().ok().map(|text| text.trim().to_owned())
    });
    match question(&Client::new(boot.admin.listen, token)) {
        Ok((status, value)) => {
            if json {
                print_json(&value);
            } else if status == 200 {
                print(&value);
            } else {
                print_problems(&value);
            }
            if status == 200 { Exit::Done } else { Exit::Negative }
        }
        Err(error) => {
            complain(&[Problem::error(
                Place::file("interdict"),
                error.to_string(),
                "is `interdict serve` running with the same --config?",
            )]);
            Exit::Failed
        }
    }
}

/// The problems of an answer, as they would be shown here.
fn print_problems(value: &Value) {
    if value["outcome"] == "rejected" {
        eprintln!(
            "rejected at stage {}; the generation in force keeps deciding",
            value["stage"].as_str().unwrap_or("-")
        );
    }
    for problem in value["problems"].as_array().into_iter().flatten() {
        eprintln!("{}", problem_of(problem));
    }
}

fn problem_of(problem: &Value) -> Problem {
    let place = &problem["where"];
    let place = Place {
        file: place["file"].as_str().unwrap_or_default().to_owned(),
        line: place["line"].as_u64().unwrap_or(0) as u32,
        column: place["column"].as_u64().unwrap_or(0) as u32,
    };
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    Problem::error(place, text("what"), text("hint"))
}
