//! Owns the answers from the operator's own records. Never asked before the policy: a ban goes before them.

use super::request::Asker;
use super::turn::{Done, Turn};
use crate::dns::{CanonicalName, Class, Full, Name, Query, Rcode, RecordType, ReplyWriter};
use crate::policy::{Action, LocalAnswer, LocalRecord, Verdict};
use crate::telemetry::Counter;

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

    #[cold]
    fn own_record(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        answer: LocalAnswer<'t>,
        reply: &mut [u8],
    ) -> Own<'t> {
        // An alias of a banned name is as banned as one that an upstream knows.
        if let LocalAnswer::Alias(target, ..) = answer
            && let Verdict::Deny(cause) = self.snapshot.decide_answer(group, &CanonicalName::from(target))
        {
            return match self.snapshot.action(&cause) {
                Action::Redirect(elsewhere) => Own::Elsewhere(elsewhere),
                _ => Own::Done(self.deny(query, from, cause, reply)),
            };
        }
        let (alias, records) = match answer {
            LocalAnswer::Records(records) => (None, records),
            LocalAnswer::Alias(target, ttl, _) if query.record_type == RecordType::CNAME => {
                (Some((target, ttl)), &[][..])
            }
            LocalAnswer::Alias(target, ttl, Some(records)) => (Some((target, ttl)), records),
            LocalAnswer::Alias(target, _, None) => {
                self.cell.bump(Counter::SpecialLocal);
                return Own::Elsewhere(target);
            }
        };
        self.cell.bump(Counter::SpecialLocal);
        let written = self.write_own(query, alias, records, reply);
        Own::Done(self.finish_or_truncate(written, Rcode::NOERROR, query, reply))
    }

    fn write_own(
        &self,
        query: &Query<'_>,
        alias: Option<(&Name, u32)>,
        records: &[LocalRecord],
        reply: &mut [u8],
    ) -> Result<usize, Full> {
        let mut writer = ReplyWriter::answer(reply, query, Rcode::NOERROR)?;
        let owner = match alias {
            Some((target, ttl)) => {
                writer.answer_record(RecordType::CNAME, ttl, target.as_wire())?;
                Some(CanonicalName::from(target))
            }
            None => None,
        };
        let mut answered = alias.is_some();
        for record in records.iter().filter(|record| record.record_type == query.record_type) {
            let ttl = record.ttl.unwrap_or(self.snapshot.ttl());
            match &owner {
                Some(owner) => {
                    writer.named_record(owner, record.record_type, Class::IN, ttl, &record.rdata)?
                }
                None => writer.answer_record(record.record_type, ttl, &record.rdata)?,
            }
            answered = true;
        }
        if !answered {
            // The name is the operator's; there is nothing of that type at it.
            writer.soa(query.name.label_offset(0), self.snapshot.soa())?;
        }
        self.close(writer, query, Rcode::NOERROR, &[])
    }
}
