//! Owns the verb `report`: what shadow mode would have blocked, as the running resolver counted it or as a query log tells it.

use std::path::{Path, PathBuf};

use comfy_table::{Table, presets};
use jiff::Timestamp;

use super::ask::ask;
use super::{Exit, complain, print_json, seconds};
use crate::problem::{Place, Problem};
use crate::reload::rehearsed;
use crate::telemetry::Rehearsed;

/// Options of `report`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What would have been blocked by what is in shadow mode
    #[arg(long, required = true)]
    shadow: bool,
    /// Read a query log instead of asking the running resolver
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

pub(super) fn run(config: Option<&Path>, options: &Arguments, json: bool) -> Exit {
    debug_assert!(options.shadow, "the only report there is");
    let Some(log) = &options.log else {
        return ask(
            config,
            json,
            |client| client.read("/api/v1/report/shadow"),
            |value| match serde_json::from_value(value.clone()) {
                Ok(found) => print(&found),
                Err(error) => eprintln!("interdict: {error}"),
            },
        );
    };
    match rehearsed(log) {
        Ok(found) if json => print_json(&found),
        Ok(found) => {
            print(&found.rehearsed);
            if found.refused > 0 {
                println!("{} lines are not of a query log", found.refused);
            }
        }
        Err(error) => {
            let place = Place::file(log.display().to_string());
            let hint = "name a file that [querylog] to wrote";
            complain(&[Problem::error(place, format!("cannot be read: {error}"), hint)]);
            return Exit::Failed;
        }
    }
    Exit::Done
}

fn print(found: &Rehearsed) {
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| seconds(&time.to_string()));
    println!(
        "{} queries would have been blocked from {} to {}",
        found.queries,
        time(found.since),
        time(found.until)
    );
    if found.by.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "app",
        "instrument",
        "source",
        "group",
        "queries",
        "first",
        "last",
        "names",
    ]);
    for part in &found.by {
        table.add_row([
            part.app.clone(),
            part.instrument.clone(),
            part.source.clone(),
            part.group.clone(),
            part.queries.to_string(),
            time(part.first),
            time(part.last),
            part.names.join(" "),
        ]);
    }
    println!("{}", table.trim_fmt());
}
