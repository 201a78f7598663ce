//! Owns what is said to those who may not ask, and to bytes that are not a query. Never looks at names.

use super::turn::{Done, Turn};
use crate::dns::{ExtendedError, Malformed, Query, Rcode, ReplyWriter, Unanswerable};
use crate::policy::Otherwise;
use crate::telemetry::{Counter, Path};

impl Turn<'_> {
    /// Bytes that are not a query to be resolved.
    pub(super) fn malformed(&self, malformed: Malformed, packet: &[u8], reply: &mut [u8]) -> Done {
        let (rcode, question_end, edns) = match malformed {
            Malformed::Silent(reason) => {
                self.cell.bump(match reason {
                    Unanswerable::Response => Counter::DropResponse,
                    Unanswerable::Short => Counter::DropShort,
                });
                return Done::drop();
            }
            Malformed::Answer { rcode, question_end, edns } => (rcode, question_end, edns),
        };
        // What cannot be read is answered within the smallest size any client takes.
        let room = reply.len().min(512);
        let written = ReplyWriter::refusal(reply.split_at_mut(room).0, packet, question_end, rcode).and_then(
            |mut writer| {
                if edns {
                    writer.opt(self.payload(), rcode, false, &[])?;
                }
                Ok(writer.finish())
            },
        );
        written.map_or_else(|_| Done::drop(), |length| self.finish(rcode, Path::Hit, length))
    }

    /// A client outside every allowed prefix.
    pub(super) fn not_admitted(&self, query: &Query<'_>, reply: &mut [u8]) -> Done {
        match self.snapshot.otherwise() {
            Otherwise::Drop => {
                self.cell.bump(Counter::DropNotAllowed);
                Done::drop()
            }
            Otherwise::Refused => self.refuse(query, Counter::RefusedNotAllowed, reply),
        }
    }

    /// REFUSED, with the extended error that fits `why`.
    pub(super) fn refuse(&self, query: &Query<'_>, why: Counter, reply: &mut [u8]) -> Done {
        self.cell.bump(why);
        if query.edns.is_none() {
            return self.plain(query, Rcode::REFUSED, reply);
        }
        let error = match why {
            Counter::RefusedNotAllowed => ExtendedError::Prohibited,
            Counter::RefusedNoRecursion => ExtendedError::NotAuthoritative,
            _ => ExtendedError::NotSupported,
        };
        self.with_options(query, Rcode::REFUSED, &error.option(""), reply)
    }
}
