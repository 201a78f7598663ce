//! Owns what is decided of a connection, by the name that its client says and the address it goes to: what a question for that name would
//! get with that address in its answer, and beside it what the networks of banned apps say, which no answer is held against. Never
//! reads a connection.

use std::net::IpAddr;

use super::client::Client;
use super::snapshot::{Counting, NONE, Origin, Snapshot};
use super::verdict::{Cause, Trigger, Verdict};
use crate::dns::{CanonicalName, RecordType};

impl Snapshot {
    /// Decides a connection, so that whoever asked and whoever did not are treated the same. What an exception or a passthru rule lets a
    /// name do, it does in a banned app's network too.
    pub fn decide_connection(
        &self,
        client: Client,
        name: Option<&CanonicalName>,
        address: Option<IpAddr>,
    ) -> Verdict {
        let verdict = self.decide_inquiry(client, name, RecordType::A, address);
        match (verdict, address) {
            (Verdict::Allow, Some(address)) => self.decide_network(client.group, address),
            (Verdict::Shadow(_), Some(address)) => match self.decide_network(client.group, address) {
                found @ Verdict::Deny(_) => found,
                _ => verdict,
            },
            _ => verdict,
        }
    }

    /// What the networks of apps say of an address: of those that hold it the one whose app stands first in the group's order, and what
    /// is enforced before what is rehearsed. They are some hundreds, looked at one by one.
    pub fn decide_network(&self, group: u16, address: IpAddr) -> Verdict {
        let Some(compiled) = self.groups.get(usize::from(group)) else { return Verdict::Allow };
        let holding = (0..).zip(&self.sets).zip(&*compiled.by_set).filter(|((_, set), counting)| {
            let Origin::App(tier) = set.origin else { return false };
            let counts = counting.enforced != NONE || counting.shadow != NONE;
            let app = self.app(set.app).filter(|_| counts);
            app.is_some_and(|app| {
                let mut own = app.networks.iter().filter(|network| network.tier == tier);
                own.any(|network| network.prefix.is_some_and(|prefix| prefix.holds(address)))
                    && !self.frees(group, &app.id)
            })
        });
        let first = |by: fn(&Counting) -> u16| {
            let held = holding.clone().map(|((set, _), counting)| (by(counting), set));
            let (enforcement, set) = held.filter(|(enforcement, _)| *enforcement != NONE).min()?;
            self.cause_of_network(group, set, enforcement)
        };
        match (first(|counting| counting.enforced), first(|counting| counting.shadow)) {
            (Some(cause), _) => Verdict::Deny(cause),
            (None, Some(cause)) => Verdict::Shadow(cause),
            (None, None) => Verdict::Allow,
        }
    }

    /// What holds connections of a group to the networks of a set; `None` for an app without a name.
    pub(super) fn cause_of_network(&self, group: u16, set: u16, enforcement: u16) -> Option<Cause> {
        let kind = self.kinds.iter().position(|kind| kind.set == set)? as u32;
        let (rule, trigger, depth, exact) = (u32::MAX, Trigger::Egress, 0, true);
        Some(Cause { rule, kind, group, enforcement, trigger, depth, exact })
    }
}
