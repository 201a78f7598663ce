//! One verb a file, and those that ask for a change together in `remote`. Owns the command line: what an operator types, and
//! what goes to standard output (data) and standard error (everything else). Never decides anything.
#![expect(clippy::print_stdout, reason = "the command line is where data is printed")]

mod approve;
mod ask;
mod audit;
mod bundle;
mod check;
mod compile;
mod explain;
mod export;
mod history;
mod impact;
mod remote;
mod report;
mod serve;
mod source;
mod status;
mod verbs;

use crate::problem::Problem;

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

/// Prints problems for people, on standard error.
fn complain(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}

/// Prints a value as JSON, on standard output.
fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("interdict: {error}"),
    }
}
