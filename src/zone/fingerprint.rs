//! Owns the fingerprint of a version's records: it does not depend on their order, and a difference moves it as it moves the
//! version. Tells whether content changed across a restart; never authenticates anything.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::record::records;

/// The sum of the SHA-256 hashes of all records, modulo 2^256, and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Lowest first.
    words: [u64; 4],
    pub(super) records: u64,
}

impl Fingerprint {
    /// Adds the records of a run.
    pub(super) fn add(&mut self, run: &[u8]) {
        self.each(run, |word, other, carry| {
            let (sum, over) = word.overflowing_add(other);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (sum, over || again)
        });
        self.records = self.records.saturating_add(records(run).count() as u64);
    }

    /// Takes the records of a run away.
    pub(super) fn remove(&mut self, run: &[u8]) {
        self.each(run, |word, other, carry| {
            let (rest, under) = word.overflowing_sub(other);
            let (rest, again) = rest.overflowing_sub(u64::from(carry));
            (rest, under || again)
        });
        self.records = self.records.saturating_sub(records(run).count() as u64);
    }

    /// In hexadecimal digits.
    pub(super) fn text(&self) -> String {
        self.words.iter().rev().fold(String::new(), |mut text, word| {
            // Writing to a string does not fail.
            let _never = write!(text, "{word:016x}").is_err();
            text
        })
    }

    fn each(&mut self, run: &[u8], step: impl Fn(u64, u64, bool) -> (u64, bool)) {
        for record in records(run) {
            let mut one = Vec::with_capacity(64);
            record.write(&mut one);
            let hash: [u8; 32] = Sha256::digest(&one).into();
            let mut carry = false;
            for (word, bytes) in self.words.iter_mut().zip(hash.chunks_exact(8)) {
                let other = bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                (*word, carry) = step(*word, other, carry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordType;
    use crate::zone::record::Record;

    fn run(owners: &[&str]) -> Vec<u8> {
        let mut run = Vec::new();
        for owner in owners {
            let record = Record { owner: owner.as_bytes(), record_type: RecordType::A, ttl: 1, rdata: b"" };
            record.write(&mut run);
        }
        run
    }

    #[test]
    fn order_means_nothing_and_a_difference_can_be_taken_back() {
        let all = ["a", "b", "c", "d", "e", "f"];
        let (mut one, mut other) = (Fingerprint::default(), Fingerprint::default());
        one.add(&run(&all));
        all.iter().rev().for_each(|owner| other.add(&run(&[owner])));
        assert_eq!((one, one.records, one.text().len()), (other, 6, 64));
        one.remove(&run(&["b", "e"]));
        assert_ne!(one, other);
        one.add(&run(&["e", "b"]));
        assert_eq!(one, other);
        one.remove(&run(&all));
        assert_eq!(one, Fingerprint::default());
    }
}
