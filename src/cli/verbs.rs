//! Owns the list of verbs and their options, as help shows them, and which file each goes to. Never does what a verb does.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::remote::Why;
use super::{
    Exit, approve, audit, bundle, check, compile, explain, export, history, impact, log, out, remote, report,
    serve, status, top,
};

/// A protective DNS resolver and egress filter that enforces app bans on government networks.
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
    /// Write rules, catalog and lists as one file that many hosts load
    Compile(compile::Arguments),
    /// Show what such a file holds, or check all of it
    Bundle(bundle::Arguments),
    /// Say what a name gets and why
    Explain(explain::Arguments),
    /// Print the policy as a list that another program loads
    Export(export::Arguments),
    /// Show what a reload would change, or what tells two generations apart
    Diff {
        /// A generation's number
        #[arg(value_name = "GENERATION", requires = "to")]
        from: Option<u64>,
        /// Another's
        #[arg(value_name = "GENERATION")]
        to: Option<u64>,
        /// Say whom and what the change would newly block or unblock, by what was asked in the last day, or by a query log
        #[arg(long, value_name = "FILE", num_args = 0..=1)]
        impact: Option<Option<PathBuf>>,
    },
    /// Make the running resolver read everything again
    Reload {
        /// Let lists lose or gain more rules than the guard allows, and block names that are asked most
        #[arg(long, visible_aliases = ["accept-growth", "accept-most-asked"])]
        accept_shrink: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Show what the running resolver enforces
    Status,
    /// Report who was blocked and by which act, on which devices an app very likely is, or what shadow mode would have blocked
    Report(report::Arguments),
    /// Show what happens now: rates, blocked queries by app, cache, upstreams, the newest blocked queries
    Top(top::Arguments),
    /// Look for queries in the kept query log
    Log(log::Arguments),
    /// Show what came into force when, by whom and why
    History {
        /// How many of the newest to show
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        last: usize,
    },
    /// Put an earlier generation in force, until the next reload
    Rollback {
        /// Its number [default: the newest before the present that was made of other inputs]
        #[arg(value_name = "GENERATION")]
        to: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// Hold a generation in force; reloads are recorded and not published, dates of law go on
    Pin {
        /// Its number [default: the one in force]
        #[arg(value_name = "GENERATION")]
        to: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// Take the pin out, and reload
    Unpin(Why),
    /// Show what waits for approval, or approve it
    Approve(approve::Arguments),
    /// Show the log of every change and every refused one, or verify it
    Audit(audit::Arguments),
}

/// Runs the command line.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let config = arguments.config.or_else(|| {
        let usual = PathBuf::from("/etc/interdict/interdict.toml");
        usual.exists().then_some(usual)
    });
    let (json, path) = (arguments.json, config.clone());
    let at = path.as_deref();
    let exit = match arguments.verb {
        Verb::Serve(options) => serve::run(config, &options),
        Verb::Check => check::run(config, json),
        Verb::Compile(options) => compile::run(config, &options, json),
        Verb::Bundle(options) => bundle::run(&options, json),
        Verb::Explain(options) => explain::run(config, &options, json),
        Verb::Export(options) => export::run(config, &options),
        Verb::Diff { from, to, impact: Some(Some(log)) } => impact::run(config, from.zip(to), &log, json),
        Verb::Diff { from, to, impact: Some(None) } => impact::recall(at, from.zip(to), json),
        Verb::Diff { from, to, impact: None } => remote::diff(at, from.zip(to), json),
        Verb::Reload { accept_shrink, why } => remote::reload(at, accept_shrink, &why, json),
        Verb::Status => status::run(at, json),
        Verb::Top(options) => top::run(at, &options, json),
        Verb::Report(options) => report::run(at, &options, json),
        Verb::Log(options) => log::run(at, &options, json),
        Verb::History { last } => history::run(at, last, json),
        Verb::Rollback { to, why } => remote::rollback(at, to, &why, json),
        Verb::Pin { to, why } => remote::pin(at, to, &why, json),
        Verb::Unpin(why) => remote::unpin(at, &why, json),
        Verb::Approve(options) => approve::run(at, &options, json),
        Verb::Audit(options) => audit::run(at, &options, json),
    };
    let exit = if out::finish() { exit } else { Exit::Failed };
    ExitCode::from(match exit {
        Exit::Done => 0,
        Exit::Negative => 1,
        Exit::Failed => 3,
    })
}
