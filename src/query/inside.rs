//! Owns the refusal of answers to public names that lead inside (DNS rebinding). Says so, and is no block of an app. Never decides which
//! addresses are inside; the policy does.

use std::net::IpAddr;

use super::turn::{Done, Turn};
use crate::cache::Entry;
use crate::dns::{CanonicalName, ExtendedError, Name, Query, Rcode, ReplyWriter};
use crate::policy::Rebinding;
use crate::telemetry::{Counter, Decision};

impl Turn<'_> {
    /// The reply instead of an answer that leads inside; `None` when it may be shown. Names with upstreams of their own may lead
    /// where these say. `target` is the name that an alias of this resolver's own leads to, and whose answer it is.
    #[inline]
    pub(super) fn refuse_inside(
        &self,
        query: &Query<'_>,
        target: Option<&Name>,
        entry: &Entry,
        reply: &mut [u8],
    ) -> Option<Done> {
        let rebinding = self.snapshot.rebinding()?;
        self.refuse_if_inside(rebinding, query, target, entry, reply)
    }

    /// The addresses in an answer, and those that addresses in a translator's prefix stand for.
    pub(super) fn addresses(&self, entry: &Entry) -> impl Iterator<Item = IpAddr> {
        let meant = self.meant();
        entry.addresses().flat_map(move |address| [Some(address), meant(address)].into_iter().flatten())
    }

    /// The address that one in a translator's prefix stands for.
    fn meant(&self) -> impl Fn(IpAddr) -> Option<IpAddr> + use<> {
        let nat64 = self.engine.parts.resolver.nat64();
        move |address| match (nat64, address) {
            (Some(prefix), IpAddr::V6(address)) => prefix.extract(address).map(IpAddr::from),
            _ => None,
        }
    }

    #[cold]
    fn refuse_if_inside(
        &self,
        rebinding: &Rebinding,
        query: &Query<'_>,
        target: Option<&Name>,
        entry: &Entry,
        reply: &mut [u8],
    ) -> Option<Done> {
        let meant = self.meant();
        let addresses =
            || entry.addresses().chain(entry.hints()).map(|address| meant(address).unwrap_or(address));
        let refuses = |name: &CanonicalName| {
            rebinding.refuses(name, addresses()) && !self.engine.parts.resolver.is_routed(name)
        };
        let is_refused =
            refuses(&query.name) && target.is_none_or(|target| refuses(&CanonicalName::from(target)));
        is_refused.then(|| {
            self.cell.bump(Counter::RebindingRefused);
            self.note(Decision::Refused, None);
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
