//! Owns the verb `explain`: one name or address, one client, one day, by the present inputs or by what was in force then; needs no
//! running resolver but for what becomes of connections to an address.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::ask::state;
use super::{Exit, compiled, complain, egress, print_json};
use crate::app;
use crate::clock::Clock;
use crate::dns::{Name, NameError, RecordType};
use crate::policy::{Explanation, Identity, Inquiry, Labels, NameServer, When};
use crate::reload::Then;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name asked for; or an address, to see what the kernel of the running resolver does with connections to it
    #[arg(required_unless_present_any = ["address", "name_server"], value_name = "NAME")]
    asked: Option<Asked>,
    /// An address that the answer holds
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// A name server, or its address, of a zone that the name is in
    #[arg(long, value_name = "NAME")]
    name_server: Option<NameServer>,
    /// The client's address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    client: IpAddr,
    /// Who that is beside the address, as certificate:NAME, path:/PATH or server-name:NAME
    #[arg(long, value_name = "KIND:NAME")]
    identity: Option<Identity>,
    /// The day to decide for, or a time with its offset [default: now]
    #[arg(long, value_name = "DATE")]
    on: Option<When>,
    /// A time that has passed: answer from what was in force here then
    #[arg(long, value_name = "TIME", conflicts_with = "on")]
    at: Option<Moment>,
    /// The record type asked for
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    record_type: RecordType,
}

/// What is explained.
#[derive(Clone, Debug)]
enum Asked {
    Address(IpAddr),
    Name(Name),
}

impl FromStr for Asked {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::Address).or_else(|_| text.parse().map(Self::Name))
    }
}

/// A moment, to the minute or finer, with its offset.
#[derive(Clone, Copy, Debug)]
struct Moment(jiff::Timestamp);

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // People leave out seconds; RFC 3339 does not.
        let whole = text.strip_suffix('Z').map(|text| format!("{text}:00Z"));
        let parsed = text.parse().ok().or_else(|| whole?.parse().ok());
        parsed.map(Self).ok_or("not a time with its offset, such as 2026-11-20T14:00Z")
    }
}

/// An explanation, and which generation gave it when another moment was asked about.
#[derive(serde::Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Then>,
}

pub(super) fn run(config: Option<PathBuf>, options: &Arguments, json: bool) -> Exit {
    let name = match &options.asked {
        Some(Asked::Address(address)) => {
            return egress::explain(config.as_deref(), *address, options.client, json);
        }
        Some(Asked::Name(name)) => Some(name.clone()),
        None => None,
    };
    let clock = Clock::system();
    let on = options.on.map_or(clock.wall(), |when| when.end_of_day(&jiff::tz::TimeZone::UTC));
    let found = match options.at {
        None => compiled(config, clock, on).map(|snapshot| (snapshot, None)),
        Some(Moment(at)) => state(config.as_deref()).and_then(|state| {
            let pipeline = app::pipeline(config, None, Some(&state), clock, Labels::default());
            pipeline.then(at).map(|(snapshot, then)| (snapshot, Some(then)))
        }),
    };
    let (snapshot, then) = match found {
        Ok(found) => found,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    let Arguments { address, name_server, client, identity, record_type, .. } = options;
    let explanation = snapshot.explain(&Inquiry {
        name,
        record_type: *record_type,
        client: *client,
        identity: identity.clone(),
        address: *address,
        name_server: name_server.clone(),
    });
    if json {
        print_json(&Answer { explanation: &explanation, then });
    } else {
        print(&explanation);
        if let Some(then) = then {
            say!("  generation  {}, in force at {}", then.generation, then.at);
            if !then.exact {
                say!("  note        another version of interdict compiled it; details may differ");
            }
        }
    }
    if matches!(explanation.verdict, "block" | "canary") || !explanation.admitted {
        Exit::Negative
    } else {
        Exit::Done
    }
}

fn print(explanation: &Explanation) {
    let Explanation {
        name,
        address,
        r#type,
        client,
        group,
        on,
        verdict,
        action,
        reply,
        cause,
        connection,
        considered,
        admitted,
        ..
    } = explanation;
    let asked = match (name.as_str(), address) {
        ("", Some(address)) => format!("an answer with {address}"),
        (name, Some(address)) => format!("{name} {type} with {address} in the answer,"),
        (name, None) => format!("{name} {type}"),
    };
    say!("{asked} for {client} (group {group}) on {on}: {verdict} ({action}): {reply}");
    if !admitted {
        say!("  but {client} may not ask this resolver at all: see [access] allow");
    }
    if let Some(cause) = cause {
        say!("  rule        {} ({}), {}", cause.listed, cause.reach, cause.rule);
        say!("  trigger     {}", cause.trigger);
        say!("  app         {} {}", cause.app, cause.app_title);
        say!("  instrument  {}", cause.instrument);
        if !cause.authority.is_empty() {
            say!("  authority   {}", cause.authority);
            say!("  citation    {}", cause.citation);
        }
        if let Some(from) = cause.in_force_from {
            say!(
                "  in force    from {from}{}",
                if cause.date_verified { "" } else { " (date not verified)" }
            );
        }
        if let (Some(exception), Some(granted)) = (&cause.exception, &cause.granted) {
            say!("  exception   {exception}, granted by {granted}");
        }
    }
    if let Some(held) = connection {
        say!(
            "  connection  dropped in the proxy and the kernel ({}): a network of {} {}; {}",
            held.mode,
            held.app,
            held.app_title,
            held.instrument
        );
    }
    if considered.is_empty() {
        match name.as_str() {
            "" => say!("  no list holds this address"),
            _ => say!("  no list holds this name or a name above it"),
        }
    }
    for rule in considered {
        say!("  considered  {} ({}) in {}: {}", rule.listed, rule.reach, rule.list, rule.standing);
    }
}
