//! Owns the replies that this resolver writes of its own: negative ones, single records, a code alone, the question with TC set; and the counting
//! of every reply's code. Never decides which one a query gets.

use super::turn::{Done, Turn};
use crate::dns::{Full, Query, Rcode, RecordType, ReplyWriter};
use crate::query::request::Outcome;
use crate::telemetry::{Counter, Path};

impl Turn<'_> {
    /// A negative answer of this resolver's own. `depth` labels stand in front of the SOA's owner.
    pub(super) fn negative(&self, query: &Query<'_>, rcode: Rcode, depth: usize, reply: &mut [u8]) -> Done {
        let written = ReplyWriter::answer(reply, query, rcode).and_then(|mut writer| {
            writer.soa(query.name.label_offset(depth), self.snapshot.soa())?;
            self.close(writer, query, rcode, &[])
        });
        self.finish_or_truncate(written, rcode, query, reply)
    }

    /// One record of this resolver's own.
    pub(super) fn record(
        &self,
        query: &Query<'_>,
        record_type: RecordType,
        ttl: u32,
        rdata: &[u8],
        reply: &mut [u8],
    ) -> Done {
        let written = ReplyWriter::answer(reply, query, Rcode::NOERROR).and_then(|mut writer| {
            writer.answer_record(record_type, ttl, rdata)?;
            self.close(writer, query, Rcode::NOERROR, &[])
        });
        self.finish_or_truncate(written, Rcode::NOERROR, query, reply)
    }

    /// A response code and nothing else.
    pub(super) fn plain(&self, query: &Query<'_>, rcode: Rcode, reply: &mut [u8]) -> Done {
        self.with_options(query, rcode, &[], reply)
    }

    /// A response code with EDNS options.
    pub(super) fn with_options(
        &self,
        query: &Query<'_>,
        rcode: Rcode,
        options: &[u8],
        reply: &mut [u8],
    ) -> Done {
        let written = ReplyWriter::answer(reply, query, rcode)
            .and_then(|writer| self.close(writer, query, rcode, options));
        self.finish_or_truncate(written, rcode, query, reply)
    }

    pub(super) fn finish(&self, rcode: Rcode, path: Path, length: usize) -> Done {
        self.cell.bump(match rcode {
            Rcode::NOERROR => Counter::ReplyNoerror,
            Rcode::NXDOMAIN => Counter::ReplyNxdomain,
            Rcode::SERVFAIL => Counter::ReplyServfail,
            Rcode::REFUSED => Counter::ReplyRefused,
            Rcode::FORMERR => Counter::ReplyFormerr,
            Rcode::NOTIMP => Counter::ReplyNotimp,
            _ => Counter::ReplyOther,
        });
        Done { outcome: Outcome::Reply(length), path: Some(path), due: false }
    }

    /// The largest UDP payload this resolver says it takes.
    pub(super) fn payload(&self) -> u16 {
        self.engine.parts.config.udp_payload
    }

    /// Ends a reply with an OPT record if the client sent one.
    pub(super) fn close(
        &self,
        mut writer: ReplyWriter<'_>,
        query: &Query<'_>,
        rcode: Rcode,
        options: &[u8],
    ) -> Result<usize, Full> {
        if let Some(edns) = query.edns {
            writer.opt(self.payload(), rcode, edns.dnssec_ok, options)?;
        }
        Ok(writer.finish())
    }

    pub(super) fn finish_or_truncate(
        &self,
        written: Result<usize, Full>,
        rcode: Rcode,
        query: &Query<'_>,
        reply: &mut [u8],
    ) -> Done {
        match written {
            Ok(length) => self.finish(rcode, Path::Hit, length),
            Err(Full) => self.truncated(query, reply),
        }
    }

    /// The question alone with TC set: the client asks again over TCP.
    pub(super) fn truncated(&self, query: &Query<'_>, reply: &mut [u8]) -> Done {
        self.cell.bump(Counter::Truncated);
        let written = ReplyWriter::answer(reply, query, Rcode::NOERROR).and_then(|mut writer| {
            writer.truncated();
            self.close(writer, query, Rcode::NOERROR, &[])
        });
        match written {
            Ok(length) => self.finish(Rcode::NOERROR, Path::Hit, length),
            Err(Full) => Done::drop(),
        }
    }
}
