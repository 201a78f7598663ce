//! Owns the reason that a client is given for an answer that did not validate (RFC 8914): looked for only then, in what the answer
//! shows. Never changes the judgement.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::judgement::signature;
use crate::dns::ExtendedError;

/// The zone whose chain of trust is in doubt when an answer is bogus: that which claims to have signed the first record that did not hold, or
/// whichever the record is in. `None` when every record holds, and they do not prove enough.
pub(in crate::resolve) fn doubted(message: &Message) -> Option<Name> {
    let first = suspect(message)?;
    let mut records = message.answers.iter().chain(&message.authorities);
    let signer = records.find_map(|record| {
        let input = signature(record).filter(|_| record.name == first.name)?.input();
        (input.type_covered == first.record_type()).then(|| input.signer_name.clone())
    });
    Some(signer.unwrap_or_else(|| first.name.clone()))
}

/// The first record of an answer whose signatures did not hold.
fn suspect(message: &Message) -> Option<&Record> {
    let mut records = message.answers.iter().chain(&message.authorities);
    records.find(|record| {
        record.record_type() != RecordType::RRSIG
            && matches!(record.proof, Proof::Bogus | Proof::Indeterminate)
    })
}

/// Why `message` is bogus. `now` is in seconds since 1970, modulo 2^32.
pub(super) fn diagnose(message: &Message, now: u32) -> ExtendedError {
    let records = || message.answers.iter().chain(&message.authorities);
    if let Some(first) = suspect(message) {
        let over_it = records().filter(|record| record.name == first.name).filter_map(signature);
        let over_it: Vec<&RRSIG> =
            over_it.filter(|signature| signature.input().type_covered == first.record_type()).collect();
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
    // A wildcard answered where something closer may be: something is there, and it is not what was signed for that name.
    let is_alias = |kind| matches!(kind, RecordType::CNAME | RecordType::DNAME | RecordType::RRSIG);
    let is_there = message.answers.iter().any(|record| !is_alias(record.record_type()));
    let proves = |record: &Record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3);
    if !is_there && !records().any(proves) {
        return ExtendedError::NsecMissing;
    }
    ExtendedError::DnssecBogus
}

/// Why the keys in `message` are bogus, which is so by `why` of their signatures. `delegation` has what the zone above says of them;
/// `None` for the root, whose keys are known from elsewhere.
pub(in crate::resolve) fn of_keys(
    why: ExtendedError,
    message: &Message,
    delegation: Option<&Message>,
) -> ExtendedError {
    let keys: Vec<(&Record, &DNSKEY)> = message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some((record, key)),
            _ => None,
        })
        .collect();
    if keys.is_empty() {
        return ExtendedError::DnskeyMissing;
    }
    let known = |ds: &DS| keys.iter().any(|(owner, key)| ds.covers(&owner.name, key).unwrap_or(false));
    let is_known = delegation.is_some_and(|above| {
        above.answers.iter().any(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::DS(ds)) => known(ds),
            _ => false,
        })
    });
    // Other keys than those that were announced are as good as none.
    if why == ExtendedError::DnssecBogus && !is_known { ExtendedError::DnskeyMissing } else { why }
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
