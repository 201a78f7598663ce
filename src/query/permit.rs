//! Owns the step between a finished reply and its way out for clients that are held to what they were answered: it waits until the packet filter
//! lets its client reach what it leads to. Never looks at a reply for anybody else.

use super::engine::Engine;
use super::request::{Asker, Outcome, Sink};
use super::turn::Turn;
use crate::dns::{ExtendedError, Query, Rcode, ReplyWriter};
use crate::egress::HeldReply;
use crate::policy::{Outbound, Snapshot};

/// Room for a question, an OPT record and a short text.
const REFUSAL: usize = 512;
/// What a person reads who looks why an answer failed.
const TEXT: &str = "the gateway has no room to let this client reach the address";

impl Engine {
    /// True when some client is held to what it was answered.
    pub(super) fn guards(&self, snapshot: &Snapshot) -> bool {
        self.parts.permits.is_some() && snapshot.guards()
    }
}

impl Turn<'_> {
    /// Has a reply wait when its client may not reach yet what it leads to; `None` when it may go out at once. `later` makes the sink.
    #[cold]
    pub(super) fn hold(
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
