//! Owns the cache key: name, type, DO and CD. The class is always IN, as no other class is looked up.
//! Has no default: a key that forgets a dimension mixes up answers.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use crate::dns::{CanonicalName, MAX_NAME, RecordType};

/// What an answer is kept under, on the stack.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; MAX_NAME + 3],
    length: u16,
}

impl Key {
    /// The key of a question.
    #[inline]
    pub fn new(
        name: &CanonicalName,
        record_type: RecordType,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Self {
        let wire = name.as_wire();
        let mut bytes = [0; MAX_NAME + 3];
        let [high, low] = record_type.0.to_be_bytes();
        let (head, tail) = bytes.split_at_mut(3);
        head.copy_from_slice(&[u8::from(dnssec_ok) << 1 | u8::from(checking_disabled), high, low]);
        if let Some(slot) = tail.get_mut(..wire.len()) {
            slot.copy_from_slice(wire);
        }
        Self { bytes, length: 3 + wire.len() as u16 }
    }

    /// The key as bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }

    /// A hash of the key.
    #[inline]
    pub fn hash(&self, state: &RandomState) -> u64 {
        state.hash_one(self.as_bytes())
    }
}
