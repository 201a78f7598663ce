//! Owns a version of the zone with the differences that lead to it, as the servers see it. Never computes one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::content::Content;
use super::difference::Difference;
use super::fingerprint::Fingerprint;
use crate::dns::{Name, is_newer_serial};

/// What an SOA record says that differs from version to version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) serial: u32,
    /// Its TTL, in seconds, which is also MINIMUM.
    pub(super) ttl: u32,
}

/// The step from one version to the next.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) from: Head,
    pub(super) to: Head,
    pub(super) difference: Difference,
}

/// One version.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) head: Head,
    pub(super) content: Arc<Content>,
    pub(super) fingerprint: Fingerprint,
    /// Oldest first; each begins where the one before ends.
    pub(super) history: VecDeque<Arc<Step>>,
}

/// Most bytes that all differences take together, and so the largest one: what a million names that come take, less than the
/// policy itself. A secondary that would need more fetches the zone.
pub(super) const HISTORY_BYTES: usize = 64 << 20;

/// What the zone says of its own servers: it is served by address, to secondaries that are told where. The customary name.
const SERVER: &[u8] = b"\x09localhost\0";
const CONTACT: &[u8] = b"\x07contact\x09interdict\x07invalid\0";
/// Seconds after which a secondary asks whether it missed a NOTIFY: one small question in five minutes.
const REFRESH: u32 = 300;
/// Seconds after which it asks again when nobody answered.
const RETRY: u32 = 60;
/// Seconds after which it gives the zone up: two weeks (RFC 1912 2.2). A ban does not lapse because its publisher is down.
const EXPIRE: u32 = 1_209_600;

impl Head {
    /// RDATA of the SOA record.
    pub(super) fn rdata(self) -> Vec<u8> {
        let mut rdata = [SERVER, CONTACT].concat();
        for field in [self.serial, REFRESH, RETRY, EXPIRE, self.ttl] {
            rdata.extend_from_slice(&field.to_be_bytes());
        }
        rdata
    }
}

/// RDATA of the NS record.
pub(super) fn name_server() -> &'static [u8] {
    SERVER
}

impl Version {
    /// The steps from the version of that serial to this one; `None` when they are no longer known. None at all when it is
    /// this one, or greater.
    pub(super) fn steps_from(&self, serial: u32) -> Option<Vec<Arc<Step>>> {
        if !is_newer_serial(self.head.serial, serial) {
            return Some(Vec::new());
        }
        let start = self.history.iter().position(|step| step.from.serial == serial)?;
        Some(self.history.iter().skip(start).map(Arc::clone).collect())
    }

    /// Bytes that the differences take.
    pub(super) fn history_bytes(&self) -> usize {
        self.history.iter().map(|step| step.difference.bytes()).sum()
    }

    /// The history that the next version has; `None` for the difference when it was too large to keep.
    pub(super) fn extended(
        &self,
        to: Head,
        difference: Option<Difference>,
        most: usize,
    ) -> VecDeque<Arc<Step>> {
        let Some(difference) = difference else { return VecDeque::new() };
        let mut history = self.history.clone();
        history.push_back(Arc::new(Step { from: self.head, to, difference }));
        let mut bytes: usize = history.iter().map(|step| step.difference.bytes()).sum();
        while history.len() > most || bytes > HISTORY_BYTES {
            let Some(oldest) = history.pop_front() else { break };
            bytes -= oldest.difference.bytes();
        }
        history
    }
}

/// The zone's name for people, with its final dot.
pub(super) fn title(name: &Name) -> String {
    if name.label_count() == 0 { ".".to_owned() } else { format!("{name}.") }
}
