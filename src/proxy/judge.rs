//! Owns the question to the policy about one connection, and the record of its answer: counted and logged as questions are. Never touches the
//! connection.

use std::net::IpAddr;

use super::metrics::Statistics;
use super::peek::Host;
use crate::clock::Clock;
use crate::dns::{CanonicalName, Nat64, RecordType};
use crate::policy::{
    Action, Cause, Client, Credentials, Description, Identities, Identity, IdentityNumber, Live, Snapshot,
    Trigger, Verdict, reverse_name,
};
use crate::telemetry::{Decision, Inbox, Record, Reference};

/// Asks the policy in force.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) live: Live,
    /// Those that clients of this process have had.
    pub(super) identities: Identities,
    pub(super) clock: Clock,
    /// The prefix of addresses that stand for others, when there is one: a banned address has a second one there.
    pub(super) nat64: Option<Nat64>,
    /// The query log's queue, when there is a log.
    pub(super) inbox: Option<Inbox>,
    /// Whether connections that met no rule are logged too.
    pub(super) log_all: bool,
}

/// What a connection may do.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Go where it wants.
    Pass,
    /// Go where this resolver sends the name, and nowhere else.
    PassWhereSent,
    /// Nothing.
    Deny(Box<Denial>),
}

/// Why a connection is denied, for whoever is told.
#[derive(Debug)]
pub(super) struct Denial {
    /// The rule, the app and the act, in words; empty for a client that may not use this proxy.
    pub(super) words: Description,
    /// What finds this in the log, where it is told of.
    pub(super) reference: Option<Reference>,
    /// Whom to ask, as the policy says.
    pub(super) contact: String,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub address: IpAddr,
    /// Who it is beside that.
    pub identity: IdentityNumber,
}

impl Caller {
    /// Somebody known by nothing but its address.
    pub(super) fn at(address: IpAddr) -> Self {
        Self { address, identity: IdentityNumber::NONE }
    }
}

/// A connection as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'w> {
    pub(super) caller: Caller,
    pub(super) host: Option<&'w Host>,
    /// Where it goes; `None` when that is not known yet.
    pub(super) address: Option<IpAddr>,
}

impl Judge {
    /// Decides, counts and logs.
    pub(super) fn judge(&self, wanted: Wanted<'_>, statistics: &Statistics) -> Judgement {
        self.decide(wanted, Some(statistics), true)
    }

    /// Decides; counts and logs a denial only, as more is to be decided later.
    pub(super) fn foresee(&self, wanted: Wanted<'_>, statistics: &Statistics) -> Judgement {
        self.decide(wanted, Some(statistics), false)
    }

    /// Why it would be denied, if it would; counts and logs nothing.
    pub(super) fn look(&self, wanted: Wanted<'_>) -> Option<Box<Denial>> {
        match self.decide(wanted, None, false) {
            Judgement::Deny(denial) => Some(denial),
            Judgement::Pass | Judgement::PassWhereSent => None,
        }
    }

    /// Who somebody at `address` is that has shown `credentials`.
    pub(super) fn identify(&self, address: IpAddr, credentials: &Credentials) -> Caller {
        let identity = self.live.load().identify(credentials, None, &self.identities);
        Caller { address, identity }
    }

    /// The name of a caller's group.
    pub(super) fn group(&self, snapshot: &Snapshot, caller: Caller) -> String {
        snapshot.group_name(self.client(snapshot, caller).group).to_owned()
    }

    fn client(&self, snapshot: &Snapshot, caller: Caller) -> Client {
        let known = |identity: &Identity| snapshot.client_known_as(identity, caller.address);
        let client = self.identities.with(caller.identity, known);
        client.unwrap_or_else(|| snapshot.client(caller.address))
    }

    fn decide(&self, wanted: Wanted<'_>, statistics: Option<&Statistics>, is_final: bool) -> Judgement {
        let snapshot = self.live.load();
        let client = self.client(&snapshot, wanted.caller);
        let denial = |words, reference| {
            let contact = snapshot.config().contact.clone();
            Judgement::Deny(Box::new(Denial { words, reference, contact }))
        };
        if !client.admitted {
            return denial(Description::default(), None);
        }
        let (name, address) = match wanted.host {
            Some(Host::Name(name)) => (Some(&**name), wanted.address),
            Some(Host::Address(said)) => (None, wanted.address.or(Some(*said))),
            None => (None, wanted.address),
        };
        let (verdict, cause) = self.verdict(&snapshot, client, name, address);
        let decision = match verdict {
            Judged::Deny => Decision::Blocked,
            _ if !is_final => {
                return if verdict == Judged::Sent { Judgement::PassWhereSent } else { Judgement::Pass };
            }
            Judged::Shadow => Decision::Shadow,
            Judged::Pass if cause.is_some() => Decision::Permitted,
            Judged::Pass | Judged::Sent => Decision::Allowed,
        };
        if let (Some(cause), Some(statistics)) = (&cause, statistics)
            && matches!(verdict, Judged::Deny | Judged::Shadow)
        {
            statistics.cell.bump_cause(snapshot.label_number(cause));
        }
        if statistics.is_some() && (decision != Decision::Allowed || self.log_all) {
            self.log(&snapshot, wanted.caller, (name, address), decision, cause);
        }
        match verdict {
            Judged::Deny => {
                let logged = logged_name(name, address);
                let reference = Reference::of(snapshot.generation(), self.clock.wall(), &logged);
                denial(cause.map(|cause| snapshot.describe(&cause)).unwrap_or_default(), Some(reference))
            }
            Judged::Sent => Judgement::PassWhereSent,
            Judged::Pass | Judged::Shadow => Judgement::Pass,
        }
    }

    fn verdict(
        &self,
        snapshot: &Snapshot,
        client: Client,
        name: Option<&CanonicalName>,
        address: Option<IpAddr>,
    ) -> (Judged, Option<Cause>) {
        let meant = match (self.nat64, address) {
            (Some(prefix), Some(IpAddr::V6(address))) => prefix.extract(address).map(IpAddr::V4),
            _ => None,
        };
        let verdict = match snapshot.decide_connection(client, name, address) {
            Verdict::Allow if meant.is_some() => snapshot.decide_connection(client, name, meant),
            verdict => verdict,
        };
        match verdict {
            Verdict::Allow => (Judged::Pass, None),
            // A name by which devices leave this resolver: nobody gets there.
            Verdict::Canary { .. } => (Judged::Deny, None),
            Verdict::Permit(cause) => (Judged::Pass, Some(cause)),
            Verdict::Shadow(cause) => (Judged::Shadow, Some(cause)),
            // A banned app's own network: nothing of its answers matters.
            Verdict::Deny(cause) if cause.trigger == Trigger::Egress => (Judged::Deny, Some(cause)),
            Verdict::Deny(cause) => match snapshot.action(&cause) {
                // These are no bans: the name works, where this resolver says.
                Action::Local(_) | Action::Redirect(_) if name.is_some() => (Judged::Sent, Some(cause)),
                Action::TcpOnly => (Judged::Pass, None),
                _ => (Judged::Deny, Some(cause)),
            },
        }
    }

    fn log(
        &self,
        snapshot: &Snapshot,
        caller: Caller,
        (name, address): (Option<&CanonicalName>, Option<IpAddr>),
        decision: Decision,
        cause: Option<Cause>,
    ) {
        let Some(inbox) = &self.inbox else { return };
        let record_type = match (name, address) {
            (None, _) => RecordType::PTR,
            (Some(_), Some(IpAddr::V6(_))) => RecordType::AAAA,
            (Some(_), _) => RecordType::A,
        };
        let name = logged_name(name, address);
        inbox.push(Record {
            time_ms: self.clock.wall().as_millisecond(),
            client: caller.address,
            identity: caller.identity,
            transport: "proxy",
            name: &name,
            record_type,
            decision,
            cause,
            generation: snapshot.generation(),
            took_us: None,
            reply: None,
        });
    }
}

/// What a connection is told of by: without a name, by the one that stands for its address.
fn logged_name(name: Option<&CanonicalName>, address: Option<IpAddr>) -> CanonicalName {
    let reverse = || address.and_then(reverse_name).map(|name| CanonicalName::from(&name));
    name.cloned().or_else(reverse).unwrap_or_else(CanonicalName::root)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Deny,
    Pass,
    Sent,
    Shadow,
}
