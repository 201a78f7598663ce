//! Owns how this room makes and shows digests: SHA-256 over what decides a query, piece by piece. Never knows what a piece
//! means.

use sha2::{Digest, Sha256};

use super::snapshot::RuleKind;

/// Hashes many small pieces as one long text.
#[derive(Clone)]
pub(super) struct Written {
    hash: Sha256,
    pieces: Vec<u8>,
}

impl Written {
    /// Enough to share the cost of a call.
    const ENOUGH: usize = 4096;

    pub(super) fn new() -> Self {
        Self { hash: Sha256::new(), pieces: Vec::with_capacity(2 * Self::ENOUGH) }
    }

    pub(super) fn update(&mut self, piece: impl AsRef<[u8]>) {
        self.pieces.extend_from_slice(piece.as_ref());
        if self.pieces.len() > Self::ENOUGH {
            self.hash.update(&self.pieces);
            self.pieces.clear();
        }
    }

    /// A piece with its length in front, so that no two runs of pieces are the same.
    pub(super) fn text(&mut self, piece: &str) {
        self.update((piece.len() as u64).to_be_bytes());
        self.update(piece);
    }

    pub(super) fn finalize(mut self) -> [u8; 32] {
        self.hash.update(&self.pieces);
        self.hash.finalize().into()
    }
}

/// A digest of things in no order: the sum of the SHA-256 of each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    /// Takes in one thing, which these pieces are.
    pub(super) fn add(&mut self, pieces: &[&[u8]]) {
        let digest = pieces.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
        for (lane, word) in self.0.iter_mut().zip(digest.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_be_bytes(*word));
        }
    }

    pub(super) fn finalize(self) -> [u8; 32] {
        // Hashed once more, so that nothing shows of how it was made.
        Sha256::digest(self.0.map(u64::to_be_bytes).as_flattened()).into()
    }
}

/// Bytes in hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A rule as a number: those of equal rules are equal, and those of others nearly never.
pub(super) fn key_of(name: &[u8], kind: &RuleKind) -> u64 {
    // Fowler, Noll and Vo's hash of 64 bits.
    let [high, low] = kind.action.to_be_bytes();
    let [set_high, set_low] = kind.set.to_be_bytes();
    let bytes = [set_high, set_low, kind.reach as u8, high, low];
    name.iter().chain(&bytes).fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
