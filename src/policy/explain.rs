//! Owns the explanation: one verdict in words, with every rule that met the name and why it did or did not count.
//! Reads the snapshot and its verdict; never decides anew.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::address::Whose;
use super::client::Client;
use super::identity::Identity;
use super::rule::{Action, Reach};
use super::snapshot::{Counting, DEFAULT_ACTION, IdleReason, NONE, Origin, RuleKind, Snapshot};
use super::verdict::{Cause, Trigger, Verdict};
use crate::dns::{CanonicalName, Name, NameError, RecordType};

/// What an explanation is asked about: a name, an address that an answer holds, or both.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The name; without one, any that meets no rule.
    pub name: Option<Name>,
    /// The record type.
    pub record_type: RecordType,
    /// Who asks.
    pub client: IpAddr,
    /// Who that is beside the address.
    pub identity: Option<Identity>,
    /// An address in the answer.
    pub address: Option<IpAddr>,
    /// A server of a zone that the name, or one that its answer leads to, is in.
    pub name_server: Option<NameServer>,
}

/// A name server, by what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameServer {
    /// Its address.
    Address(IpAddr),
    /// Its name.
    Name(Name),
}

impl FromStr for NameServer {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::Address).or_else(|_| text.parse().map(Self::Name))
    }
}

/// Everything there is to say about one name, or one address in an answer, for one client.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The name, in presentation form; empty when only an address is asked about.
    pub name: String,
    /// The address in the answer that is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The record type asked for.
    pub r#type: String,
    /// The client's address.
    pub client: IpAddr,
    /// Who that is beside the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The client's group.
    pub group: String,
    /// Whether the client may ask at all.
    pub admitted: bool,
    /// The moment decided for.
    pub on: Timestamp,
    /// The generation that decided.
    pub generation: u64,
    /// `allow`, `block`, `shadow`, `permit` or `canary`.
    pub verdict: &'static str,
    /// What is done: an action's word, `passthru` when the name resolves.
    pub action: &'static str,
    /// What the client sees: a response code, `NODATA`, `address`, `records`, `alias`, `truncated`, `nothing`, or
    /// `local records` from the configuration, or `resolved` when upstreams are asked.
    pub reply: &'static str,
    /// What decided; absent for `allow` and `canary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Description>,
    /// What holds a connection to the address besides, in the proxy and in the kernel: a network of a banned app, which answers may lead to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Description>,
    /// Every rule whose listed name is the name or an ancestor of it, in the order of the listed names' length; then those
    /// that cover the client, and the address, the longest prefix first.
    pub considered: Vec<Considered>,
}

/// A cause in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The listed name, or prefix of addresses.
    pub listed: String,
    /// `name`, `name and below`, `below`, `name server`, `name servers below`, or for a prefix `client`, `address` or `name server`.
    pub reach: &'static str,
    /// Where the rule is written.
    pub rule: String,
    /// What met it: `client-address`, `query-name`, `response-address`, `response-name`, `name-server-name` or `name-server-address`.
    pub trigger: &'static str,
    /// What is done.
    pub action: &'static str,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    /// App id, or `none`.
    pub app: String,
    /// App's title.
    pub app_title: String,
    /// Instrument id, or `none`.
    pub instrument: String,
    /// Who issued the instrument.
    pub authority: String,
    /// Where the instrument is to be found.
    pub citation: String,
    /// The first moment the instrument is in force.
    pub in_force_from: Option<Timestamp>,
    /// The day of it where the instrument was issued.
    #[serde(skip)]
    pub in_force_day: Option<Date>,
    /// Whether that date was checked against a published source.
    pub date_verified: bool,
    /// The list: `catalog` or the source's name.
    pub source: String,
    /// Exception id, when one decided.
    pub exception: Option<String>,
    /// Who granted the exception and why.
    pub granted: Option<String>,
    /// The group.
    pub group: String,
}

/// One rule that is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The listed name, or prefix of addresses.
    pub listed: String,
    /// `name`, `name and below`, `below`, or for a prefix `client` or `address`.
    pub reach: &'static str,
    /// The list it stands in: an app's id, `app:shared`, a source, an exception.
    pub list: String,
    /// Where it is written.
    pub rule: String,
    /// Whether it counts for this group at this moment, or why not.
    pub standing: String,
}

impl Snapshot {
    /// Explains what a question gets, or an answer.
    pub fn explain(&self, inquiry: &Inquiry) -> Explanation {
        let Inquiry { name, record_type, client, identity, address, name_server } = inquiry;
        let asked = name.as_ref().map(CanonicalName::from);
        let found = match identity {
            Some(identity) => self.client_known_as(identity, *client),
            None => self.client(*client),
        };
        let verdict = self.decide_inquiry(found, asked.as_ref(), *record_type, *address);
        let verdict = match name_server {
            Some(server) => self.decide_behind(found.group, verdict, server),
            None => verdict,
        };
        let (word, cause) = match verdict {
            Verdict::Allow => ("allow", None),
            Verdict::Canary { .. } => ("canary", None),
            Verdict::Deny(cause) => ("block", Some(cause)),
            Verdict::Permit(cause) => ("permit", Some(cause)),
            Verdict::Shadow(cause) => ("shadow", Some(cause)),
        };
        let (action, reply) = match verdict {
            Verdict::Canary { .. } => ("nxdomain", "NXDOMAIN"),
            Verdict::Deny(cause) => {
                (self.action(&cause).kind().as_str(), self.reply_text(&cause, *record_type))
            }
            Verdict::Allow | Verdict::Permit(_) | Verdict::Shadow(_) => {
                let local = self.local_names().and_then(|names| names.find(asked.as_ref()?));
                ("passthru", if local.is_some() { "local records" } else { "resolved" })
            }
        };
        let connection = match self.decide_connection(found, asked.as_ref(), *address) {
            Verdict::Deny(cause) | Verdict::Shadow(cause) if cause.trigger == Trigger::Egress => Some(cause),
            _ => None,
        };
        let mut considered = Vec::new();
        if let Some(asked) = &asked {
            let met = (Reach::meets as fn(Reach, usize) -> bool, Trigger::QueryName);
            self.consider_names(found.group, asked, met, cause, &mut considered);
        }
        self.consider_addresses(found.group, Whose::Client, *client, cause, &mut considered);
        if let Some(address) = address {
            self.consider_addresses(found.group, Whose::Answer, *address, cause, &mut considered);
        }
        match name_server {
            Some(NameServer::Address(address)) => {
                self.consider_addresses(found.group, Whose::NameServer, *address, cause, &mut considered);
            }
            Some(NameServer::Name(server)) => {
                let (met, trigger) = (Reach::meets_name_server, Trigger::NameServerName);
                let server = CanonicalName::from(server);
                self.consider_names(found.group, &server, (met, trigger), cause, &mut considered);
            }
            None => {}
        }
        Explanation {
            name: asked.map(|name| name.to_string()).unwrap_or_default(),
            address: *address,
            r#type: record_type.to_string(),
            client: *client,
            identity: identity.as_ref().map(Identity::to_string),
            group: self.group_name(found.group).to_owned(),
            admitted: found.admitted,
            on: self.compiled_on(),
            generation: self.generation(),
            verdict: word,
            action,
            reply,
            cause: cause.map(|cause| self.describe(&cause)),
            connection: connection.map(|cause| self.describe(&cause)),
            considered,
        }
    }

    /// What the query path decides of a name, or of any that meets nothing, when `address` is in its answer.
    pub(super) fn decide_inquiry(
        &self,
        client: Client,
        name: Option<&CanonicalName>,
        record_type: RecordType,
        address: Option<IpAddr>,
    ) -> Verdict {
        let verdict = match name {
            Some(name) => self.decide_question(client, name, record_type),
            None => self.rule_client(client, Verdict::Allow),
        };
        let Some(address) = address else { return verdict };
        match verdict {
            Verdict::Canary { .. } => verdict,
            Verdict::Deny(cause) | Verdict::Permit(cause) if !self.awaits_addresses(&cause, record_type) => {
                verdict
            }
            Verdict::Deny(cause) | Verdict::Permit(cause) => {
                self.decide_addresses(client.group, [address].into_iter(), Some(&cause))
            }
            Verdict::Allow | Verdict::Shadow(_) => {
                match self.decide_addresses(client.group, [address].into_iter(), None) {
                    Verdict::Allow => verdict,
                    found => found,
                }
            }
        }
    }

    /// What becomes of a verdict when `server` serves a zone behind the answer.
    fn decide_behind(&self, group: u16, found: Verdict, server: &NameServer) -> Verdict {
        let met = match &found {
            Verdict::Canary { .. } => return found,
            Verdict::Deny(cause) | Verdict::Permit(cause) => Some(cause),
            Verdict::Allow | Verdict::Shadow(_) => None,
        };
        let verdict = match server {
            NameServer::Address(address) => self.decide_name_servers(group, &[], &[*address], met),
            NameServer::Name(name) => self.decide_name_servers(group, &[CanonicalName::from(name)], &[], met),
        };
        if verdict == Verdict::Allow { found } else { verdict }
    }

    fn reply_text(&self, cause: &Cause, record_type: RecordType) -> &'static str {
        match self.action(cause) {
            Action::Drop => "nothing",
            Action::Local(records) if records.iter().any(|record| record.answers(record_type)) => "records",
            Action::Nxdomain if cause.speaks_for_subtree() => "NXDOMAIN",
            Action::Local(_) | Action::Nodata | Action::Nxdomain => "NODATA",
            Action::Passthru => "resolved",
            Action::Redirect(_) => "alias",
            Action::Refused => "REFUSED",
            Action::Sinkhole if matches!(record_type, RecordType::A | RecordType::AAAA) => "address",
            Action::Sinkhole => "NODATA",
            Action::TcpOnly => "truncated",
        }
    }

    /// A cause in words. Works for any cause this snapshot gave; unknown ids become empty words.
    pub fn describe(&self, cause: &Cause) -> Description {
        let Some(kind) = self.kinds.get(cause.kind as usize) else { return Description::default() };
        let enforcement = self.enforcement(cause);
        let set = self.set(kind.set);
        let app = self.app(set.and_then(|set| set.app));
        let act = self.instrument(enforcement.and_then(|found| found.instrument));
        let exception = self.exception(enforcement.and_then(|found| found.exception));
        let mut words = Description {
            reach: match cause.trigger {
                Trigger::ClientAddress => "client",
                Trigger::NameServerAddress => "name server",
                Trigger::NameServerName | Trigger::QueryName | Trigger::ResponseName => {
                    reach_text(kind.reach)
                }
                Trigger::Egress | Trigger::ResponseAddress => "address",
            },
            trigger: cause.trigger.as_str(),
            action: match cause.trigger {
                Trigger::Egress => "drop",
                _ => self.action(cause).kind().as_str(),
            },
            mode: enforcement.map_or("", |found| found.mode.as_str()),
            app: app.map_or("none", |app| &app.id).to_owned(),
            app_title: app.map_or("", |app| &app.title).to_owned(),
            instrument: act.map_or("none", |act| &act.id).to_owned(),
            authority: act.map_or("", |act| &act.authority).to_owned(),
            citation: act.map_or("", |act| &act.citation).to_owned(),
            in_force_from: act.map(|act| act.in_force_from.moment),
            in_force_day: act.map(|act| act.in_force_from.day),
            date_verified: act.is_some_and(|act| act.in_force_from.verified),
            source: match set.map(|set| &set.origin) {
                Some(Origin::Source(name)) => name.clone(),
                Some(_) => "catalog".to_owned(),
                None => String::new(),
            },
            exception: exception.map(|exception| exception.id.clone()),
            granted: exception.map(|exception| format!("{}: {}", exception.approved_by, exception.reason)),
            group: self.group_name(cause.group).to_owned(),
            ..Description::default()
        };
        self.name_rule(cause, None, &mut words);
        words
    }

    fn consider_names(
        &self,
        group: u16,
        name: &CanonicalName,
        (meets, trigger): (fn(Reach, usize) -> bool, Trigger),
        cause: Option<Cause>,
        all: &mut Vec<Considered>,
    ) {
        let by_name = cause.filter(|cause| cause.trigger == trigger);
        let decided = by_name.map(|cause| cause.rule);
        let mut met = Vec::new();
        self.search(name, |entry| {
            if let (Some(kind), Some((wire, line))) =
                (self.kinds.get(entry.kind as usize), self.rule(entry.number))
                && meets(kind.reach, entry.depth)
            {
                met.push((entry, *kind, wire, line));
            }
        });
        // The shortest name first, whichever table a rule stands in.
        met.sort_by_key(|(entry, kind, _, line)| (Reverse(entry.depth), kind.set, kind.reach, *line));
        for (entry, kind, wire, line) in met {
            let decides = decided == Some(entry.number);
            all.push(self.consider(group, &kind, (name_text(&wire), reach_text(kind.reach)), line, decides));
        }
    }

    fn consider_addresses(
        &self,
        group: u16,
        whose: Whose,
        address: IpAddr,
        cause: Option<Cause>,
        all: &mut Vec<Considered>,
    ) {
        let decided = cause.filter(|cause| cause.trigger == whose.trigger()).map(|cause| cause.rule);
        let reach = match whose {
            Whose::Answer => "address",
            Whose::Client => "client",
            Whose::NameServer => "name server",
        };
        for (number, rule) in self.addresses_of(whose).covering(address) {
            if let Some(kind) = self.kinds.get(rule.kind as usize) {
                let listed = (rule.prefix.to_string(), reach);
                let line = self.line(rule.kind, rule.line);
                all.push(self.consider(group, kind, listed, line, decided == Some(number)));
            }
        }
    }

    fn consider(
        &self,
        group: u16,
        kind: &RuleKind,
        (listed, reach): (String, &'static str),
        line: u32,
        decides: bool,
    ) -> Considered {
        let mut standing = if decides { "decides".to_owned() } else { self.standing(group, kind.set) };
        if kind.action != DEFAULT_ACTION && self.is_passthru(kind.action) {
            standing.push_str(" (passthru)");
        }
        Considered {
            listed,
            reach,
            list: self.set_title(kind.set),
            rule: self.rule_place(kind.set, line).to_string(),
            standing,
        }
    }

    /// Whether the set counts for the group, or why not.
    fn standing(&self, group: u16, set: u16) -> String {
        let Some(compiled) = self.groups.get(usize::from(group)) else { return String::new() };
        if self.set(set).is_some_and(|set| set.origin == Origin::Canary) {
            return "always answered negatively".to_owned();
        }
        let counting = compiled.by_set.get(usize::from(set)).copied();
        let Counting { enforced, shadow } = counting.unwrap_or(Counting { enforced: NONE, shadow: NONE });
        let by = |number: u16| {
            let found = compiled.enforcements.get(usize::from(number));
            let act = self.instrument(found.and_then(|found| found.instrument));
            match (act, self.exception(found.and_then(|found| found.exception))) {
                (_, Some(exception)) => format!(" by exception {}", exception.id),
                (Some(act), None) => format!(" under {}", act.id),
                (None, None) => String::new(),
            }
        };
        if enforced != NONE {
            return format!("counts{}", by(enforced));
        }
        if shadow != NONE {
            return format!("only rehearsed{}", by(shadow));
        }
        let mut reasons: Vec<String> = compiled
            .idle
            .iter()
            .filter(|idle| idle.set == set)
            .map(|idle| {
                let what = match (self.instrument(idle.instrument), self.exception(idle.exception)) {
                    (_, Some(exception)) => format!("exception {} ", exception.id),
                    (Some(act), None) => format!("{} ", act.id),
                    (None, None) => String::new(),
                };
                match idle.why {
                    IdleReason::Ended(at) => format!("{what}no longer in force since {at}"),
                    IdleReason::NotExtended => format!("{what}enforces it only with `extended`"),
                    IdleReason::NotYet(at) => format!("{what}not yet in force, until {at}"),
                    IdleReason::Off => format!("{what}is switched off"),
                }
            })
            .collect();
        reasons.sort();
        reasons.dedup();
        if reasons.is_empty() { "not enforced for this group".to_owned() } else { reasons.join("; ") }
    }
}

fn name_text(wire: &[u8]) -> String {
    Name::from_wire(wire).map(|name| name.to_string()).unwrap_or_default()
}

fn reach_text(reach: Reach) -> &'static str {
    match reach {
        Reach::Below => "below",
        Reach::Exact => "name",
        Reach::NameServer => "name server",
        Reach::NameServersBelow => "name servers below",
        Reach::Subtree => "name and below",
    }
}
