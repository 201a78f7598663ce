//! Owns the writing of a judged answer as a client may be shown it: aliases in their order, AD where it was earned, signatures and
//! proofs where DO asked for them. Never judges.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{Message, OpCode, Query};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::super::scrub::scrubbed;
use super::judgement::signature;

/// The answer to `query` in wire form, with a zero id and without OPT record. `None` when it is longer than a message may be.
pub(in crate::resolve) fn render(
    query: &Query,
    from: Message,
    dnssec_ok: bool,
    authenticated: bool,
) -> Option<Vec<u8>> {
    let mut out = blank(query.clone());
    out.metadata.response_code = from.metadata.response_code;
    out.metadata.authentic_data = authenticated;
    // What stands beside a proved answer is proved too, or left out (RFC 4035 section 3.2.3).
    let stays = |record: &Record| {
        let kind = record.record_type();
        let is_shown = dnssec_ok || kind == query.query_type || !kind.is_dnssec();
        let is_due = !authenticated
            || record.proof == Proof::Secure
            // Of an authenticated answer, it follows from a DNAME.
            || matches!(kind, RecordType::RRSIG | RecordType::CNAME);
        kind != RecordType::OPT && is_shown && is_due
    };
    // A question whose case was mixed leaves its mark on what a server makes of it.
    let mut answers = from.answers;
    if answers.iter().any(|record| record.record_type() == RecordType::DNAME) {
        for record in &mut answers {
            if let RData::CNAME(target) = &mut record.data {
                target.0 = target.0.to_lowercase();
            }
        }
    }
    out.insert_answers(in_order(query, answers).into_iter().filter(stays).collect());
    let authorities: Vec<Record> = from.authorities.into_iter().filter(stays).collect();
    out.insert_authorities(without_lonely_signatures(authorities));
    out.to_vec().ok().filter(|wire| wire.len() <= crate::dns::MAX_MESSAGE).and_then(scrubbed)
}

/// An answer to `query` without records.
pub(in crate::resolve) fn blank(query: Query) -> Message {
    let mut out = Message::response(0, OpCode::Query);
    out.metadata.recursion_desired = true;
    out.metadata.recursion_available = true;
    out.add_query(query);
    out
}

/// Without the signatures of what was left out.
fn without_lonely_signatures(records: Vec<Record>) -> Vec<Record> {
    let signed = |record: &Record| match covered(record) {
        None => true,
        Some(kind) => records.iter().any(|other| other.name == record.name && other.record_type() == kind),
    };
    let stays: Vec<bool> = records.iter().map(signed).collect();
    records.into_iter().zip(stays).filter_map(|(record, stays)| stays.then_some(record)).collect()
}

/// The type that a signature covers.
fn covered(record: &Record) -> Option<RecordType> {
    signature(record).map(|signature| signature.input().type_covered)
}

/// The records of an answer from the question's name along its aliases: many stubs read no further than they come in order.
fn in_order(query: &Query, mut records: Vec<Record>) -> Vec<Record> {
    let mut ordered = Vec::with_capacity(records.len());
    let mut name = query.name.clone();
    // No chain is longer than there are records.
    for _ in 0..=records.len() {
        let is_alias =
            |record: &Record, kind: RecordType| record.record_type() == kind || covered(record) == Some(kind);
        let (here, others): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| {
            record.name == name || (record.name.zone_of(&name) && is_alias(record, RecordType::DNAME))
        });
        records = others;
        if here.is_empty() {
            break;
        }
        let next = here.iter().find_map(|record| match &record.data {
            RData::CNAME(target) => Some(target.0.clone()),
            _ => None,
        });
        let mut here = here;
        // A DNAME before the CNAME that follows from it, and each signature behind what it signs.
        here.sort_by_key(|record| {
            (!is_alias(record, RecordType::DNAME), record.record_type() == RecordType::RRSIG)
        });
        ordered.extend(here);
        match next {
            Some(next) => name = next,
            None => break,
        }
    }
    ordered.extend(records);
    ordered
}
