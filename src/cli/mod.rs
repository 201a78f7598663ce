//! One verb a file: serve, check, explain, diff, reload, status, rollback. Owns the command line: what an operator types,
//! and what goes to standard output (data) and standard error (everything else). Never decides anything.
#![expect(clippy::print_stdout, reason = "the command line is where data is printed")]

mod check;
mod explain;
mod remote;
mod serve;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::problem::Problem;

/// A protective DNS resolver that enforces app bans on government networks.
#[derive(Debug, Parser)]
#[command(name = "interdict", version, about, propagate_version = true)]
struct Arguments {
    /// Configuration file [default: /etc/interdict/interdict.toml if it exists, else built-in defaults]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the resolver
    Serve(serve::Arguments),
    /// Read everything as a reload would, and print every problem
    Check,
    /// Say what a name gets and why
    Explain(explain::Arguments),
    /// Show what a reload would change
    Diff,
    /// Make the running resolver read everything again
    Reload {
        /// Let lists lose or gain more rules than the guard allows
        #[arg(long, visible_alias = "accept-growth")]
        accept_shrink: bool,
    },
    /// Show what the running resolver enforces
    Status,
    /// Put an earlier generation in force
    Rollback {
        /// Its number [default: the one before the present]
        #[arg(long, value_name = "GENERATION")]
        to: Option<u64>,
    },
}

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

/// Runs the command line.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let config = arguments.config.or_else(|| {
        let usual = PathBuf::from("/etc/interdict/interdict.toml");
        usual.exists().then_some(usual)
    });
    let exit = match arguments.verb {
        Verb::Serve(options) => serve::run(config, &options),
        Verb::Check => check::run(config, arguments.json),
        Verb::Explain(options) => explain::run(config, &options, arguments.json),
        Verb::Diff => remote::diff(config, arguments.json),
        Verb::Reload { accept_shrink } => remote::reload(config, accept_shrink, arguments.json),
        Verb::Status => remote::status(config, arguments.json),
        Verb::Rollback { to } => remote::rollback(config, to, arguments.json),
    };
    ExitCode::from(match exit {
        Exit::Done => 0,
        Exit::Negative => 1,
        Exit::Failed => 3,
    })
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
