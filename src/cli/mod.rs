//! One verb a file, and those that ask for a change together in `remote`. Owns the command line: what an operator types, and
//! what goes to standard output (data) and standard error (everything else). Never decides anything.

/// Prints a line of data, formatted as by `println!`, which would panic where nobody reads on.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}

mod approve;
mod ask;
mod audit;
mod bundle;
mod check;
mod compile;
mod egress;
mod explain;
mod export;
mod history;
mod impact;
mod log;
mod out;
mod remote;
mod report;
mod serve;
mod source;
mod status;
mod top;
mod verbs;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::app;
use crate::clock::Clock;
use crate::policy::{Labels, Snapshot};
use crate::problem::{Place, Problem};
use crate::sources::write_whole;

pub use verbs::run;

/// How a verb ended; the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// 0: done.
    Done,
    /// 1: done, and the result is negative: blocked, or problems found.
    Negative,
    /// 3: could not run. (2 is clap's, for usage.)
    Failed,
}

/// A time as people read it, to the second.
fn seconds(time: &str) -> String {
    let whole = time.split(['.', 'Z']).next().unwrap_or(time);
    if whole.len() < time.len() { format!("{whole}Z") } else { time.to_owned() }
}

/// A text as a terminal may show it: nothing of it moves the cursor, or turns the line around.
fn plain(text: &str) -> String {
    // What says in which direction text runs (Unicode Standard Annex 9).
    let turns =
        |c: char| matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '?' } else { c }).collect()
}

/// Prints problems for people, on standard error.
fn complain(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}

/// The policy of the present inputs at a moment. What the running resolver keeps of lists from elsewhere serves here too; what it does not is
/// fetched.
fn compiled(config: Option<PathBuf>, clock: Clock, on: Timestamp) -> Result<Snapshot, Vec<Problem>> {
    let state = app::boot(config.as_deref()).ok().and_then(|boot| app::state_directory(&boot));
    app::pipeline(config, None, state.as_deref(), clock, Labels::default()).compile_on(on)
}

/// Writes a file that anybody may read, as a policy holds no secrets; whole or not at all.
fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    const MODE: u32 = 0o644;
    write_whole(path, bytes, MODE).map_err(|error| {
        let hint = "whatever was there before is untouched; free space, or check the directory";
        Problem::error(Place::file(path.display().to_string()), format!("cannot be written: {error}"), hint)
    })
}

/// Prints a value as JSON, on standard output.
fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say!("{text}"),
        Err(error) => eprintln!("interdict: {error}"),
    }
}
