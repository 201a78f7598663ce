//! Owns the lists that packet filters load: address sets for nftables, rules for Suricata. Never decides.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use super::entry::Entry;
use super::format::Lines;
use crate::policy::{Prefix, Reach};

/// Two sets in a table of their own, which are emptied and filled anew in one transaction; whoever filters names them.
pub(super) fn nftables(networks: &[Prefix], lines: &mut Lines) {
    lines.line(format_args!("add table inet interdict_feed"));
    for (set, kind, is_ipv4) in [("blocked4", "ipv4_addr", true), ("blocked6", "ipv6_addr", false)] {
        let all: Vec<String> =
            networks.iter().filter(|prefix| prefix.is_ipv4() == is_ipv4).map(Prefix::to_string).collect();
        lines.line(format_args!("add set inet interdict_feed {set} {{ type {kind}; flags interval; }}"));
        lines.line(format_args!("flush set inet interdict_feed {set}"));
        if !all.is_empty() {
            lines.line(format_args!("add element inet interdict_feed {set} {{ {} }}", all.join(", ")));
        }
    }
}

/// The numbers of rules, each once.
#[derive(Debug, Default)]
pub(super) struct Sids(HashSet<u32>);

/// First and count of the numbers: those for local use end at 1,999,999, and these are far beyond all that are given out.
const SIDS: (u32, u32) = (2_000_000_000, 1 << 30);

impl Sids {
    /// The number of a rule: the same whatever else there is, but for the rare two that come to the same.
    fn of(&mut self, rule: &str) -> u32 {
        let digest: [u8; 32] = Sha256::digest(rule).into();
        let first = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let mut sid = SIDS.0 + first % SIDS.1;
        while !self.0.insert(sid) {
            sid = SIDS.0 + (sid - SIDS.0 + 1) % SIDS.1;
        }
        sid
    }
}

/// Three rules a name: in a question, in a TLS handshake, in a request of HTTP. What passes goes before what is dropped.
pub(super) fn suricata(entry: Entry<'_>, sids: &mut Sids, lines: &mut Lines) -> bool {
    let name = entry.name;
    let content = match entry.reach {
        Reach::Subtree => format!("dotprefix; content:\".{name}\"; endswith;"),
        Reach::Exact => format!("content:\"{name}\"; startswith; endswith;"),
        Reach::Below => return false,
    };
    let action = if entry.passes { "pass" } else { "drop" };
    for (protocol, buffer, case) in
        [("dns", "dns.query", " nocase;"), ("tls", "tls.sni", " nocase;"), ("http", "http.host", "")]
    {
        let sid = sids.of(&format!("{action} {protocol} {content}"));
        let what = if entry.passes { "allowed" } else { "banned" };
        lines.line(format_args!(
            "{action} {protocol} any any -> any any (msg:\"interdict {what} {name}\"; {buffer}; {content}{case} sid:{sid}; rev:1;)"
        ));
    }
    true
}
