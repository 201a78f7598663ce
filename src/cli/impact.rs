//! Owns `diff --impact`: what was asked, replayed against a change before it counts. With a query log it reads that and the
//! state directory, and needs no running resolver; without one it asks the resolver what was asked in the last day.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ask::{ask, state};
use super::{Exit, complain, print_json, seconds};
use crate::app;
use crate::clock::Clock;
use crate::policy::{Labels, Turned};
use crate::problem::{Place, Problem};
use crate::reload::{Replayed, replay};

pub(super) fn run(config: Option<PathBuf>, between: Option<(u64, u64)>, log: &Path, json: bool) -> Exit {
    match replayed(config, between, log) {
        Ok(found) => {
            if json {
                print_json(&found);
            } else {
                print(log, &found);
            }
            Exit::Done
        }
        Err(problems) => {
            complain(&problems);
            Exit::Failed
        }
    }
}

/// The same by what the running resolver was asked in the last day.
pub(super) fn recall(config: Option<&Path>, between: Option<(u64, u64)>, json: bool) -> Exit {
    let path = match between {
        None => "/api/v1/impact".to_owned(),
        Some((from, to)) => format!("/api/v1/impact?from={from}&to={to}"),
    };
    ask(config, json, |client| client.read(&path), print_recalled)
}

fn print_recalled(found: &Value) {
    let count = |key: &str| found[key].as_u64().unwrap_or(0);
    let (asked, beyond) = (count("asked"), count("beyond"));
    say!(
        "about {asked} questions from {} to {}",
        found["since"].as_str().map_or("-".to_owned(), seconds),
        seconds(found["until"].as_str().unwrap_or("-"))
    );
    let share = beyond as f64 * 100.0 / asked.max(1) as f64;
    say!(
        "  judged by the {} names asked most; {share:.1} % of the questions are of others, and not judged",
        count("names")
    );
    if count("lost") > 0 {
        say!("  {} samples were lost: there were more questions than these", count("lost"));
    }
    match found["clients_kept"].as_str() {
        Some("none") => say!("  no clients are kept: their groups stand for them"),
        Some("prefix") => {
            say!("  clients are kept as networks: the first address of each stands for all")
        }
        _ => {}
    }
    for (title, key) in [("newly blocked", "newly_blocked"), ("unblocked", "unblocked")] {
        if let Ok(side) = serde_json::from_value(found[key].clone()) {
            turned(title, &side);
        }
    }
}

fn replayed(
    config: Option<PathBuf>,
    between: Option<(u64, u64)>,
    log: &Path,
) -> Result<Replayed, Vec<Problem>> {
    let state = state(config.as_deref())?;
    let clock = Clock::system();
    let now = clock.wall();
    let pipeline = app::pipeline(config, None, Some(&state), clock, Labels::default());
    let found = match between {
        Some((from, to)) => {
            let (before, after) = (pipeline.generation(from)?, pipeline.generation(to)?);
            replay(log, &before, &after)
        }
        None => {
            let (before, after) = (pipeline.last_good()?, pipeline.compile_on(now)?);
            replay(log, &before, &after)
        }
    };
    found.map_err(|error| {
        let place = Place::file(log.display().to_string());
        let hint = "name a file that [querylog] to wrote with which = \"all\"";
        vec![Problem::error(place, format!("cannot be read: {error}"), hint)]
    })
}

fn print(log: &Path, found: &Replayed) {
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
    say!(
        "{} queries of {} from {} to {}",
        found.impact.queries,
        log.display(),
        time(&found.first),
        time(&found.last)
    );
    let notes = [
        (found.refused, "lines are not of a query log"),
        (found.from_networks, "queries are of a network: its first address stands for all"),
        (found.from_nobody, "queries do not say whose they are: their group stands for them"),
    ];
    for (count, note) in notes.into_iter().filter(|(count, _)| *count > 0) {
        say!("  {count} {note}");
    }
    turned("newly blocked", &found.impact.newly_blocked);
    turned("unblocked", &found.impact.unblocked);
}

fn turned(title: &str, turned: &Turned) {
    say!("{title}: {} queries, {} names, {} clients", turned.queries, turned.names, turned.clients);
    for part in &turned.by {
        say!(
            "  app {}, instrument {}, list {}, group {}: {} queries, {} names, {} clients",
            part.app,
            part.instrument,
            part.source,
            part.group,
            part.queries,
            part.names,
            part.clients
        );
        say!("    names    {}", part.name_examples.join(" "));
        if !part.client_examples.is_empty() {
            say!("    clients  {}", part.client_examples.join(" "));
        }
    }
}
