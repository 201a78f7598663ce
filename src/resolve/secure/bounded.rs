//! Owns what is taken from an answer before signatures are checked, so that no answer makes much work (CVE-2023-50387, CVE-2023-50868): too
//! many signatures, keys that share a number, hashes of many iterations, names that nobody asked for. Never checks a signature itself.

use std::collections::HashMap;

use hickory_resolver::proto::dnssec::Verifier as _;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC3};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::judgement::signature;
use super::validator::ITERATIONS;

/// Signatures over one set of records: one an algorithm, and one more while a key rolls.
const OF_SET: usize = 8;
/// Signatures in one answer that are looked at: more than any honest one has.
const OF_ANSWER: usize = 64;
/// Keys of a zone that share an algorithm and a number: two by chance, in one zone of some thousands.
const COLLIDING: usize = 2;
/// Keys of a zone.
const KEYS: usize = 24;
/// Names that an answer speaks of: an alias chain's, a denial's, the servers'. Each may need a chain of trust of its own.
const NAMES: usize = 32;

/// Takes away what is too much. A set that lacks a key is no longer what its zone signed, an answer that lacks a proof proves nothing: what
/// was made to cost work is bogus.
pub(in crate::resolve) fn bound(message: &mut Message) {
    let is_dear = |record: &NSEC3| record.iterations() > ITERATIONS.1;
    let keeps = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC3(record)) => !is_dear(record),
        _ => true,
    };
    message.authorities.retain(keeps);
    let mut keys: HashMap<(u8, u16), usize> = HashMap::new();
    let mut all_keys = 0;
    message.answers.retain(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => {
            let tag = key.calculate_key_tag().unwrap_or(0);
            let alike = keys.entry((u8::from(key.algorithm()), tag)).or_insert(0);
            *alike += 1;
            all_keys += 1;
            *alike <= COLLIDING && all_keys <= KEYS
        }
        _ => keeps(record),
    });
    let signed = |records: &[Record]| records.iter().filter(|record| signature(record).is_some()).count();
    let signatures = signed(&message.answers) + signed(&message.authorities) + signed(&message.additionals);
    let mut names: Vec<Name> = Vec::new();
    let mut is_near = |record: &Record| {
        if names.contains(&record.name) {
            return true;
        }
        if names.len() < NAMES {
            names.push(record.name.clone());
        }
        names.len() < NAMES
    };
    message.answers.retain(&mut is_near);
    message.authorities.retain(&mut is_near);
    // What stands beside an answer is a courtesy.
    if signatures > OF_ANSWER {
        message.additionals.clear();
    }
    message.additionals.retain(&mut is_near);
    if signatures > OF_SET {
        let mut left = OF_ANSWER;
        for section in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
            left = thin(section, left);
        }
    }
}

/// Keeps [`OF_SET`] signatures over each set, and `left` over all; returns how many more may be kept.
fn thin(section: &mut Vec<Record>, mut left: usize) -> usize {
    let mut over: HashMap<(Name, RecordType), usize> = HashMap::new();
    section.retain(|record| {
        let Some(signature) = signature(record) else { return true };
        let of_set = over.entry((record.name.clone(), signature.input().type_covered)).or_insert(0);
        *of_set += 1;
        let stays = *of_set <= OF_SET && left > 0;
        left -= usize::from(stays);
        stays
    });
    left
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::dnssec::rdata::{DNSKEY, RRSIG, SigInput};
    use hickory_resolver::proto::dnssec::{Algorithm, Nsec3HashAlgorithm, PublicKeyBuf};
    use hickory_resolver::proto::rr::SerialNumber;
    use hickory_resolver::proto::rr::rdata::A;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(name(owner), 300, data)
    }

    fn address(owner: &str) -> Record {
        record(owner, RData::A(A::new(192, 0, 2, 1)))
    }

    fn over(owner: &str, type_covered: RecordType) -> Record {
        let input = SigInput {
            type_covered,
            algorithm: Algorithm::ED25519,
            num_labels: 2,
            original_ttl: 300,
            sig_expiration: SerialNumber::from(2),
            sig_inception: SerialNumber::from(1),
            key_tag: 1,
            signer_name: name("example."),
        };
        record(owner, RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, vec![0; 64]))))
    }

    fn nsec3(iterations: u16) -> Record {
        let data = NSEC3::new(Nsec3HashAlgorithm::SHA1, false, iterations, vec![], vec![0; 20], []);
        record("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.", RData::DNSSEC(DNSSECRData::NSEC3(data)))
    }

    fn key(bytes: &[u8]) -> Record {
        let key = DNSKEY::with_flags(256, PublicKeyBuf::new(bytes.to_vec(), Algorithm::RSASHA256));
        record("example.", RData::DNSSEC(DNSSECRData::DNSKEY(key)))
    }

    #[test]
    fn an_honest_answer_stays_as_it_is() {
        let mut message = Message::query();
        message.answers =
            vec![address("a.example."), over("a.example.", RecordType::A), key(&[3, 1, 0, 1, 9])];
        message.authorities = vec![nsec3(0), nsec3(ITERATIONS.1), over("b.example.", RecordType::NSEC3)];
        message.additionals = vec![address("c.example."), over("c.example.", RecordType::A)];
        let before = message.clone();
        bound(&mut message);
        assert_eq!(message, before);
    }

    #[test]
    fn what_makes_work_is_taken_away() {
        let mut message = Message::query();
        message.answers.push(address("a.example."));
        message.answers.extend((0..500).map(|_| over("a.example.", RecordType::A)));
        message.authorities.push(nsec3(ITERATIONS.1 + 1));
        message.authorities.extend((0..500).map(|at| over(&format!("n{}.example.", at % 25), RecordType::A)));
        message.additionals.push(address("c.example."));
        bound(&mut message);
        assert_eq!(message.answers.len(), 1 + OF_SET);
        assert_eq!(message.authorities.len(), OF_ANSWER - OF_SET);
        assert!(message.additionals.is_empty());

        // Words in another order have the same sum, and so keys have the same number.
        let mut message = Message::query();
        message.answers = (0..100u8).map(|at| key(&[3, 1, 0, 1, at, 0, 100 - at, 0])).collect();
        bound(&mut message);
        assert_eq!(message.answers.len(), COLLIDING);
        let mut message = Message::query();
        message.answers = (0..100u8).map(|at| key(&[3, 1, 0, 1, at, 0])).collect();
        bound(&mut message);
        assert_eq!(message.answers.len(), KEYS);

        let mut message = Message::query();
        message.answers = (0..100).map(|at| address(&format!("n{at}.example."))).collect();
        message.additionals = (0..100).map(|at| address(&format!("m{at}.example."))).collect();
        bound(&mut message);
        assert!(message.answers.len() < NAMES && message.additionals.is_empty());
    }
}
