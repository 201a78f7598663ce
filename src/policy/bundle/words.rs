//! Owns what a bundle says besides its table, as JSON that people can read too: where it comes from, the catalog, the lists,
//! the kinds of rules and their actions. Never trusts a number: each is compared with what it counts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::address::{ListedPrefix, Whose};
use super::super::rule::{Action, LocalRecord, Reach};
use super::super::snapshot::{DEFAULT_ACTION, RuleKind};
use super::flaw::Flaw;
use crate::dns::{Name, RecordType};

/// The first section.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    /// Version of the program that wrote it.
    pub(super) made_by: String,
    /// When it was made, where whoever made it says so.
    pub(super) stamp: Option<Timestamp>,
    pub(super) rules: usize,
    /// Different listed names.
    pub(super) names: usize,
    /// Fewest and most labels of any.
    pub(super) labels: (usize, usize),
    /// The table's digest, in hexadecimal.
    pub(super) digest: String,
    /// The files of the catalog: path and text.
    pub(super) catalog: Vec<(String, String)>,
    pub(super) sources: Vec<SourceWords>,
    pub(super) actions: Vec<ActionWords>,
    /// Of each kind of rule its set, its reach and its action.
    pub(super) kinds: Vec<(u16, ReachWord, Option<u16>)>,
    /// Rules about addresses: whether a client's own, the prefix, the kind, the line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<(bool, String, u32, u32)>,
    /// Rules about the addresses of zones' servers: the prefix, the kind, the line. Programs that know no such rules refuse the bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) name_servers: Vec<(String, u32, u32)>,
    /// What the control plane found in each list; its own business.
    pub(super) reports: serde_json::Value,
}

/// A list without its rules.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceWords {
    pub(super) name: String,
    pub(super) app: Option<String>,
    pub(super) instrument: Option<String>,
    pub(super) file: String,
    /// Whether its rules are only rehearsed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) disabled: bool,
    /// SHA-256 of its rules as written, in hexadecimal.
    pub(super) written: String,
    /// SHA-256 of where they stand.
    pub(super) placed: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReachWord {
    Below,
    Exact,
    #[serde(rename = "name-server")]
    NameServer,
    #[serde(rename = "name-servers-below")]
    NameServersBelow,
    Subtree,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ActionWords {
    Drop,
    /// TYPE, TTL and RDATA of each record.
    Local(Vec<(u16, Option<u32>, Vec<u8>)>),
    Nodata,
    Nxdomain,
    Passthru,
    /// The target in wire form.
    Redirect(Vec<u8>),
    Refused,
    Sinkhole,
    TcpOnly,
}

impl Words {
    /// Reads the section.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        serde_json::from_slice(bytes).map_err(|error| Flaw::Words(format!("its words: {error}")))
    }

    /// The kinds of rules, each of a set and an action that there is.
    pub(super) fn kinds(&self, sets: usize) -> Result<Vec<RuleKind>, Flaw> {
        let kind = |(set, reach, action): &(u16, ReachWord, Option<u16>)| {
            let known = usize::from(*set) < sets
                && action.is_none_or(|action| usize::from(action) < self.actions.len())
                && *action != Some(DEFAULT_ACTION);
            let reach = match reach {
                ReachWord::Below => Reach::Below,
                ReachWord::Exact => Reach::Exact,
                ReachWord::NameServer => Reach::NameServer,
                ReachWord::NameServersBelow => Reach::NameServersBelow,
                ReachWord::Subtree => Reach::Subtree,
            };
            known.then_some(RuleKind { set: *set, reach, action: action.unwrap_or(DEFAULT_ACTION) })
        };
        let kinds: Option<Vec<RuleKind>> = self.kinds.iter().map(kind).collect();
        kinds.ok_or_else(|| {
            Flaw::Words("a kind of rule names a list or an action that there is not".to_owned())
        })
    }
}

impl Words {
    /// The rules about addresses, each of a kind that there is.
    pub(super) fn addresses(&self, kinds: usize) -> Result<Vec<(Whose, ListedPrefix)>, Flaw> {
        let rule = |(whose, prefix, kind, line): (Whose, &String, u32, u32)| {
            let prefix = prefix.parse().ok().filter(|_| (kind as usize) < kinds)?;
            Some((whose, ListedPrefix::new(prefix, kind, line)))
        };
        let others = self.addresses.iter().map(|(client, prefix, kind, line)| {
            (if *client { Whose::Client } else { Whose::Answer }, prefix, *kind, *line)
        });
        let servers = self.name_servers.iter();
        let servers = servers.map(|(prefix, kind, line)| (Whose::NameServer, prefix, *kind, *line));
        let rules: Option<Vec<_>> = others.chain(servers).map(rule).collect();
        rules.ok_or_else(|| Flaw::Words("a rule about addresses is not one".to_owned()))
    }
}

impl From<Reach> for ReachWord {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Below => Self::Below,
            Reach::Exact => Self::Exact,
            Reach::NameServer => Self::NameServer,
            Reach::NameServersBelow => Self::NameServersBelow,
            Reach::Subtree => Self::Subtree,
        }
    }
}

impl From<&Action> for ActionWords {
    fn from(action: &Action) -> Self {
        match action {
            Action::Drop => Self::Drop,
            Action::Local(records) => Self::Local(
                records
                    .iter()
                    .map(|record| (record.record_type.0, record.ttl, record.rdata.to_vec()))
                    .collect(),
            ),
            Action::Nodata => Self::Nodata,
            Action::Nxdomain => Self::Nxdomain,
            Action::Passthru => Self::Passthru,
            Action::Redirect(target) => Self::Redirect(target.as_wire().to_vec()),
            Action::Refused => Self::Refused,
            Action::Sinkhole => Self::Sinkhole,
            Action::TcpOnly => Self::TcpOnly,
        }
    }
}

impl ActionWords {
    /// The action, if it is one.
    pub(super) fn read(&self) -> Result<Action, Flaw> {
        Ok(match self {
            Self::Drop => Action::Drop,
            Self::Local(records) => Action::Local(records.iter().map(record).collect::<Result<_, _>>()?),
            Self::Nodata => Action::Nodata,
            Self::Nxdomain => Action::Nxdomain,
            Self::Passthru => Action::Passthru,
            Self::Redirect(wire) => {
                let target = Name::from_wire(wire).ok().filter(|target| target.as_wire() == wire);
                Action::Redirect(target.ok_or_else(|| Flaw::Words("a target is not a name".to_owned()))?)
            }
            Self::Refused => Action::Refused,
            Self::Sinkhole => Action::Sinkhole,
            Self::TcpOnly => Action::TcpOnly,
        })
    }
}

fn record((record_type, ttl, rdata): &(u16, Option<u32>, Vec<u8>)) -> Result<LocalRecord, Flaw> {
    // RDLENGTH has sixteen bits (RFC 1035 section 3.2.1).
    if rdata.len() > usize::from(u16::MAX) {
        return Err(Flaw::Words("a record is longer than records are".to_owned()));
    }
    Ok(LocalRecord { record_type: RecordType(*record_type), ttl: *ttl, rdata: rdata.clone().into() })
}

/// The SHA-256 that a text is in hexadecimal.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Flaw> {
    let read = || {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, slot) in digest.iter_mut().enumerate() {
            *slot = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(digest)
    };
    read().ok_or_else(|| Flaw::Words("a digest is not one".to_owned()))
}
