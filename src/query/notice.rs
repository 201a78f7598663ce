//! Owns the handing over of a NOTIFY (RFC 1996), which is no query, to whoever fetches zones. Never looks at what it says,
//! and never waits.

use std::net::IpAddr;

use tokio::sync::mpsc;

use super::request::{Asker, Outcome, Sink};
use super::turn::Turn;
use crate::telemetry::Counter;

/// A message that says that a zone has changed.
pub struct Notice {
    /// Its bytes.
    pub message: Vec<u8>,
    /// Who sent it; IPv4-mapped IPv6 addresses already turned into IPv4.
    pub from: IpAddr,
    /// Takes the response.
    pub reply: Sink,
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notice").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Turn<'_> {
    /// Hands it over; drops it when too many wait: its sender says it again (RFC 1996 section 3.6).
    pub(super) fn notice(
        &self,
        notices: &mpsc::Sender<Notice>,
        packet: &[u8],
        from: Asker,
        reply: Sink,
    ) -> Outcome {
        let notice = Notice { message: packet.to_vec(), from: from.address, reply };
        if notices.try_send(notice).is_err() {
            self.cell.bump(Counter::DropOverload);
            return Outcome::Drop;
        }
        Outcome::Later
    }
}
