//! Owns the refusal of answers to public names that lead inside (DNS rebinding). Says so, and is no block of an app. Never decides which
//! addresses are inside; the policy does.

use std::net::IpAddr;

use super::turn::{Done, Turn};
use crate::cache::Entry;
use crate::dns::{ExtendedError, Query, Rcode, ReplyWriter};
use crate::policy::Rebinding;
use crate::telemetry::Counter;

impl Turn<'_> {
    /// The reply instead of an answer that leads inside; `None` when it may be shown. Names with upstreams of their own may lead
    /// where these say.
    #[inline]
    pub(super) fn refuse_inside(&self, query: &Query<'_>, entry: &Entry, reply: &mut [u8]) -> Option<Done> {
        let rebinding = self.snapshot.rebinding()?;
        self.refuse_if_inside(rebinding, query, entry, reply)
    }

    /// The addresses in an answer, and those that addresses in a translator's prefix stand for.
    pub(super) fn addresses(&self, entry: &Entry) -> impl Iterator<Item = IpAddr> {
        let nat64 = self.engine.parts.config.nat64;
        entry.addresses().flat_map(move |address| {
            let meant = match (nat64, address) {
                (Some(prefix), IpAddr::V6(address)) => prefix.extract(address).map(IpAddr::from),
                _ => None,
            };
            [Some(address), meant].into_iter().flatten()
        })
    }

    #[cold]
    fn refuse_if_inside(
        &self,
        rebinding: &Rebinding,
        query: &Query<'_>,
        entry: &Entry,
        reply: &mut [u8],
    ) -> Option<Done> {
        let is_refused = rebinding.refuses(&query.name, self.addresses(entry).chain(entry.hints()))
            && !self.engine.parts.resolver.is_routed(&query.name);
        is_refused.then(|| {
            self.cell.bump(Counter::RebindingRefused);
            let written = ReplyWriter::answer(reply, query, Rcode::NOERROR).and_then(|mut writer| {
                writer.soa(query.name.label_offset(0), self.snapshot.soa())?;
                let options =
                    ExtendedError::Blocked.option("a private address in the answer to a public name");
                self.close(writer, query, Rcode::NOERROR, &options)
            });
            self.finish_or_truncate(written, Rcode::NOERROR, query, reply)
        })
    }
}
