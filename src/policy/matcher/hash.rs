//! Owns the keyed hash of names. It runs from the rightmost label to the left, so that the hashes of a name's every
//! ancestor fall out of one pass. Never trusted alone: the table compares the bytes behind every match.

/// The key of the hash. It follows from everything that is listed, so that the same lists make the same table on every
/// host, and whoever would prepare names that share a group has to know the finished list before he writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey(u64, u64);

/// Odd constants with well-mixed bits (the fractional parts of the golden ratio and of the square root of 3).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const MIX: u64 = 0xBB67_AE85_84CA_A73B;

impl HashKey {
    /// A key for what needs none.
    pub(crate) const FIXED: Self = Self(SPREAD, MIX);

    /// The key that belongs to a digest of everything listed.
    pub(crate) fn of(digest: &[u8; 32]) -> Self {
        let word = |at: usize| {
            digest
                .get(at..)
                .and_then(<[u8]>::first_chunk::<8>)
                .map_or(MIX, |bytes| u64::from_le_bytes(*bytes))
        };
        Self(word(0), word(8) | 1)
    }

    /// The hash of the root.
    #[inline]
    pub(crate) fn root(self) -> u64 {
        self.0
    }

    /// The hash of `label` in front of a name with hash `parent`. `label` is without its length byte, at most 63 bytes.
    #[inline]
    pub(crate) fn prepend(self, parent: u64, label: &[u8]) -> u64 {
        let mut state = fold(parent ^ label.len() as u64, self.1);
        let mut chunks = label.chunks_exact(8);
        for chunk in chunks.by_ref() {
            let word = chunk.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            state = fold(state ^ word, SPREAD);
        }
        let tail = chunks.remainder();
        if !tail.is_empty() {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(tail) {
                *to = *from;
            }
            state = fold(state ^ u64::from_le_bytes(word), MIX);
        }
        state
    }
}

/// Both halves of the 128-bit product, combined: every input bit reaches every output bit.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ SPREAD) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_boundaries_count() {
        let key = HashKey(1, 3);
        let hash = |labels: &[&[u8]]| {
            labels.iter().rev().fold(key.root(), |parent, label| key.prepend(parent, label))
        };
        let hashes = [
            hash(&[b"tiktok", b"com"]),
            hash(&[b"tik", b"tok", b"com"]),
            hash(&[b"xtiktok", b"com"]),
            hash(&[b"tiktokcom"]),
            hash(&[b"com", b"tiktok"]),
            hash(&[b"tiktok\0", b"com"]),
        ];
        for (i, a) in hashes.iter().enumerate() {
            assert!(hashes.iter().skip(i + 1).all(|b| a != b));
        }
    }
}
