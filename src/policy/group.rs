//! Owns what an operator says about policy: groups and what each enforces, exceptions, sources' rules, and the
//! settings every blocked answer shares. Plain values with their defaults; never decides anything.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::address::AddressRule;
use super::client::Prefix;
use super::identity::Identity;
use super::instrument::{When, words};
use super::local::LocalNames;
use super::outbound::{Destination, Ech, Outbound};
use super::private::Rebinding;
use super::rule::{Action, Rule};
use super::rulebook::{Rulebook, Source};
use crate::dns::Name;
use crate::problem::Place;

/// Everything a policy is compiled from.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The rules of the catalog and of the operator's own lists.
    pub book: Arc<Rulebook>,
    /// The operator's settings.
    pub config: Config,
    /// Where each list is configured, in the order of the rulebook.
    pub places: Vec<Place>,
}

/// The operator's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a blocked query gets unless its rule or group says otherwise. Default `nxdomain`: it needs no address,
    /// works for every type, and every client understands it.
    pub action: Action,
    /// TTL and negative TTL of blocked answers, in seconds. Default 60: an unban reaches clients within a minute.
    pub ttl: u32,
    /// Address for A with the action `sinkhole`. Default 0.0.0.0: refused at once by every operating system.
    pub sinkhole_ipv4: Ipv4Addr,
    /// Address for AAAA with the action `sinkhole`. Default `::`, for the same reason.
    pub sinkhole_ipv6: Ipv6Addr,
    /// Whom a user may ask, shown in extended errors. Default: nobody.
    pub contact: String,
    /// Zone in which a day in an exception begins. Default UTC, so that a fleet over several zones agrees.
    pub time_zone: TimeZone,
    /// Whether a DS question at a listed name is blocked too, although it belongs to the parent zone. Default yes: the
    /// blocked answer is unsigned anyway, and clients that validate get one consistent story.
    pub block_ds: bool,
    /// Who may ask. Default: loopback, private and link-local networks; never an open resolver.
    pub allow: Vec<Prefix>,
    /// What everybody else gets. Default `refused`; `drop` where the resolver can be reached from the Internet.
    pub otherwise: Otherwise,
    /// Groups, in the order of the configuration.
    pub groups: Vec<Group>,
    /// Exceptions, in the order of the configuration.
    pub exceptions: Vec<Exception>,
    /// The operator's own records.
    pub local: Arc<LocalNames>,
    /// Which answers to public names may not lead inside.
    pub rebinding: Rebinding,
}

/// Clients that are treated alike.
#[derive(Clone, Debug)]
pub struct Group {
    /// Unique name.
    pub name: String,
    /// Who belongs to it; the longest prefix over all groups decides.
    pub clients: Vec<Prefix>,
    /// Who belongs to it wherever they are; goes before the address.
    pub identities: Vec<Identity>,
    /// What is enforced, first match wins. `None`: what the catalog enforces by default.
    pub enforce: Option<Vec<Enforce>>,
    /// The most that any entry of the group does.
    pub mode: Mode,
    /// Whether the apps' shared names are enforced too.
    pub extended: bool,
    /// What a blocked query gets unless its rule says otherwise.
    pub action: Option<Action>,
    /// Where its clients may connect to. Default anywhere: a packet filter must be there to hold them.
    pub outbound: Outbound,
    /// What they may always reach.
    pub reach: Vec<Destination>,
    /// What becomes of keys for an encrypted ClientHello in its answers. Default they stay: a validating client notices that they are gone.
    pub ech: Ech,
    /// Where it is written.
    pub place: Place,
}

/// One entry of what a group enforces.
#[derive(Clone, Debug)]
pub struct Enforce {
    /// Id of an instrument or app, or name of a source.
    pub id: String,
    /// The most that this entry does.
    pub mode: Mode,
    /// Whether the shared names of its apps are enforced too.
    pub extended: bool,
    /// Where it is written.
    pub place: Place,
}

/// Leave for some clients to use what is banned.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Unique id, as logs and reports name it.
    pub id: String,
    /// The group it is for; `None` for all.
    pub group: Option<String>,
    /// Apps it frees.
    pub apps: Vec<String>,
    /// Names it frees, with everything below them.
    pub names: Vec<Name>,
    /// The first moment it holds; `None` for always.
    pub from: Option<When>,
    /// The first moment it no longer holds.
    pub until: When,
    /// Whether it was made in an emergency: one approval is enough, and it lives briefly.
    pub break_glass: bool,
    /// Who granted it.
    pub approved_by: String,
    /// Why.
    pub reason: String,
    /// Where it is written.
    pub place: Place,
}

/// The parsed rules of one source.
#[derive(Clone, Debug)]
pub struct SourceRules {
    /// Unique name.
    pub name: String,
    /// The app its rules are attributed to.
    pub app: Option<String>,
    /// The instrument its rules are attributed to.
    pub instrument: Option<String>,
    /// The file it was read from, for rule locations.
    pub file: String,
    /// The rules.
    pub rules: Vec<Rule>,
    /// The rules about addresses.
    pub addresses: Vec<AddressRule>,
    /// Whether its rules are only rehearsed, whoever enforces them.
    pub disabled: bool,
}

words! {
    /// What an entry does with a query that meets it.
    Mode {
        /// Blocks.
        Enforce = "enforce",
        /// Nothing.
        Off = "off",
        /// Counts and logs, and answers as if it were allowed: how a ban is rehearsed.
        Shadow = "shadow",
    }
}

words! {
    /// What a client that may not ask gets.
    Otherwise {
        /// No reply.
        Drop = "drop",
        /// RCODE 5.
        Refused = "refused",
    }
}

impl Draft {
    /// The lists, without their rules, and where each is configured.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&Source, &Place)> {
        self.book.sources.iter().zip(&self.places)
    }
}

impl Mode {
    /// The weaker of two modes.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Off, _) | (_, Self::Off) => Self::Off,
            (Self::Shadow, _) | (_, Self::Shadow) => Self::Shadow,
            (Self::Enforce, Self::Enforce) => Self::Enforce,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            action: Action::Nxdomain,
            ttl: 60,
            sinkhole_ipv4: Ipv4Addr::UNSPECIFIED,
            sinkhole_ipv6: Ipv6Addr::UNSPECIFIED,
            contact: String::new(),
            time_zone: TimeZone::UTC,
            block_ds: true,
            allow: PRIVATE.iter().filter_map(|text| text.parse().ok()).collect(),
            otherwise: Otherwise::Refused,
            groups: Vec::new(),
            exceptions: Vec::new(),
            local: Arc::default(),
            rebinding: Rebinding::default(),
        }
    }
}

/// Loopback, private (RFC 1918, RFC 4193, RFC 6598) and link-local networks.
const PRIVATE: [&str; 9] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_never_an_open_resolver() {
        assert_eq!(Config::default().allow.len(), PRIVATE.len());
    }

    #[test]
    fn the_weaker_mode_wins() {
        assert_eq!(Mode::Enforce.and(Mode::Shadow), Mode::Shadow);
        assert_eq!(Mode::Shadow.and(Mode::Off), Mode::Off);
        assert_eq!("enforce".parse(), Ok(Mode::Enforce));
    }
}
