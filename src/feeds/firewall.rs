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
struct Sids(HashSet<u32>);

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

/// Rules for Suricata while they are written. What passes inside of a banned tree is taken out of that tree's rule: a rule of its own that lets it pass
/// would go before every ban, also those inside of it, and before what others look for in that traffic.
#[derive(Debug, Default)]
pub(super) struct Suricata {
    sids: Sids,
    /// Trees that the last name was inside of, the innermost last.
    open: Vec<Tree>,
}

/// A banned tree, or what is below its name, and what passes inside.
#[derive(Debug)]
struct Tree {
    name: String,
    reach: Reach,
    passing: Vec<(String, Reach)>,
}

/// Suricata reads so many bytes of a rule.
const LONGEST_RULE: usize = 8000;

impl Suricata {
    /// Takes the next name, in the order of a list.
    pub(super) fn take(&mut self, entry: Entry<'_>, lines: &mut Lines) -> bool {
        while self.open.last().is_some_and(|tree| !is_below(entry.name, &tree.name)) {
            self.close(lines);
        }
        let name = entry.name.to_owned();
        match (entry.reach, entry.passes) {
            (Reach::Exact, false) => self.write(&name, "content", lines, |name, case| whole("", name, case)),
            (reach, false) => self.open.push(Tree { name, reach, passing: Vec::new() }),
            (reach, true) => {
                if reach == Reach::Below {
                    self.write(&name, "content", lines, |name, case| whole("", name, case));
                }
                if let Some(tree) = self.open.last_mut() {
                    tree.passing.push((name, reach));
                }
            }
        }
        true
    }

    /// Writes what is left.
    pub(super) fn finish(mut self, lines: &mut Lines) {
        while !self.open.is_empty() {
            self.close(lines);
        }
    }

    fn close(&mut self, lines: &mut Lines) {
        let Some(Tree { name, reach, passing }) = self.open.pop() else { return };
        let room = LONGEST_RULE.checked_sub(2 * name.len() + 300);
        let taken: usize = passing.iter().map(|(name, _)| name.len() + 50).sum();
        if room.is_none_or(|room| taken > room) {
            lines.unsaid();
            if reach == Reach::Subtree {
                self.write(&name, "content", lines, |name, case| whole("", name, case));
            }
            return;
        }
        self.write(&name, if reach == Reach::Below { "below" } else { "tree" }, lines, |name, case| {
            let mut content = format!("dotprefix; content:\".{name}\";{case} endswith;");
            if reach == Reach::Below {
                content += &format!(" {}", whole("!", &format!(".{name}"), case));
            }
            for (name, reach) in &passing {
                let name = format!(".{name}");
                content += &match reach {
                    Reach::Exact => format!(" {}", whole("!", &name, case)),
                    _ => format!(" content:!\"{name}\";{case} endswith;"),
                };
            }
            content
        });
    }

    /// Three rules: for a question, a TLS handshake, a request of HTTP, whose host is in lower case already.
    fn write(&mut self, name: &str, kind: &str, lines: &mut Lines, content: impl Fn(&str, &str) -> String) {
        for (protocol, buffer, case) in
            [("dns", "dns.query", " nocase;"), ("tls", "tls.sni", " nocase;"), ("http", "http.host", "")]
        {
            let sid = self.sids.of(&format!("{protocol} {kind} {name}"));
            let content = content(name, case);
            lines.line(format_args!(
                "drop {protocol} any any -> any any (msg:\"interdict banned {name}\"; {buffer}; {content} sid:{sid}; rev:1;)"
            ));
        }
    }
}

/// That a buffer is, or with `!` is not, this name and nothing else.
fn whole(not: &str, name: &str, case: &str) -> String {
    format!("content:{not}\"{name}\";{case} startswith; endswith;")
}

/// True on a label's boundary only.
fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|labels| labels.ends_with('.'))
}
