//! Owns the verb `export`: the policy as a list that another program loads, by the present inputs. Needs no running resolver.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Exit, compiled, complain, out, write_public};
use crate::clock::Clock;
use crate::feeds::{Format, Part, Selection};

/// Options of `export`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// addresses, dnsmasq, domains, hosts, nftables, pac, rpz, squid, suricata or unbound
    #[arg(value_parser = format)]
    format: Format,
    /// The group whose policy it is [default: default]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only what is attributed to this app
    #[arg(long, value_name = "ID", conflicts_with = "instrument")]
    app: Option<String>,
    /// Only what this instrument makes count
    #[arg(long, value_name = "ID")]
    instrument: Option<String>,
    /// Where to write it, as a whole or not at all [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn format(text: &str) -> Result<Format, String> {
    Format::from_str(text).map_err(|problem| format!("{}; {}", problem.what, problem.hint))
}

pub(super) fn run(config: Option<PathBuf>, options: &Arguments) -> Exit {
    let clock = Clock::system();
    let now = clock.wall();
    let snapshot = match compiled(config, clock, now) {
        Ok(snapshot) => snapshot,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    let Arguments { format, group, app, instrument, output } = options;
    let part = Part::of(app.as_ref(), instrument.as_ref());
    let feed = match format.render(&snapshot, &Selection { group: group.clone(), part }) {
        Ok(feed) => feed,
        Err(problem) => {
            complain(&[problem]);
            return Exit::Failed;
        }
    };
    for what in &feed.left_out {
        eprintln!("interdict: not in it: {what}");
    }
    match output {
        None => out::write(format_args!("{}", feed.text)),
        Some(path) => {
            if let Err(problem) = write_public(path, feed.text.as_bytes()) {
                complain(&[problem]);
                return Exit::Failed;
            }
            eprintln!("interdict: {} entries in {}", feed.entries, path.display());
        }
    }
    Exit::Done
}
