//! Owns the verb `audit`: the log of every change and every refused one, and the check that nobody touched it. Reads the
//! file; needs no running resolver.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use comfy_table::{Table, presets};

use super::ask::state;
use super::{Exit, complain, print_json, seconds};
use crate::problem::{Place, Problem};
use crate::reload::{AUDIT_FILE, Anchor, Entry, Verified, kept_anchors, newest_entries, verify_audit};

/// Options of `audit`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many of the newest entries to show
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    last: usize,
    #[command(subcommand)]
    check: Option<Check>,
}

#[derive(Debug, clap::Subcommand)]
enum Check {
    /// Find any edit, removal or reordering
    Verify {
        /// The log [default: audit.jsonl in the state directory]
        file: Option<PathBuf>,
        /// A hash that status or a metric showed once, or how it begins: the log must hold it. Finds a cut-off end
        #[arg(long, value_name = "HASH")]
        head: Vec<String>,
    },
}

pub(super) fn run(config: Option<&Path>, options: &Arguments, json: bool) -> Exit {
    let directory = match state(config) {
        Ok(directory) => directory,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    match &options.check {
        None => show(&directory.join(AUDIT_FILE), options.last, json),
        Some(Check::Verify { file, head }) => {
            let mut anchors: Vec<Anchor> = head
                .iter()
                .map(|hash| Anchor { hash: hash.to_ascii_lowercase(), origin: "--head".to_owned() })
                .collect();
            if file.is_none() {
                anchors.extend(kept_anchors(&directory));
            }
            check(file.as_ref().unwrap_or(&directory.join(AUDIT_FILE)), &anchors, json)
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Exit {
    complain(&[Problem::error(
        Place::file(path.display().to_string()),
        format!("cannot be read: {error}"),
        "is --config the one that `interdict serve` runs with?",
    )]);
    Exit::Failed
}

fn show(path: &Path, last: usize, json: bool) -> Exit {
    let entries = match newest_entries(path, last) {
        Ok(entries) => entries,
        Err(error) => return unreadable(path, &error),
    };
    if json {
        print_json(&entries);
        return Exit::Done;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "entry",
        "time",
        "who",
        "what",
        "outcome",
        "generation",
        "why",
    ]);
    for Entry { sequence, event, .. } in &entries {
        let count = if event.count > 1 { format!(" ({} times)", event.count) } else { String::new() };
        let why: Vec<&str> = std::iter::once(event.why.as_str())
            .chain(event.detail.iter().flat_map(|detail| detail.lines()))
            .filter(|line| !line.is_empty())
            .collect();
        table.add_row([
            sequence.to_string(),
            seconds(&event.time.to_string()),
            event.who.clone(),
            event.what.clone(),
            event.outcome.clone() + &count,
            event.generation.map_or("-".to_owned(), |number| number.to_string()),
            why.join("\n"),
        ]);
    }
    say!("{}", table.trim_fmt());
    Exit::Done
}

fn check(path: &Path, anchors: &[Anchor], json: bool) -> Exit {
    let found = File::open(path).and_then(|file| verify_audit(BufReader::new(file), anchors));
    let found = match found {
        Ok(found) => found,
        Err(error) => return unreadable(path, &error),
    };
    if json {
        print_json(&found);
    } else {
        print(path, &found);
    }
    if found.faults.is_empty() { Exit::Done } else { Exit::Negative }
}

fn print(path: &Path, found: &Verified) {
    let file = path.display().to_string();
    for fault in &found.faults {
        eprintln!("{}", Problem::error(Place::line(&file, fault.line as u32), &fault.what, ""));
    }
    if found.torn.is_some() {
        let what = "the last line was cut off by a crash, or is being written";
        let hint = "interdict seals it with its next entry";
        eprintln!("{}", Problem::warning(Place::file(&file), what, hint));
    }
    let day = |time: Option<jiff::Timestamp>| time.map_or("-".to_owned(), |time| seconds(&time.to_string()));
    let sealed =
        if found.sealed > 0 { format!(", {} cut-off lines sealed", found.sealed) } else { String::new() };
    say!(
        "{file}: {} entries from {} to {}{sealed}: {}",
        found.entries,
        day(found.first),
        day(found.last),
        if found.faults.is_empty() { "whole".to_owned() } else { format!("{} faults", found.faults.len()) }
    );
    say!("head {} {}", found.head.sequence, found.head.hash);
}
