//! Owns the writing of a kept answer as a client's reply: fresh, or stale and failed with the extended error that says so.
//! Never decides whether it may be shown.

use super::turn::{Done, Turn};
use crate::cache::{Entry, Patch};
use crate::dns::{ExtendedError, Query, Rcode, ReplyWriter};
use crate::telemetry::Path;

impl Turn<'_> {
    /// Writes a fresh answer.
    #[inline]
    pub(super) fn show(&self, query: &Query<'_>, entry: &Entry, reply: &mut [u8]) -> Done {
        self.told.note_shown();
        let patch = Patch { now: self.now, stale: false };
        let written = entry.write(query, patch, reply).and_then(|length| {
            let Some(edns) = query.edns else { return Some(length) };
            ReplyWriter::resume(reply, length).opt_and_finish(self.payload(), edns.dnssec_ok, &[]).ok()
        });
        match written {
            Some(length) => self.finish(entry.rcode(), Path::Hit, length),
            None => self.truncated(query, reply),
        }
    }

    /// Writes a stale answer, or a failure, and why it is what the client gets.
    #[cold]
    pub(super) fn show_explained(
        &self,
        query: &Query<'_>,
        entry: &Entry,
        stale: bool,
        reply: &mut [u8],
    ) -> Done {
        self.told.note_shown();
        let code = match (stale, entry.rcode()) {
            (false, _) => entry.failure(),
            (true, Rcode::NXDOMAIN) => Some(ExtendedError::StaleNxdomain as u16),
            (true, _) => Some(ExtendedError::StaleAnswer as u16),
        };
        let option = code.map(ExtendedError::bare_option);
        let options = option.as_ref().map_or(&[][..], |option| option);
        let written = entry.write(query, Patch { now: self.now, stale }, reply).and_then(|length| {
            let Some(edns) = query.edns else { return Some(length) };
            ReplyWriter::resume(reply, length).opt_and_finish(self.payload(), edns.dnssec_ok, options).ok()
        });
        match written {
            Some(length) => self.finish(entry.rcode(), Path::Hit, length),
            None => self.truncated(query, reply),
        }
    }
}

/// True for a SERVFAIL that is kept for a moment.
pub(super) fn is_failure(entry: &Entry) -> bool {
    entry.rcode() == Rcode::SERVFAIL
}
