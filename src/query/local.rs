//! Owns the answers from the operator's own records. Never asked before the policy: a ban goes before them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::request::Asker;
use super::special;
use super::turn::{Done, Screening, Turn};
use crate::dns::{CanonicalName, Class, Flags, Full, Name, Query, Rcode, RecordType, ReplyWriter};
use crate::policy::{Action, LocalAnswer, LocalRecord, Verdict, translated};
use crate::telemetry::{Counter, Decision};

/// What the operator's records say of a query.
pub(super) enum Own<'s> {
    /// The answer.
    Done(Done),
    /// It is an alias of a name that others know.
    Elsewhere(&'s Name),
}

impl<'t> Turn<'t> {
    /// Answers from the operator's own records; `None` when they say nothing of the name.
    #[inline]
    pub(super) fn own_records(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        reply: &mut [u8],
    ) -> Option<Own<'t>> {
        let names = self.snapshot.local_names()?;
        let answer = names.find(&query.name)?;
        Some(self.own_record(query, from, group, answer, reply))
    }

    /// True when the operator has records for the name.
    #[inline]
    pub(super) fn has_own_records(&self, name: &CanonicalName) -> bool {
        self.snapshot.local_names().is_some_and(|names| names.find(name).is_some())
    }

    /// For how many seconds the query's name is an alias of this resolver's own that leads to `target`; `None` when it is no such alias.
    pub(super) fn own_alias(&self, query: &Query<'_>, target: &Name) -> Option<u32> {
        let answer = self.snapshot.local_names()?.find(&query.name)?;
        let leads = answer.records.is_none() && answer.links().last().is_some_and(|(last, _)| last == target);
        answer.links().map(|(_, ttl)| ttl).min().filter(|_| leads)
    }

    /// The reverse name of an address that stands for one of which this resolver knows the name itself, or which is nobody else's.
    #[cold]
    pub(super) fn own_pointer(&self, query: &Query<'_>, reply: &mut [u8]) -> Option<Done> {
        let target = self.engine.parts.resolver.nat64()?.reverse(&query.name)?;
        let canonical = CanonicalName::from(&target);
        let answer = self.snapshot.local_names().and_then(|names| names.find(&canonical));
        if let Some(LocalAnswer { records: Some(records), .. }) = answer {
            self.cell.bump(Counter::SpecialLocal);
            let links = answer.into_iter().flat_map(|answer| answer.links());
            let links = std::iter::once((&target, self.snapshot.ttl())).chain(links);
            let written = self.write_own(query, links, records, reply);
            return Some(self.finish_or_truncate(written, Rcode::NOERROR, query, reply));
        }
        special::find(&canonical).filter(|special| self.is_ours(*special, &canonical)).map(|_| {
            self.cell.bump(Counter::SpecialUse);
            self.negative(query, Rcode::NXDOMAIN, 0, reply)
        })
    }

    #[cold]
    fn own_record(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        answer: LocalAnswer<'t>,
        reply: &mut [u8],
    ) -> Own<'t> {
        // An alias of a banned name is as banned as one that an upstream knows, wherever in a row it stands.
        for (target, _) in answer.links() {
            match self.snapshot.decide_answer(group, &CanonicalName::from(target)) {
                Verdict::Allow | Verdict::Canary { .. } => {}
                Verdict::Deny(cause) if self.is_done(query, from, Screening::Allowed, cause) => {}
                Verdict::Deny(cause) => {
                    return match self.snapshot.action(&cause) {
                        Action::Redirect(elsewhere) => {
                            self.met(query, Decision::Blocked, cause);
                            Own::Elsewhere(elsewhere)
                        }
                        _ => Own::Done(self.deny(query, cause, reply)),
                    };
                }
                Verdict::Permit(_) => break,
                Verdict::Shadow(cause) => self.met(query, Decision::Shadow, cause),
            }
        }
        self.cell.bump(Counter::SpecialLocal);
        let is_alias_asked = query.record_type == RecordType::CNAME;
        let records = match (answer.records, answer.links().last()) {
            (Some(records), _) => records,
            // Others are to be asked what is there.
            (None, Some((target, _))) if !is_alias_asked => return Own::Elsewhere(target),
            (None, _) => &[],
        };
        self.allowed();
        let links = answer.links().take(if is_alias_asked { 1 } else { usize::MAX });
        let written = self.write_own(query, links, records, reply);
        Own::Done(self.finish_or_truncate(written, Rcode::NOERROR, query, reply))
    }

    fn write_own<'n>(
        &self,
        query: &Query<'_>,
        links: impl Iterator<Item = (&'n Name, u32)>,
        records: &[LocalRecord],
        reply: &mut [u8],
    ) -> Result<usize, Full> {
        let mut writer = ReplyWriter::answer(reply, query, Rcode::NOERROR)?;
        let mut owner: Option<CanonicalName> = None;
        let mut add = |owner: &Option<CanonicalName>, record_type, ttl, rdata: &[u8]| match owner {
            Some(owner) => writer.named_record(owner, record_type, Class::IN, ttl, rdata),
            None => writer.answer_record(record_type, ttl, rdata),
        };
        for (target, ttl) in links {
            add(&owner, RecordType::CNAME, ttl, target.as_wire())?;
            owner = Some(CanonicalName::from(target));
        }
        let mut answered = owner.is_some();
        let of_type = |wanted| records.iter().filter(move |record| record.record_type == wanted);
        for record in of_type(query.record_type) {
            add(&owner, record.record_type, self.ttl_of(record), &record.rdata)?;
            answered = true;
        }
        if query.record_type == RecordType::AAAA && of_type(RecordType::AAAA).next().is_none() {
            for (address, record) in of_type(RecordType::A).filter_map(|record| {
                let address = <[u8; 4]>::try_from(&*record.rdata).ok()?;
                Some((self.translated(query, address.into())?, record))
            }) {
                add(&owner, RecordType::AAAA, self.ttl_of(record), &address.octets())?;
                answered = true;
            }
        }
        if !answered {
            // The name is the operator's; there is nothing of that type at it.
            writer.soa(query.name.label_offset(0), self.snapshot.soa())?;
        }
        self.close(writer, query, Rcode::NOERROR, &[])
    }

    fn ttl_of(&self, record: &LocalRecord) -> u32 {
        record.ttl.unwrap_or(self.snapshot.ttl())
    }

    /// The address that stands for `address`, to clients that do not check signatures themselves (RFC 6147 section 5.5).
    fn translated(&self, query: &Query<'_>, address: Ipv4Addr) -> Option<Ipv6Addr> {
        let checks = query.dnssec_ok() && query.flags.has(Flags::CD);
        translated(self.engine.parts.resolver.nat64().filter(|_| !checks)?, address)
    }
}
