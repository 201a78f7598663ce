//! Owns the step between a finished reply and its way out for the groups that ask for one: keys for an encrypted ClientHello are taken out, and what
//! is for clients that are held to what they were answered waits until the packet filter lets them reach it. Never looks at a reply for
//! anybody else.

use super::request::{Asker, Outcome, Sink};
use super::turn::{Done, Turn};
use crate::dns::{ExtendedError, Query, Rcode, RecordType, ReplyWriter, without_ech};
use crate::egress::HeldReply;
use crate::policy::{Ech, Outbound};
use crate::telemetry::Counter;

/// Room for a question, an OPT record and a short text.
const REFUSAL: usize = 512;
/// What a person reads who looks why an answer failed.
const TEXT: &str = "the gateway has no room to let this client reach the address";

impl Turn<'_> {
    /// Sees to a finished reply in its buffer. `later` makes the sink when it must wait.
    #[cold]
    pub(super) fn attend(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        done: Done,
        reply: &mut [u8],
        later: impl FnOnce() -> Sink,
    ) -> Done {
        let done = self.without_ech(query, group, done, reply);
        let Some(reply) = done.outcome.of(reply) else { return done };
        let held = self.hold(query, from, group, reply, || self.told_when_sent(query, from, later()));
        held.map_or(done, |outcome| Done { outcome, ..done })
    }

    /// The reply without keys for an encrypted ClientHello, for a group whose answers have none.
    fn without_ech(&self, query: &Query<'_>, group: u16, done: Done, reply: &mut [u8]) -> Done {
        let has_services = matches!(query.record_type, RecordType::SVCB | RecordType::HTTPS);
        if !has_services || self.snapshot.ech(group) == Ech::Keep {
            return done;
        }
        let stripped = match done.outcome.of(reply).map(without_ech) {
            Some(Ok(Some(stripped))) => stripped,
            Some(Ok(None)) | None => return done,
            // Better no answer than one with keys.
            Some(Err(_)) => return self.plain(query, Rcode::SERVFAIL, reply),
        };
        self.cell.bump(Counter::EchStripped);
        match reply.get_mut(..stripped.len()) {
            Some(room) => {
                room.copy_from_slice(&stripped);
                Done { outcome: Outcome::Reply(stripped.len()), ..done }
            }
            // Names that are written out may need more than the keys did.
            None => self.truncated(query, reply),
        }
    }

    /// Has a reply wait when its client may not reach yet what it leads to; `None` when it may go out at once. `later` makes the sink.
    fn hold(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        reply: &[u8],
        later: impl FnOnce() -> Sink,
    ) -> Option<Outcome> {
        let permits = self.engine.parts.permits.as_ref()?;
        // The packet filter knows nobody by more than an address.
        let group = if from.identity.is_none() { group } else { self.snapshot.client(from.address).group };
        let outbound = self.snapshot.outbound(group);
        if outbound == Outbound::Off {
            return None;
        }
        let lacking = permits.lacking(from.address, reply, self.now)?;
        // What is only rehearsed fails for nobody.
        let may_fail = outbound == Outbound::ResolvedOnly && permits.may_fail();
        let refusal = if may_fail { self.refusal(query) } else { Box::default() };
        permits.hold(lacking, HeldReply { reply: reply.into(), refusal, since: self.now, send: later() });
        Some(Outcome::Later)
    }

    /// The reply that goes out instead of one that cannot be permitted.
    fn refusal(&self, query: &Query<'_>) -> Box<[u8]> {
        let mut buffer = [0; REFUSAL];
        let options = ExtendedError::Other.option(TEXT);
        let written = ReplyWriter::answer(&mut buffer, query, Rcode::SERVFAIL)
            .and_then(|writer| self.close(writer, query, Rcode::SERVFAIL, &options));
        buffer.get(..written.unwrap_or(0)).unwrap_or(&[]).into()
    }
}
