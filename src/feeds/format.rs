//! Owns the formats: their names, what each can say, and the list that comes of a policy. Never decides.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::content::{Canaries, Content, Words};
use super::entry::Entry;
use super::selection::{Selection, unknown};
use super::{firewall, plain, proxy, resolver};
use crate::policy::{Reach, Snapshot};
use crate::problem::Problem;

/// A format of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One prefix a line: external dynamic lists of addresses.
    Addresses,
    /// For `conf-file` of dnsmasq.
    Dnsmasq,
    /// One name a line, `*.` in front of what is below: external dynamic lists of domains.
    Domains,
    /// For `/etc/hosts` and its readers.
    Hosts,
    /// Sets for `nft -f`.
    Nftables,
    /// A proxy auto-configuration for browsers.
    Pac,
    /// A response policy zone.
    Rpz,
    /// For an `acl … dstdomain` of Squid.
    Squid,
    /// Rules for Suricata.
    Suricata,
    /// For `include` of Unbound.
    Unbound,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The list.
    pub text: String,
    /// Lines about names, and networks.
    pub entries: u64,
    /// What it does not say, in words; empty when it says all.
    pub left_out: Vec<String>,
}

/// A list while it is written.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) text: String,
    entries: u64,
    unsayable: u64,
}

impl Lines {
    /// Appends a line of a list.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _always = self.text.write_fmt(line).and_then(|()| self.text.write_char('\n')).is_ok();
    }

    /// Counts a rule that could not be said after all.
    pub(super) fn unsaid(&mut self) {
        self.unsayable += 1;
    }
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Addresses,
        Self::Dnsmasq,
        Self::Domains,
        Self::Hosts,
        Self::Nftables,
        Self::Pac,
        Self::Rpz,
        Self::Squid,
        Self::Suricata,
        Self::Unbound,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Dnsmasq => "dnsmasq",
            Self::Domains => "domains",
            Self::Hosts => "hosts",
            Self::Nftables => "nftables",
            Self::Pac => "pac",
            Self::Rpz => "rpz",
            Self::Squid => "squid",
            Self::Suricata => "suricata",
            Self::Unbound => "unbound",
        }
    }

    /// What HTTP calls it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Pac => "application/x-ns-proxy-autoconfig",
            Self::Rpz => "text/dns; charset=utf-8",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// What it can say of names.
    fn words(self) -> Option<Words> {
        match self {
            Self::Addresses | Self::Nftables => None,
            Self::Hosts => Some(Words::Names),
            Self::Domains | Self::Squid => Some(Words::Trees),
            Self::Dnsmasq | Self::Pac | Self::Suricata | Self::Unbound => Some(Words::Passes),
            Self::Rpz => Some(Words::Wildcards),
        }
    }

    /// Hosts files hold addresses, and firewalls that fetch names answer with one of their own unless told otherwise.
    fn canaries(self) -> Canaries {
        match self {
            Self::Domains | Self::Hosts => Canaries::LeftOut,
            _ => Canaries::Listed,
        }
    }

    /// What begins a comment; `None` where readers want none.
    fn comment(self) -> Option<&'static str> {
        match self {
            Self::Addresses | Self::Domains => None,
            Self::Pac => Some("//"),
            Self::Rpz => Some(";"),
            _ => Some("#"),
        }
    }

    /// The list of a selection; the complaint names what there is not.
    pub fn render(self, snapshot: &Snapshot, selection: &Selection) -> Result<Feed, Problem> {
        let content = Content::new(snapshot, selection, self.canaries())?;
        let mut lines = Lines::default();
        let mut suricata = firewall::Suricata::default();
        let less = self.words().map_or(0, |words| {
            content.entries(words, |entry| {
                let is_said = match self {
                    Self::Addresses | Self::Nftables => false,
                    Self::Dnsmasq => resolver::dnsmasq(entry, &mut lines),
                    Self::Domains => plain::domain(entry, &mut lines),
                    Self::Hosts => resolver::hosts(entry, &mut lines),
                    Self::Pac => proxy::pac(entry, &mut lines),
                    Self::Rpz => resolver::rpz(entry, &mut lines),
                    Self::Squid => proxy::squid(entry, &mut lines),
                    Self::Suricata => suricata.take(entry, &mut lines),
                    Self::Unbound => resolver::unbound(entry, &mut lines),
                };
                lines.entries += u64::from(is_said);
                lines.unsayable += u64::from(!is_said);
            })
        });
        suricata.finish(&mut lines);
        let mut networks = 0;
        if self.words().is_none() {
            networks = content.networks.len() as u64;
            match self {
                Self::Nftables => firewall::nftables(&content.networks, &mut lines),
                _ => plain::addresses(&content.networks, &mut lines),
            }
        }
        let unsaid = content.unsaid;
        let left_out = match self.words() {
            None => {
                vec![(unsaid.networks, "networks without a prefix of their own, or with an exception inside")]
            }
            Some(_) => vec![
                (less, "names whose subdomains it cannot hold, or not without an exception inside"),
                (lines.unsayable, "rules that it has no words for"),
                (unsaid.canaries, "canary names, whose answer must have no address"),
                (unsaid.odd, "names that are no hosts' names"),
                (unsaid.rehearsed, "names in shadow mode"),
                (unsaid.rewritten, "names with other records, or over TCP only"),
            ],
        };
        let left_out: Vec<String> = left_out
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, of)| format!("{count} {of}"))
            .collect();
        let entries = lines.entries + networks;
        let text = self.framed(lines.text, snapshot, selection, entries, &left_out);
        Ok(Feed { text, entries, left_out })
    }

    /// A list with what stands in front of it and behind it.
    fn framed(
        self,
        body: String,
        snapshot: &Snapshot,
        selection: &Selection,
        entries: u64,
        left_out: &[String],
    ) -> String {
        let mut out = Lines::default();
        if let Some(comment) = self.comment() {
            // No number of a generation and no time: the same policy is the same list on every host.
            out.line(format_args!("{comment} interdict {self}: {}, {entries} entries", selection.words()));
            out.line(format_args!("{comment} policy {}", snapshot.digest()));
            for what in left_out {
                out.line(format_args!("{comment} not in it: {what}"));
            }
        }
        match self {
            Self::Pac => out.text + &proxy::framed_pac(&body),
            Self::Rpz => out.text + &resolver::rpz_head(snapshot) + &body,
            Self::Unbound => out.text + "server:\n" + &body,
            _ => out.text + &body,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let all = Self::ALL.map(Self::as_str);
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| unknown("format", text, &all))
    }
}

/// True when a rule is for the name itself.
pub(super) fn is_for_name(entry: Entry<'_>) -> bool {
    entry.reach != Reach::Below
}

/// True when a rule is for what is below the name.
pub(super) fn is_for_below(entry: Entry<'_>) -> bool {
    entry.reach != Reach::Exact
}
