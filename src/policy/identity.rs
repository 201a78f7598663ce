//! Owns who a client is beside its address: the name on its certificate, the path or the server name it asks at; and which group that
//! makes it belong to. Never checks a certificate: what is handed in was checked.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use super::client::{Client, ClientTable};
use super::instrument::words;
use super::snapshot::Snapshot;

words! {
    /// What a client is known by.
    IdentityKind {
        /// A name on its certificate, which an authority of the operator's vouches for.
        Certificate = "certificate",
        /// The path of the URI that it asks at.
        Path = "path",
        /// The server's name that it asks for (SNI, RFC 6066 section 3).
        ServerName = "server-name",
        /// The name of somebody whose password was shown to the proxy.
        User = "user",
    }
}

/// One way in which a client is known; in a group's list, the text of a certificate or server name may begin with `*.`, which stands for
/// one label or more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// What kind it is.
    pub kind: IdentityKind,
    /// The name or path.
    pub text: String,
}

/// What a client shows over a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Names on its certificate, the most telling first; empty without one.
    pub certificate: Vec<String>,
    /// The server's name it asks for, in lower case.
    pub server_name: Option<String>,
    /// The name of a user whose password it showed.
    pub user: Option<String>,
}

/// Stands for an identity in queries; the default is a client known by nothing but its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdentityNumber(u32);

/// The identities that clients of this process have had, each with a number for good. Only what a policy names, or an authority of the
/// operator's vouches for, gets one: nobody else can make it grow.
#[derive(Clone, Debug, Default)]
pub struct Identities(Arc<RwLock<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    by_identity: HashMap<Identity, u32>,
    identities: Vec<Identity>,
}

/// Who belongs to which group by identity.
#[derive(Clone, Debug, Default)]
pub(super) struct IdentityTable {
    groups: HashMap<Identity, u16>,
    /// Suffixes behind `*`, longest first.
    wildcards: Vec<(IdentityKind, String, u16)>,
    /// For each group that anybody belongs to so, what its clients' addresses mean.
    pub(super) clients: BTreeMap<u16, ClientTable>,
}

impl Identity {
    /// A name on a certificate.
    pub fn certificate(text: impl Into<String>) -> Self {
        Self { kind: IdentityKind::Certificate, text: text.into() }
    }

    /// A path.
    pub fn path(text: impl Into<String>) -> Self {
        Self { kind: IdentityKind::Path, text: text.into() }
    }

    /// A user's name.
    pub fn user(text: impl Into<String>) -> Self {
        Self { kind: IdentityKind::User, text: text.into() }
    }

    /// A server's name.
    pub fn server_name(text: impl Into<String>) -> Self {
        Self { kind: IdentityKind::ServerName, text: text.into() }
    }
}

impl FromStr for Identity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, text) = text.split_once(':').ok_or("not a kind and a name, such as certificate:NAME")?;
        let kind = kind
            .parse()
            .map_err(|_| "use one of certificate, path, server-name, user in front of the colon")?;
        Ok(Self { kind, text: text.to_owned() })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.text)
    }
}

impl IdentityNumber {
    /// A client known by nothing but its address.
    pub const NONE: Self = Self(0);

    /// True for a client known by nothing but its address.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl Identities {
    /// How many are told apart: four times the devices of a large ministry. The next ones are known by what the policy calls them, or by
    /// their address.
    pub const CAPACITY: usize = 1 << 18;

    /// The number of an identity; `None` when there is no room.
    pub fn number(&self, identity: &Identity) -> Option<IdentityNumber> {
        if let Some(&number) = self.0.read().unwrap_or_else(PoisonError::into_inner).by_identity.get(identity)
        {
            return Some(IdentityNumber(number));
        }
        let mut numbers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.by_identity.get(identity) {
            return Some(IdentityNumber(number));
        }
        if numbers.identities.len() >= Self::CAPACITY {
            return None;
        }
        numbers.identities.push(identity.clone());
        let number = numbers.identities.len() as u32;
        numbers.by_identity.insert(identity.clone(), number);
        Some(IdentityNumber(number))
    }

    /// What `read` makes of the identity that has a number; `None` for a client without.
    pub fn with<T>(&self, number: IdentityNumber, read: impl FnOnce(&Identity) -> T) -> Option<T> {
        let index = (number.0 as usize).checked_sub(1)?;
        let numbers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        numbers.identities.get(index).map(read)
    }
}

impl IdentityTable {
    /// `identities` with their groups; `clients` makes the table of addresses of a group.
    pub(super) fn new<'i>(
        identities: impl Iterator<Item = (&'i Identity, u16)>,
        clients: impl Fn(u16) -> ClientTable,
    ) -> Self {
        let mut table = Self::default();
        for (identity, group) in identities {
            if let Some(suffix) = identity.text.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
                table.wildcards.push((identity.kind, suffix.to_owned(), group));
            }
            // The pattern itself too: it stands for those that find no number of their own.
            table.groups.insert(identity.clone(), group);
            table.clients.entry(group).or_insert_with(|| clients(group));
        }
        table.wildcards.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.cmp(b)));
        table
    }

    /// The group of an identity, and the pattern behind `*` that it met.
    fn find(&self, identity: &Identity) -> Option<(u16, Option<&str>)> {
        if let Some(&group) = self.groups.get(identity) {
            return Some((group, None));
        }
        let Identity { kind, text } = identity;
        let met = |(of, suffix, _): &&(IdentityKind, String, u16)| {
            of == kind && text.len() > suffix.len() && text.ends_with(suffix.as_str())
        };
        self.wildcards.iter().find(met).map(|(_, suffix, group)| (*group, Some(suffix.as_str())))
    }

    /// All identities and their groups, in a fixed order.
    pub(super) fn listed(&self) -> Vec<(&Identity, u16)> {
        let mut all: Vec<_> = self.groups.iter().map(|(identity, group)| (identity, *group)).collect();
        all.sort_unstable();
        all
    }
}

impl Snapshot {
    /// The number under which a client with these credentials, who asks at `path`, is known: by its certificate first, then as a user, then by its
    /// path, then the server's name. A name that no group has makes a client no other than its address does; its certificate, or the user, is still told
    /// in the log.
    pub fn identify(
        &self,
        credentials: &Credentials,
        path: Option<&str>,
        known: &Identities,
    ) -> IdentityNumber {
        let Credentials { certificate, server_name, user } = credentials;
        if self.identified.groups.is_empty() && certificate.is_empty() && user.is_none() {
            return IdentityNumber::NONE;
        }
        let shown = certificate.iter().map(Identity::certificate).chain(user.iter().map(Identity::user));
        let shown =
            shown.chain(path.map(Identity::path)).chain(server_name.iter().map(Identity::server_name));
        for identity in shown {
            let Some((_, suffix)) = self.identified.find(&identity) else { continue };
            let whole = suffix.map(|suffix| Identity { kind: identity.kind, text: format!("*{suffix}") });
            // Whoever connects chooses the server's name; authorities choose what is on certificates.
            let told = identity.kind == IdentityKind::Certificate;
            let number = match &whole {
                Some(pattern) if !told => known.number(pattern),
                Some(pattern) => known.number(&identity).or_else(|| known.number(pattern)),
                None => known.number(&identity),
            };
            return number.unwrap_or_default();
        }
        let first = certificate.first().map(Identity::certificate);
        let first = first.or_else(|| user.as_ref().map(Identity::user));
        first.and_then(|identity| known.number(&identity)).unwrap_or_default()
    }

    /// True when some group has this identity.
    pub fn knows(&self, identity: &Identity) -> bool {
        self.identified.find(identity).is_some()
    }

    /// Who a client with this identity is to this policy. Who shows a certificate may ask from anywhere.
    pub fn client_known_as(&self, identity: &Identity, address: IpAddr) -> Client {
        let found = self.identified.find(identity).and_then(|(group, _)| self.identified.clients.get(&group));
        let client = found.unwrap_or(&self.clients).find(address);
        Client { admitted: client.admitted || identity.kind == IdentityKind::Certificate, ..client }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(listed: &[(&str, u16)]) -> IdentityTable {
        let listed: Vec<(Identity, u16)> =
            listed.iter().map(|(text, group)| (text.parse().unwrap(), *group)).collect();
        IdentityTable::new(listed.iter().map(|(identity, group)| (identity, *group)), |group| {
            ClientTable::new(&[], &[], group)
        })
    }

    #[test]
    fn a_name_of_its_own_goes_before_a_wildcard_and_the_longer_wildcard_first() {
        let table = table(&[
            ("server-name:*.dns.example", 1),
            ("server-name:*.mobile.dns.example", 2),
            ("server-name:lab.mobile.dns.example", 3),
            ("certificate:*.dns.example", 4),
            ("path:/dns-query/kiosk", 5),
        ]);
        let group = |text: &str| table.find(&text.parse().unwrap()).map(|(group, _)| group);
        assert_eq!(group("server-name:a.dns.example"), Some(1));
        assert_eq!(group("server-name:a.b.dns.example"), Some(1));
        assert_eq!(group("server-name:a.mobile.dns.example"), Some(2));
        assert_eq!(group("server-name:lab.mobile.dns.example"), Some(3));
        assert_eq!(group("certificate:a.dns.example"), Some(4));
        assert_eq!(group("server-name:dns.example"), None, "a star stands for one label at least");
        assert_eq!(group("server-name:adns.example"), None);
        assert_eq!(group("path:/dns-query/kiosk"), Some(5));
        assert_eq!(group("path:/dns-query"), None);
        assert_eq!(table.clients.len(), 5);
    }

    #[test]
    fn identities_keep_their_numbers() {
        let known = Identities::default();
        let (one, two) = (Identity::certificate("one"), Identity::path("one"));
        let first = known.number(&one).unwrap();
        assert_ne!(first, known.number(&two).unwrap());
        assert_eq!(known.number(&one), Some(first));
        assert_eq!(known.with(first, Identity::to_string).as_deref(), Some("certificate:one"));
        assert_eq!(known.with(IdentityNumber::default(), Identity::to_string), None);
        assert!(IdentityNumber::default().is_none() && !first.is_none());
    }
}
