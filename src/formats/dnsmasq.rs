//! Owns the lines of a dnsmasq configuration that block or answer names. Other settings are counted and left alone.

use std::net::IpAddr;

use super::lines::{Reader, without_comment};
use crate::policy::{Action, LocalRecord, Reach};

/// Settings that say nothing about blocking.
const OTHER: &[&str] = &[
    "bogus-nxdomain",
    "conf-dir",
    "conf-file",
    "cache-size",
    "listen-address",
    "no-resolv",
    "port",
    "rebind-domain-ok",
    "txt-record",
    "host-record",
    "cname",
    "ptr-record",
    "ipset",
    "nftset",
    "alias",
    "log-queries",
    "interface",
    "bind-interfaces",
    "no-hosts",
    "addn-hosts",
];

pub(super) fn parse(reader: &mut Reader<'_>, text: &[&[u8]]) {
    reader.each_line(text, |reader, line| {
        let line = without_comment(line, &['#']);
        if line.is_empty() {
            return;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match key.trim() {
            "address" | "local" | "server" => names(reader, line, key.trim(), value.trim()),
            other if OTHER.contains(&other) => reader.skip("a setting that blocks nothing"),
            _ => reader.refuse(
                line,
                "not a dnsmasq setting",
                "a line is `address=/name/`, `local=/name/` or `server=/name/`",
            ),
        }
    });
}

/// `/name/name/target`.
fn names(reader: &mut Reader<'_>, line: &str, key: &str, value: &str) {
    let Some((names, target)) = value.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
        if key == "server" {
            return reader.skip("forwards elsewhere");
        }
        return reader.refuse(line, "the names do not stand between slashes", "a line is `address=/name/`");
    };
    let action = match (key, target) {
        (_, "" | "#" | "0.0.0.0" | "::") if key != "server" || target.is_empty() => None,
        ("server" | "local", _) => return reader.skip("forwards elsewhere"),
        (_, target) => match target.parse() {
            Ok(IpAddr::V4(address)) => Some(Action::Local(vec![LocalRecord::ipv4(address, None)])),
            Ok(IpAddr::V6(address)) => Some(Action::Local(vec![LocalRecord::ipv6(address, None)])),
            Err(_) => {
                return reader.refuse(
                    line,
                    "the target is not an address",
                    "write an address, `#` or nothing",
                );
            }
        },
    };
    for name in names.split('/') {
        let name = name.strip_prefix('.').unwrap_or(name);
        if name == "#" || name.is_empty() {
            reader.refuse(line, "the rule would meet every name", "name a domain");
        } else {
            add(reader, name, action.clone());
        }
    }
}

/// Two lines, one for each family, make one rule with both addresses.
fn add(reader: &mut Reader<'_>, name: &str, action: Option<Action>) {
    let parsed = name.parse().ok();
    if let (Some(Action::Local(new)), Some(last)) = (&action, reader.rules().last_mut())
        && parsed.as_ref() == Some(&last.name)
        && let Some(Action::Local(records)) = last.action.as_deref_mut()
    {
        records.extend(new.iter().cloned());
        return;
    }
    reader.rule(name, Reach::Subtree, action);
}
