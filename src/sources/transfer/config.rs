//! Owns what an operator says about a zone that is transferred: its primary, its key, how often it is asked. Reads a
//! secret's file when asked; never connects.

use std::path::PathBuf;
use std::time::Duration;

use super::address::ZoneAddress;
use super::soa::Soa;
use crate::dns::Name;
use crate::dns::tsig::{Algorithm, Key};
use crate::sources::config::{REFRESH, SHORTEST_REFRESH};
use crate::sources::file::read_file;
use crate::sources::refusal::{Reason, Refusal};

/// A zone on its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Where it is.
    pub address: ZoneAddress,
    /// The key that both ends sign with. Default none: the primary tells its clients by their addresses, or by TLS.
    pub key: Option<TsigKey>,
    /// Time between two looks, more or less a tenth of it. Default what the zone's SOA record says, from half a minute to a
    /// day: its owner knows how often it changes. Zero: only when an operator reloads, or the primary says so (NOTIFY).
    pub refresh: Option<Duration>,
    /// Time one transfer may take in all. Default a minute, as for other lists.
    pub timeout: Duration,
    /// The only authorities its primary may be certified by. Default the system's.
    pub ca: Option<PathBuf>,
}

/// A key for transaction signatures, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsigKey {
    /// What both ends call it.
    pub name: Name,
    /// How its MACs are made.
    pub algorithm: Algorithm,
    /// Where its secret is.
    pub secret: Secret,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A file that holds it in base64, read anew each time, so that it can be changed without a reload.
    File(PathBuf),
    /// In the configuration.
    Given(Key),
}

/// Longest wait between two looks, whatever the SOA record says: a list whose primary cannot reach us must not stay old for
/// weeks.
const LONGEST_REFRESH: Duration = Duration::from_secs(86_400);
/// Cap for a file with a secret: the longest digest's block in base64, and line ends.
const SECRET_FILE: u64 = 4096;

impl Transfer {
    /// Time between two looks at a zone of which `soa` is known.
    pub(in crate::sources) fn refresh(&self, soa: Option<&Soa>) -> Duration {
        let says = |soa: &Soa| soa.refresh.clamp(SHORTEST_REFRESH, LONGEST_REFRESH);
        self.refresh.unwrap_or_else(|| soa.map_or(REFRESH, says))
    }

    /// Longest time between two looks while the primary does not answer well.
    pub(in crate::sources) fn retry(&self, soa: Option<&Soa>) -> Duration {
        let refresh = self.refresh(soa);
        soa.map_or(refresh, |soa| soa.retry.max(SHORTEST_REFRESH).min(refresh))
    }
}

impl TsigKey {
    /// The key with its secret.
    pub(crate) fn load(&self) -> Result<Key, Refusal> {
        let path = match &self.secret {
            Secret::Given(key) => return Ok(key.clone()),
            Secret::File(path) => path,
        };
        let refused = |what: String, hint: String| {
            let what = format!("the secret of TSIG key `{}`, {}, {what}", self.name, path.display());
            Refusal::new(Reason::Io, what, hint)
        };
        let raw = read_file(path, SECRET_FILE).map_err(|error| {
            let problem = error.problem(path);
            refused(problem.what, problem.hint)
        })?;
        let text = raw.text().map_err(|_| "not base64");
        text.and_then(|text| Key::from_base64(self.name.clone(), self.algorithm, &text)).map_err(|why| {
            let hint = "write the secret alone into it, in base64, as tsig-keygen shows it";
            refused(format!("is {why}"), hint.to_owned())
        })
    }
}
