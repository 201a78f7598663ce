//! Owns the answer that sends a name somewhere else: a CNAME and the target's own records. Never resolves anything.

use crate::dns::{
    CanonicalName, Class, Flags, Full, Message, Name, Query, Rcode, RecordType, ReplyWriter, Section,
};

/// Writes `query CNAME target` followed by the answer records of `answer`, whose names are written out in full.
pub(super) fn write(
    query: &Query<'_>,
    target: &Name,
    ttl: u32,
    answer: &[u8],
    payload: u16,
    reply: &mut [u8],
) -> Result<(Rcode, usize), Full> {
    let message = Message::new(answer).ok_or(Full)?;
    let rcode = message.flags().rcode();
    let mut writer = ReplyWriter::answer(reply, query, rcode)?;
    writer.answer_record(RecordType::CNAME, ttl, target.as_wire())?;
    for record in message.records().filter(|record| record.section == Section::Answer) {
        let (Some(owner), Some(rdata)) =
            (message.name_at(record.owner), expanded(message, record.record_type, record.rdata.clone()))
        else {
            continue;
        };
        // The policy's own TTL bounds what the client keeps, so that an unban is quick.
        writer.named_record(&owner, record.record_type, Class::IN, record.ttl.min(ttl), &rdata)?;
    }
    if let Some(edns) = query.edns {
        writer.opt(payload, rcode, edns.dnssec_ok, &[])?;
    }
    writer.set_flags(Flags::RA);
    Ok((rcode, writer.finish()))
}

/// RDATA with its names uncompressed. Only the types of RFC 1035 may compress (RFC 3597 section 4); those that occur in
/// answers to addresses, mail and name server questions are known here, the rest is copied.
fn expanded(message: Message<'_>, record_type: RecordType, rdata: std::ops::Range<usize>) -> Option<Vec<u8>> {
    let name = |at| message.name_at(at).map(|name: CanonicalName| name.as_wire().to_vec());
    match record_type {
        RecordType::CNAME | RecordType::NS | RecordType::PTR => name(rdata.start),
        RecordType::MX => {
            let mut out = message.bytes().get(rdata.start..rdata.start + 2)?.to_vec();
            out.extend(name(rdata.start + 2)?);
            Some(out)
        }
        RecordType::SOA => None,
        _ => message.bytes().get(rdata).map(<[u8]>::to_vec),
    }
}
