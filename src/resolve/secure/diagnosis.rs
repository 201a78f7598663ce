//! Owns the reason that a client is given for an answer that did not validate (RFC 8914): looked for only then, in what the answer
//! shows. Never changes the judgement.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::RRSIG;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Record, RecordType};

use super::judgement::signature;
use crate::dns::ExtendedError;

/// Why `message` is bogus. `now` is in seconds since 1970, modulo 2^32.
pub(super) fn diagnose(message: &Message, now: u32) -> ExtendedError {
    let records = || message.answers.iter().chain(&message.authorities);
    let signatures: Vec<(&Record, &RRSIG)> =
        records().filter_map(|record| Some((record, signature(record)?))).collect();
    let mut suspects = records().filter(|record| {
        record.record_type() != RecordType::RRSIG
            && matches!(record.proof, Proof::Bogus | Proof::Indeterminate)
    });
    if let Some(first) = suspects.next() {
        let over_it = signatures.iter().filter(|(owner, signature)| {
            owner.name == first.name && signature.input().type_covered == first.record_type()
        });
        let over_it: Vec<&RRSIG> = over_it.map(|(_, signature)| *signature).collect();
        let all = |wrong: &dyn Fn(&RRSIG) -> bool| over_it.iter().all(|signature| wrong(signature));
        return match over_it.as_slice() {
            [] => ExtendedError::RrsigsMissing,
            _ if all(&|signature| is_before(signature.input().sig_expiration.get(), now)) => {
                ExtendedError::SignatureExpired
            }
            _ if all(&|signature| is_before(now, signature.input().sig_inception.get())) => {
                ExtendedError::SignatureNotYetValid
            }
            _ => ExtendedError::DnssecBogus,
        };
    }
    let proves = |record: &Record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3);
    if !records().any(proves) {
        return ExtendedError::NsecMissing;
    }
    ExtendedError::DnssecBogus
}

/// Serial number arithmetic (RFC 1982), as RFC 4034 section 3.1.5 wants it for the times of signatures.
fn is_before(one: u32, other: u32) -> bool {
    one != other && other.wrapping_sub(one) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_as_serial_numbers() {
        assert!(is_before(1, 2) && !is_before(2, 1) && !is_before(2, 2));
        assert!(is_before(u32::MAX - 5, 5), "over the end of the 32 bits, in 2106");
    }
}
