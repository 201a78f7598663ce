//! Owns the blocked answer: the same on every transport, for every type, flag and EDNS option. Never decides that a
//! query is blocked.

use crate::dns::{Full, Query, Rcode, RecordType, ReplyWriter};
use crate::policy::{Action, Cause, Snapshot, Trigger};

/// Writes the answer for `action`; returns its response code and length. `action` is one that answers at once.
pub(super) fn write(
    snapshot: &Snapshot,
    query: &Query<'_>,
    cause: &Cause,
    action: &Action,
    payload: u16,
    reply: &mut [u8],
) -> Result<(Rcode, usize), Full> {
    let rcode = match action {
        Action::Nxdomain if cause.speaks_for_subtree() => Rcode::NXDOMAIN,
        Action::Refused => Rcode::REFUSED,
        _ => Rcode::NOERROR,
    };
    let mut writer = ReplyWriter::answer(reply, query, rcode)?;
    let mut answered = false;
    match action {
        Action::Local(records) => {
            for record in records.iter().filter(|record| record.answers(query.record_type)) {
                writer.answer_record(
                    record.record_type,
                    record.ttl.unwrap_or(snapshot.ttl()),
                    &record.rdata,
                )?;
                answered = true;
            }
        }
        Action::Sinkhole => {
            let (ipv4, ipv6) = snapshot.sinkhole();
            match query.record_type {
                RecordType::A => writer.answer_record(RecordType::A, snapshot.ttl(), &ipv4.octets())?,
                RecordType::AAAA => writer.answer_record(RecordType::AAAA, snapshot.ttl(), &ipv6.octets())?,
                _ => {}
            }
            answered = matches!(query.record_type, RecordType::A | RecordType::AAAA);
        }
        _ => {}
    }
    if !answered && rcode != Rcode::REFUSED {
        writer.soa(owner_offset(query, cause), snapshot.soa())?;
    }
    if let Some(edns) = query.edns {
        let options = snapshot.options(cause, answered);
        writer.opt(payload, rcode, edns.dnssec_ok, options)?;
    }
    Ok((rcode, writer.finish()))
}

/// The SOA's owner: the listed name, which is an ancestor of the question's; or the question's own name when what was met
/// is the client, or in an answer.
fn owner_offset(query: &Query<'_>, cause: &Cause) -> usize {
    match cause.trigger {
        Trigger::QueryName => query.name.label_offset(usize::from(cause.depth)),
        Trigger::ClientAddress
        | Trigger::Egress
        | Trigger::NameServerAddress
        | Trigger::NameServerName
        | Trigger::ResponseAddress
        | Trigger::ResponseName => 0,
    }
}
