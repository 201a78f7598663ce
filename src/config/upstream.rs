//! Owns the reading of `[upstream]`: whom questions go to, and what is made of signatures. Never opens a socket.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::value::Span;
use crate::dns::Name;
use crate::document::Section;
use crate::resolve::{self, Dnssec, Exempt, Mode, Route, Upstream};

const HINT: &str = "write an address such as \"udp://192.0.2.1\", \"tcp://[2001:db8::1]:53\", \"tls://9.9.9.9#dns.quad9.net\" or \"https://9.9.9.9/dns-query#dns.quad9.net\"";

/// An end: a moment, or a day at whose beginning it is, in UTC.
struct End(Timestamp);

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = || {
            let day: Date = text.parse().ok()?;
            TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
        };
        let moment = text.parse().ok().or_else(day);
        moment.map(Self).ok_or_else(|| "neither a day nor a moment".to_owned())
    }
}

pub(super) fn read(section: &mut Section<'_>, config: &mut resolve::Config) {
    if let Some(mode) = section.string("mode") {
        match mode.value.as_str() {
            "forward" => config.mode = Mode::Forward,
            "recurse" => config.mode = Mode::Recurse,
            other => {
                section.problem(mode.place, format!("`mode` is \"{other}\""), "use one of forward, recurse")
            }
        }
    }
    let servers_at = section.parsed_list::<Upstream>("servers", HINT).map(|servers| {
        let place = servers.first().map(|server| server.place.clone());
        config.servers = servers.into_iter().map(|server| server.value).collect();
        place
    });
    if config.mode == Mode::Recurse
        && let Some(Some(place)) = servers_at
    {
        let what = "`servers` are never asked while recursing";
        section.problem(
            place,
            what,
            "leave them out, or name the zone they are asked for in a [[upstream.route]]",
        );
    }
    if let Some(encryption) = section.string("encryption") {
        match encryption.value.as_str() {
            "opportunistic" => config.is_opportunistic = true,
            "strict" => config.is_opportunistic = false,
            other => section.problem(
                encryption.place,
                format!("`encryption` is \"{other}\""),
                "use \"strict\", each server as it is written, or \"opportunistic\", those in clear inside of TLS where they speak it",
            ),
        }
    }
    config.authorities = section.string("ca").map(|path| path.value.into());
    if let Some(timeout) = section.parsed::<Span>("timeout", "write a duration such as \"2s\"") {
        config.timeout = timeout.value.0.max(Duration::from_millis(50));
    }
    if let Some(dnssec) = section.string("dnssec") {
        match dnssec.value.as_str() {
            "pass" => config.dnssec = Some(Dnssec::Pass),
            "validate" => config.dnssec = Some(Dnssec::Validate),
            other => {
                section.problem(dnssec.place, format!("`dnssec` is \"{other}\""), "use one of validate, pass")
            }
        }
    }
    config.trust_anchor = section.string("trust_anchor").map(|path| path.value.into());
    if let Some(aggressive) = section.boolean("aggressive_nsec") {
        config.aggressive_nsec = aggressive;
    }
    if let Some(hold_down) =
        section.parsed::<Span>("trust_anchor_hold_down", "write a duration such as \"30d\", or \"0\"")
    {
        config.hold_down = hold_down.value.0;
    }
    config.root_hints = section.string("root_hints").map(|path| path.value.into());
    section
        .sections("negative_trust_anchor")
        .into_iter()
        .for_each(|mut section| exempt(&mut section, config));
    section.sections("route").into_iter().for_each(|mut section| route(&mut section, config));
}

fn exempt(section: &mut Section<'_>, config: &mut resolve::Config) {
    let zone = section.parsed::<Name>("zone", "write a domain name");
    let until = section.parsed::<End>(
        "until",
        "write a day such as \"2027-01-31\", or a moment such as \"2027-01-31T08:00Z\"",
    );
    let reason = section.string("reason").map(|reason| reason.value);
    match (zone, until) {
        (Some(zone), Some(until)) => config.exempt.push(Exempt {
            zone: zone.value,
            until: until.value.0,
            reason: reason.unwrap_or_default(),
        }),
        // What is there was complained of already.
        _ if section.has("zone") && section.has("until") => {}
        _ => {
            let what = "a negative trust anchor needs a `zone` and an `until`";
            section.problem(
                section.place(),
                what,
                "a zone that is broken is mended one day; say when to look again",
            );
        }
    }
}

fn route(section: &mut Section<'_>, config: &mut resolve::Config) {
    let zone = section.parsed::<Name>("zone", "write a domain name");
    let servers = section.parsed_list::<Upstream>("servers", HINT);
    match (zone, servers) {
        (Some(zone), Some(servers)) if !servers.is_empty() => config.routes.push(Route {
            zone: zone.value,
            servers: servers.into_iter().map(|server| server.value).collect(),
        }),
        // What is there was complained of already.
        _ if section.has("zone") && section.has("servers") => {}
        _ => section.problem(section.place(), "a route needs a `zone` and `servers`", HINT),
    }
}
