//! Owns the answer that sends a name somewhere else: a CNAME and the target's own records. Never resolves anything.

use crate::dns::{
    CanonicalName, Class, Flags, Full, Message, Name, Query, Rcode, RecordType, ReplyWriter, Section,
};

/// Where a question for `name` is sent by a rule with `target`: there, or where the target begins with `*`, to the name in
/// front of the rest. `None` when that is longer than a name may be.
pub(super) fn destination(name: &CanonicalName, target: &Name) -> Option<Name> {
    let Some(rest) = target.as_wire().strip_prefix(b"\x01*") else { return Some(target.clone()) };
    let labels = name.as_wire().strip_suffix(&[0])?;
    Name::from_wire(&[labels, rest].concat()).ok()
}

/// Writes `query CNAME target` followed by the answer records of `answer`, whose names are written out in full; `life` is what is left of
/// a record's TTL.
pub(super) fn write(
    query: &Query<'_>,
    target: &Name,
    ttl: u32,
    life: impl Fn(u32) -> u32,
    answer: &[u8],
    payload: u16,
    reply: &mut [u8],
) -> Result<(Rcode, usize), Full> {
    let message = Message::new(answer).ok_or(Full)?;
    let rcode = message.flags().rcode();
    let mut writer = ReplyWriter::answer(reply, query, rcode)?;
    writer.answer_record(RecordType::CNAME, ttl, target.as_wire())?;
    for record in message.records().filter(|record| record.section == Section::Answer) {
        let (Some(owner), Some(rdata)) = (message.name_at(record.owner), message.rdata_written_out(&record))
        else {
            continue;
        };
        writer.named_record(&owner, record.record_type, Class::IN, life(record.ttl), &rdata)?;
    }
    if let Some(edns) = query.edns {
        writer.opt(payload, rcode, edns.dnssec_ok, &[])?;
    }
    writer.set_flags(Flags::RA);
    Ok((rcode, writer.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_stands_for_the_name_asked_for() {
        let sent = |name: &str, target: &str| {
            let name = CanonicalName::from(&name.parse::<Name>().unwrap());
            destination(&name, &target.parse().unwrap()).map(|name| name.to_string())
        };
        assert_eq!(sent("a.example", "walled.test").as_deref(), Some("walled.test"));
        assert_eq!(sent("a.example", "*.walled.test").as_deref(), Some("a.example.walled.test"));
        let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60), "w".repeat(60)].join(".");
        assert_eq!(sent(&long, "*.walled.test"), None);
    }
}
