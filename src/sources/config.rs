//! Owns what an operator says about one list: where it comes from, whose signature it needs, how it is read. Never reads
//! it.

use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::file::LIST_FILE;
use super::http::Proxy;
use super::signature::Key;
use super::transfer::Transfer;
use crate::dns::Name;
use crate::formats::Format;
use crate::policy::Override;
use crate::problem::Place;

/// One configured source.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unique name.
    pub name: String,
    /// Where its bytes come from.
    pub origin: Origin,
    /// Whose signature its bytes need; without one, any bytes are taken.
    pub key: Option<Key>,
    /// Largest list in bytes, packed or not. Default [`LIST_FILE`].
    pub max_bytes: u64,
    /// Its syntax.
    pub format: Format,
    /// Whether a plain name covers everything below it.
    pub subdomains: bool,
    /// Origin of a response policy zone that does not name its own.
    pub zone: Option<Name>,
    /// What is made of the actions that a response policy zone names. Default: they are left as given.
    pub overriding: Override,
    /// Whether its rules are only rehearsed, whoever enforces them: `mode = "shadow"`. Default no: a list that is configured is
    /// meant.
    pub rehearsed: bool,
    /// Malformed lines that are put up with. Default none: a partly read list is a silent hole.
    pub tolerate: u64,
    /// The app its rules are attributed to.
    pub app: Option<String>,
    /// The instrument its rules are attributed to.
    pub instrument: Option<String>,
    /// Where it is configured.
    pub place: Place,
}

/// Where a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, and the file its signature is in.
    File {
        /// The list.
        path: PathBuf,
        /// Its signature; read only when a key is configured.
        signature: PathBuf,
    },
    /// A server.
    Network(Network),
    /// The primary of a zone.
    Zone(Transfer),
}

/// A list on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Where it is.
    pub address: Address,
    /// Where its signature is; fetched only when a key is configured.
    pub signature: Address,
    /// Time between two fetches, more or less a tenth of it. Default an hour: lists are published once or a few times a
    /// day, and a ban that counts from a date comes with its date. Zero: only when an operator reloads.
    pub refresh: Duration,
    /// Time one fetch may take in all. Default a minute: a list of a million names comes in seconds, and whoever waits
    /// for a reload waits for the slowest source.
    pub timeout: Duration,
    /// The only authorities its server may be certified by. Default the system's.
    pub ca: Option<PathBuf>,
    /// The proxy that leads there. Default none, whatever the environment says: what a service does must stand in its
    /// configuration.
    pub proxy: Option<Proxy>,
}

/// Default of [`Network::refresh`].
pub const REFRESH: Duration = Duration::from_secs(3600);
/// Shortest [`Network::refresh`] but zero: two hundred hosts ask one small server.
pub const SHORTEST_REFRESH: Duration = Duration::from_secs(30);
/// Default of [`Network::timeout`].
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest [`Network::timeout`]: the command line waits five minutes for a reload, and a signature may take as long again.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);
/// What a signature's address or path adds to its list's.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

impl Config {
    /// A file's source with all defaults.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>, format: Format, place: Place) -> Self {
        let path = path.into();
        let mut signature = path.clone().into_os_string();
        signature.push(SIGNATURE_SUFFIX);
        Self {
            name: name.into(),
            origin: Origin::File { path, signature: signature.into() },
            key: None,
            max_bytes: LIST_FILE,
            format,
            subdomains: false,
            zone: None,
            overriding: Override::Given,
            rehearsed: false,
            tolerate: 0,
            app: None,
            instrument: None,
            place,
        }
    }

    /// True when its last good bytes are kept apart and it fails alone: whatever comes from a server, and whatever is
    /// signed. A plain file belongs to the operator who reloads: if it is bad, the reload is.
    pub fn is_collected(&self) -> bool {
        self.key.is_some() || matches!(self.origin, Origin::Network(_) | Origin::Zone(_))
    }

    /// Path or address, as it is shown.
    pub fn title(&self) -> String {
        match &self.origin {
            Origin::File { path, .. } => path.display().to_string(),
            Origin::Network(network) => network.address.to_string(),
            Origin::Zone(transfer) => transfer.address.to_string(),
        }
    }
}
