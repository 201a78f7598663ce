//! Owns proofs by NSEC3 records (RFC 5155 section 8): each says which hash of a name is the next one in its zone.

use hickory_resolver::proto::dnssec::rdata::NSEC3;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::super::validator::ITERATIONS;
use super::{Denied, ancestor, denies, ends_here, labels, wildcard};

type Records<'r> = [(&'r Name, &'r NSEC3)];

/// The records of one chain of hashes.
struct Chain<'r> {
    zone: Name,
    /// Hash of the owner, and the record.
    records: Vec<(Vec<u8>, &'r NSEC3)>,
}

/// The closest ancestor of a name that exists, as proved.
struct Encloser {
    labels: usize,
    /// What stands between it and the name may be an unsigned delegation.
    is_opt_out: bool,
}

impl<'r> Chain<'r> {
    /// The chain that the first record is of; `None` without one.
    fn of(records: &Records<'r>) -> Option<Self> {
        let (owner, first) = records.first()?;
        let zone = owner.base_name();
        let alike = |(owner, record): &&(&Name, &NSEC3)| {
            owner.base_name() == zone
                && record.hash_algorithm() == first.hash_algorithm()
                && record.iterations() == first.iterations()
                && record.salt() == first.salt()
        };
        let hashed = |(owner, record): &(&Name, &'r NSEC3)| Some((decoded(owner.iter().next()?)?, *record));
        let records = records.iter().filter(alike).filter_map(hashed).collect();
        Some(Self { zone, records })
    }

    fn hash(&self, name: &Name) -> Option<Vec<u8>> {
        let (_, first) = self.records.first()?;
        let digest = first.hash_algorithm().hash(first.salt(), name, first.iterations()).ok()?;
        Some(digest.as_ref().to_vec())
    }

    fn at(&self, name: &Name) -> Option<&'r NSEC3> {
        let hash = self.hash(name)?;
        self.records.iter().find(|(owner, _)| *owner == hash).map(|(_, record)| *record)
    }

    fn covering(&self, name: &Name) -> Option<&'r NSEC3> {
        let hash = self.hash(name)?;
        let covers = |(owner, record): &&(Vec<u8>, &NSEC3)| {
            let next = record.next_hashed_owner_name();
            if next > owner.as_slice() {
                *owner < hash && hash.as_slice() < next
            } else {
                *owner < hash || hash.as_slice() < next
            }
        };
        self.records.iter().find(covers).map(|(_, record)| *record)
    }

    /// RFC 5155 section 8.3.
    fn encloser(&self, name: &Name) -> Option<Encloser> {
        let lowest = labels(&self.zone);
        let found =
            (lowest..labels(name)).rev().find_map(|count| Some((count, self.at(&ancestor(name, count))?)));
        let (labels, record) = found?;
        if ends_here(record.type_set()) {
            return None;
        }
        let covering = self.covering(&ancestor(name, labels + 1))?;
        Some(Encloser { labels, is_opt_out: covering.opt_out() })
    }

    /// What is proved counts for less where an unsigned delegation may hide.
    fn proved(is_opt_out: bool) -> Denied {
        if is_opt_out { Denied::Insecure } else { Denied::Proved }
    }
}

/// What a chain proves whose hashing costs more than is reasonable: nothing at all, or nothing of a zone that so counts as unsigned. Nothing is
/// hashed for it. `None` for all others.
fn dear(records: &Records<'_>, name: &Name) -> Option<Denied> {
    let (owner, _) = records.first()?;
    let iterations = records.iter().map(|(_, record)| record.iterations()).max()?;
    let is_own = owner.base_name().zone_of(name);
    match iterations {
        _ if iterations <= ITERATIONS.0 => None,
        _ if iterations <= ITERATIONS.1 && is_own => Some(Denied::Insecure),
        _ => Some(Denied::Unproved),
    }
}

pub(super) fn no_name(records: &Records<'_>, name: &Name) -> Denied {
    let proof = || {
        let chain = Chain::of(records)?;
        let encloser = chain.encloser(name)?;
        let wildcard = wildcard(name, encloser.labels)?;
        chain.covering(&wildcard)?;
        Some(Chain::proved(encloser.is_opt_out))
    };
    dear(records, name).or_else(proof).unwrap_or(Denied::Unproved)
}

pub(super) fn no_data(records: &Records<'_>, name: &Name, kind: RecordType) -> Denied {
    let proof = || {
        let chain = Chain::of(records)?;
        if let Some(record) = chain.at(name) {
            return denies(record.type_set(), name, kind).then(|| Chain::proved(false));
        }
        let encloser = chain.encloser(name)?;
        let wildcard = wildcard(name, encloser.labels)?;
        match chain.at(&wildcard) {
            Some(record) => {
                denies(record.type_set(), &wildcard, kind).then(|| Chain::proved(encloser.is_opt_out))
            }
            // An unsigned delegation, or nothing but such below it (RFC 5155 section 8.6, and its erratum 3441).
            None => encloser.is_opt_out.then_some(Denied::Insecure),
        }
    };
    dear(records, name).or_else(proof).unwrap_or(Denied::Unproved)
}

pub(super) fn no_closer(records: &Records<'_>, name: &Name, labels_of_encloser: usize) -> Denied {
    let proof = || {
        let chain = Chain::of(records)?;
        if labels(name) <= labels_of_encloser || !chain.zone.zone_of(name) {
            return None;
        }
        let covering = chain.covering(&ancestor(name, labels_of_encloser + 1))?;
        Some(Chain::proved(covering.opt_out()))
    };
    dear(records, name).or_else(proof).unwrap_or(Denied::Unproved)
}

/// The bytes of a label in base 32 with the extended hexadecimal alphabet (RFC 4648 section 7).
pub(in crate::resolve::secure) fn decoded(label: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(label.len() * 5 / 8);
    let (mut window, mut held) = (0u32, 0u32);
    for character in label {
        let value = match character.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        window = window << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((window >> held) as u8);
            window &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::dnssec::Nsec3HashAlgorithm;

    const SALT: [u8; 4] = [0xAA, 0xBB, 0xCC, 0xDD];

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// RFC 5155 appendix A: the hash of `example.` with this salt and twelve iterations.
    #[test]
    fn labels_are_hashes() {
        let hash = Nsec3HashAlgorithm::SHA1.hash(&SALT, &name("example."), 12).unwrap();
        assert_eq!(decoded(b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom").unwrap(), hash.as_ref());
        assert_eq!(decoded(b"not-base-32"), None);
    }

    /// A zone with names of these types; every record of its chain.
    fn zone(names: &[(&str, &[RecordType])], is_opt_out: bool, iterations: u16) -> Vec<(Name, NSEC3)> {
        let hash = |text: &str| {
            Nsec3HashAlgorithm::SHA1.hash(&SALT, &name(text), iterations).unwrap().as_ref().to_vec()
        };
        let mut hashed: Vec<_> = names.iter().map(|(text, types)| (hash(text), *types)).collect();
        hashed.sort();
        let label = |bytes: &[u8]| {
            let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
            let digit = |bits: &[u8]| {
                let value = bits.iter().fold(0, |value, bit| value * 2 + u32::from(bit - b'0'));
                char::from_digit(value, 32).unwrap()
            };
            bits.as_bytes().chunks(5).map(digit).collect::<String>()
        };
        (0..hashed.len())
            .map(|at| {
                let (own, types) = &hashed[at];
                let next = hashed[(at + 1) % hashed.len()].0.clone();
                let record = NSEC3::new(
                    Nsec3HashAlgorithm::SHA1,
                    is_opt_out,
                    iterations,
                    SALT.to_vec(),
                    next,
                    types.iter().copied(),
                );
                (name(&format!("{}.example.", label(own))), record)
            })
            .collect()
    }

    fn of(all: &[(Name, NSEC3)]) -> Vec<(&Name, &NSEC3)> {
        all.iter().map(|(owner, record)| (owner, record)).collect()
    }

    const NAMES: &[(&str, &[RecordType])] = &[
        ("example.", &[RecordType::SOA, RecordType::NS]),
        ("a.example.", &[RecordType::A]),
        ("d.example.", &[]),
        ("c.d.example.", &[RecordType::A]),
        ("sub.example.", &[RecordType::NS]),
        ("wild.example.", &[]),
        ("*.wild.example.", &[RecordType::A]),
    ];

    #[test]
    fn names_types_and_closer_names_are_denied() {
        let all = zone(NAMES, false, 0);
        let records = of(&all);
        let proved = Denied::Proved;
        assert_eq!(no_name(&records, &name("b.example.")), proved);
        assert_eq!(no_name(&records, &name("x.y.z.example.")), proved);
        assert_eq!(no_name(&records, &name("a.example.")), Denied::Unproved, "it is there");
        assert_eq!(no_name(&records, &name("d.example.")), Denied::Unproved, "something is below it");
        assert_eq!(no_name(&records, &name("www.sub.example.")), Denied::Unproved, "another zone's");
        assert_eq!(no_name(&records, &name("q.wild.example.")), Denied::Unproved, "the wildcard is there");
        assert_eq!(no_data(&records, &name("a.example."), RecordType::TXT), proved);
        assert_eq!(no_data(&records, &name("a.example."), RecordType::A), Denied::Unproved);
        assert_eq!(no_data(&records, &name("d.example."), RecordType::A), proved);
        assert_eq!(no_data(&records, &name("sub.example."), RecordType::DS), proved);
        assert_eq!(no_data(&records, &name("sub.example."), RecordType::A), Denied::Unproved);
        assert_eq!(no_data(&records, &name("q.wild.example."), RecordType::TXT), proved);
        assert_eq!(no_data(&records, &name("q.wild.example."), RecordType::A), Denied::Unproved);
        assert_eq!(no_closer(&records, &name("q.wild.example."), 2), proved);
        assert_eq!(no_closer(&records, &name("a.example."), 1), Denied::Unproved);
        assert_eq!(no_name(&records[..1], &name("b.example.")), Denied::Unproved, "a part of the proof");
        assert_eq!(no_name(&[], &name("b.example.")), Denied::Unproved);
    }

    #[test]
    fn where_delegations_may_hide_or_hashing_is_dear_little_is_proved() {
        let open = zone(NAMES, true, 0);
        assert_eq!(no_name(&of(&open), &name("b.example.")), Denied::Insecure);
        assert_eq!(no_data(&of(&open), &name("b.example."), RecordType::DS), Denied::Insecure);
        assert_eq!(
            no_data(&of(&open), &name("a.example."), RecordType::TXT),
            Denied::Proved,
            "the very name"
        );
        let dear = zone(NAMES, false, ITERATIONS.0 + 1);
        assert_eq!(no_name(&of(&dear), &name("b.example.")), Denied::Insecure);
        let refused = zone(NAMES, false, ITERATIONS.1 + 1);
        assert_eq!(no_name(&of(&refused), &name("b.example.")), Denied::Unproved);
    }
}
