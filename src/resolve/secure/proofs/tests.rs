//! Answers made of kept proofs, beside what zones hold: zones made by luck, a part of their chains known, questions near their names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hickory_resolver::proto::dnssec::rdata::{NSEC, NSEC3, RRSIG, SigInput};
use hickory_resolver::proto::dnssec::{Algorithm, Nsec3HashAlgorithm};
use hickory_resolver::proto::rr::SerialNumber;
use hickory_resolver::proto::rr::rdata::{A, SOA};

use super::super::super::denial::{Denial, Denied, wildcard};
use super::*;
use crate::clock::Clock;

const KINDS: [RecordType; 5] =
    [RecordType::A, RecordType::TXT, RecordType::NS, RecordType::DS, RecordType::CNAME];

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn secure(owner: Name, ttl: u32, data: RData) -> Record {
    let mut record = Record::from_rdata(owner, ttl, data);
    record.proof = Proof::Secure;
    record
}

fn signed(record: &Record, signer: &str, claimed: usize) -> Record {
    let input = SigInput {
        type_covered: record.record_type(),
        algorithm: Algorithm::ECDSAP256SHA256,
        num_labels: claimed as u8,
        original_ttl: record.ttl,
        sig_expiration: SerialNumber::from(u32::MAX / 2),
        sig_inception: SerialNumber::from(0),
        key_tag: 1,
        signer_name: name(signer),
    };
    let data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, vec![0; 64])));
    secure(record.name.clone(), record.ttl, data)
}

/// A zone `example.` as it is.
#[derive(Debug, Default)]
struct Model {
    owners: BTreeMap<Name, Vec<RecordType>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Truth {
    NoData,
    NoName,
    /// Records, an alias or a referral.
    Other,
    Wildcard,
}

impl Model {
    fn by_luck() -> Self {
        let mut owners = BTreeMap::from([(name("example."), vec![RecordType::SOA, RecordType::NS])]);
        for _ in 0..fastrand::usize(1..12) {
            let mut owner = near();
            if fastrand::u8(..5) == 0 {
                owner = owner.prepend_label("*").unwrap();
            }
            let types = match fastrand::u8(..6) {
                0 if !owner.is_wildcard() => vec![RecordType::NS],
                1 if !owner.is_wildcard() => vec![RecordType::NS, RecordType::DS],
                2 => vec![RecordType::CNAME],
                3 => vec![RecordType::A, RecordType::TXT],
                _ => vec![RecordType::A],
            };
            owners.entry(owner).or_insert(types);
        }
        let mut model = Self { owners };
        // What is below a cut is another zone's.
        let below: Vec<Name> =
            model.owners.keys().filter(|owner| model.cut(&owner.base_name()).is_some()).cloned().collect();
        below.iter().for_each(|owner| drop(model.owners.remove(owner)));
        model
    }

    /// The delegation at or above a name.
    fn cut(&self, name: &Name) -> Option<Name> {
        let mut above = (2..=labels(name)).map(|count| name.trim_to(count));
        above.find(|above| self.owners.get(above).is_some_and(|types| types.contains(&RecordType::NS)))
    }

    fn exists(&self, name: &Name) -> bool {
        self.owners.keys().any(|owner| name.zone_of(owner))
    }

    fn truth(&self, name: &Name, kind: RecordType) -> Truth {
        let says = |types: &Vec<RecordType>, there: Truth| {
            if types.contains(&kind) || types.contains(&RecordType::CNAME) { there } else { Truth::NoData }
        };
        match self.cut(name) {
            Some(cut) if cut != *name || kind != RecordType::DS => return Truth::Other,
            _ => {}
        }
        if let Some(types) = self.owners.get(name) {
            return says(types, Truth::Other);
        }
        if self.exists(name) {
            return Truth::NoData;
        }
        let closest = (1..labels(name)).rev().find(|count| self.exists(&name.trim_to(*count))).unwrap();
        let wildcard = wildcard(name, closest).unwrap();
        match self.owners.get(&wildcard) {
            Some(types) => says(types, Truth::Wildcard),
            None if self.exists(&wildcard) => Truth::NoData,
            None => Truth::NoName,
        }
    }

    fn nsec(&self) -> Vec<Record> {
        let owners: Vec<_> = self.owners.iter().collect();
        let next = |at: usize| owners[(at + 1) % owners.len()].0.clone();
        let record = |(at, (owner, types)): (usize, &(&Name, &Vec<RecordType>))| {
            let nsec = NSEC::new_cover_self(next(at), types.iter().copied());
            secure((*owner).clone(), 300, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
        };
        owners.iter().enumerate().map(record).collect()
    }

    fn nsec3(&self, opts_out: bool) -> Vec<Record> {
        let is_left_out = |owner: &Name| {
            let types = self.owners.get(owner);
            opts_out
                && types.is_some_and(|types| {
                    types.contains(&RecordType::NS)
                        && !types.contains(&RecordType::DS)
                        && !types.contains(&RecordType::SOA)
                })
        };
        let stays = self.owners.keys().filter(|owner| !is_left_out(owner));
        let all: BTreeSet<Name> =
            stays.flat_map(|owner| (1..=labels(owner)).map(|count| owner.trim_to(count))).collect();
        let hash = |name: &Name| Nsec3HashAlgorithm::SHA1.hash(b"salt", name, 1).unwrap().as_ref().to_vec();
        let mut hashed: Vec<(Vec<u8>, Vec<RecordType>)> =
            all.iter().map(|name| (hash(name), self.owners.get(name).cloned().unwrap_or_default())).collect();
        hashed.sort();
        let record = |at: usize| {
            let (own, types) = &hashed[at];
            let next = hashed[(at + 1) % hashed.len()].0.clone();
            let types = types.iter().copied();
            let nsec3 = NSEC3::new(Nsec3HashAlgorithm::SHA1, opts_out, 1, b"salt".to_vec(), next, types);
            secure(name(&format!("{}.example.", base32(own))), 300, RData::DNSSEC(DNSSECRData::NSEC3(nsec3)))
        };
        (0..hashed.len()).map(record).collect()
    }
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit =
        |five: &[u8]| char::from(ALPHABET[usize::from(five.iter().fold(0, |value, bit| value << 1 | bit))]);
    bits.chunks(5).map(digit).collect()
}

/// A name in or about the zone, of few letters, so that many meet.
fn near() -> Name {
    let mut out = name("example.");
    for _ in 0..fastrand::usize(1..4) {
        out = out.prepend_label(["a", "b", "c", "d", "e", "f"][fastrand::usize(..6)]).unwrap();
    }
    out
}

fn soa() -> [Record; 2] {
    let data = SOA::new(name("ns.example."), name("host.example."), 1, 3600, 600, 86400, 200);
    let record = secure(name("example."), 250, RData::SOA(data));
    let signature = signed(&record, "example.", 1);
    [record, signature]
}

/// An answer that denies, with these proofs.
fn denial(records: impl IntoIterator<Item = Record>) -> Message {
    let mut message = Message::query();
    let both = |record: Record| [signed(&record, "example.", labels(&record.name)), record];
    message.insert_authorities(soa().into_iter().chain(records.into_iter().flat_map(both)).collect());
    message
}

/// An answer that a wildcard gave.
fn expanded(at: &Name, kind: RecordType, claimed: usize) -> Message {
    let mut message = Message::query();
    let record = secure(at.clone(), 300, RData::A(A::new(192, 0, 2, 1)));
    assert_eq!(kind, RecordType::A);
    message.insert_answers(vec![signed(&record, "example.", claimed), record]);
    message.insert_authorities(soa().to_vec());
    message
}

fn question(at: &Name, kind: RecordType) -> Query {
    Query::query(at.clone(), kind)
}

#[test]
fn what_is_made_of_proofs_is_what_the_zone_says() {
    let now = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap()).now();
    let mut made = BTreeMap::new();
    for round in 0..600 {
        let model = Model::by_luck();
        let (chain, opts_out) = match round % 3 {
            0 => (model.nsec(), false),
            1 => (model.nsec3(false), false),
            _ => (model.nsec3(true), true),
        };
        let proofs = Proofs::default();
        for record in chain.iter().filter(|_| fastrand::u8(..3) > 0) {
            proofs.learn(&question(&near(), RecordType::A), &denial([record.clone()]), now);
        }
        for _ in 0..10 {
            let at = near();
            let closest = (1..labels(&at)).rev().find(|count| model.exists(&at.trim_to(*count))).unwrap();
            if model.truth(&at, RecordType::A) == Truth::Wildcard
                && model.owners[&wildcard(&at, closest).unwrap()].contains(&RecordType::A)
            {
                let answer = expanded(&at, RecordType::A, closest);
                proofs.learn(&question(&at, RecordType::A), &answer, now);
            }
        }
        for _ in 0..100 {
            let (at, kind) = (near(), KINDS[fastrand::usize(..KINDS.len())]);
            let Some(answer) = proofs.answer(&question(&at, kind), now) else { continue };
            let says = match (answer.response_code, answer.answers.is_empty()) {
                (ResponseCode::NXDomain, true) => Truth::NoName,
                (ResponseCode::NoError, true) => Truth::NoData,
                (ResponseCode::NoError, false) => Truth::Wildcard,
                other => panic!("{other:?}"),
            };
            assert_eq!(says, model.truth(&at, kind), "{at} {kind} in {model:#?}: {answer}");
            let proof = Denial::of(&answer.authorities);
            let denied = match says {
                Truth::NoName => proof.no_name(&at),
                Truth::NoData => proof.no_data(&at, kind),
                _ => Denied::Proved,
            };
            assert_eq!(denied, Denied::Proved, "{at} {kind}: the reply proves it to others: {answer}");
            let mut lives = answer.all_sections().map(|record| record.ttl);
            assert!(lives.all(|ttl| ttl <= 200 || says == Truth::Wildcard), "{answer}");
            *made.entry(format!("{says:?} {}", ["NSEC", "NSEC3", "opt-out"][round % 3])).or_insert(0) += 1;
            assert!(!opts_out || says != Truth::NoName, "where delegations may hide: {at} in {model:#?}");
        }
    }
    println!("{made:?}");
    for (what, least) in [
        ("NoName NSEC", 500),
        ("NoName NSEC3", 100),
        ("NoData NSEC", 500),
        ("NoData NSEC3", 500),
        ("NoData opt-out", 200),
        ("Wildcard NSEC", 5),
    ] {
        assert!(made.get(what).is_some_and(|count| *count >= least), "{what}: {made:?}");
    }
}

#[test]
fn proofs_end_and_only_zones_own_ones_count() {
    let clock = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap());
    let nsec = |owner: &str, next: &str| {
        let nsec = NSEC::new_cover_self(name(next), [RecordType::A]);
        secure(name(owner), 300, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
    };
    let all = || denial([nsec("example.", "m.example."), nsec("m.example.", "example.")]);
    let asked = question(&name("b.example."), RecordType::A);
    let proofs = Proofs::default();
    proofs.learn(&asked, &all(), clock.now());
    let answer = proofs.answer(&asked, clock.now()).unwrap();
    assert_eq!(answer.response_code, ResponseCode::NXDomain);
    // SOA's minimum is the least of the three (RFC 9077).
    assert!(answer.all_sections().all(|record| record.ttl == 200), "{answer}");
    clock.advance(Duration::from_secs(199));
    assert!(proofs.answer(&asked, clock.now()).unwrap().all_sections().all(|record| record.ttl == 1));
    clock.advance(Duration::from_secs(1));
    assert!(proofs.answer(&asked, clock.now()).is_none());
    assert!(proofs.answer(&question(&name("b.other."), RecordType::A), clock.now()).is_none());
    assert!(proofs.answer(&question(&name("b.example."), RecordType::ANY), clock.now()).is_none());

    // What is not secure, not signed by the zone, or leads out of it is not kept.
    let mut insecure = all();
    let records = insecure.authorities.iter().cloned().map(|mut record| {
        record.proof = Proof::Insecure;
        record
    });
    insecure.authorities = records.collect();
    let mut foreign = all();
    let records: Vec<Record> = foreign
        .authorities
        .iter()
        .map(|record| match record.record_type() {
            RecordType::NSEC => signed(record, "m.example.", 1),
            _ => record.clone(),
        })
        .collect();
    foreign.authorities = records;
    let mut leading_out = denial([nsec("example.", "z.zone.")]);
    leading_out.authorities.extend(denial([nsec("example.", "z.zone.")]).authorities);
    for wrong in [insecure, foreign, leading_out] {
        let proofs = Proofs::default();
        proofs.learn(&asked, &wrong, clock.now());
        assert!(proofs.answer(&asked, clock.now()).is_none(), "{wrong}");
    }
}

#[test]
fn they_take_no_more_memory_than_they_may() {
    let now = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap()).now();
    let proofs = Proofs::default();
    let asked = question(&name("b.example."), RecordType::A);
    for number in 0..60_000 {
        let nsec = NSEC::new_cover_self(name(&format!("n{number}b.example.")), [RecordType::A]);
        let record =
            secure(name(&format!("n{number}.example.")), 300, RData::DNSSEC(DNSSECRData::NSEC(nsec)));
        proofs.learn(&asked, &denial([record]), now);
        let zones = proofs.zones.read().unwrap();
        assert!(zones.bytes <= MOST && (number % 5000 > 0 || zones.bytes == zones.sum()), "{}", zones.bytes);
    }
    assert!(proofs.zones.read().unwrap().bytes > MOST / 4, "it was full");
}
