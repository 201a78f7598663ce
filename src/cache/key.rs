//! Owns the cache key: name, type, DO and CD. The class is always IN, as no other class is looked up.
//! Has no default: a key that forgets a dimension mixes up answers.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use crate::dns::{CanonicalName, RecordType};

/// What an answer is kept under, borrowed from a question, with its hash computed once.
#[derive(Clone, Copy)]
pub struct Key<'q> {
    name: &'q CanonicalName,
    record_type: RecordType,
    bits: u8,
    hash: u64,
}

/// One seed for the life of the process, so that nobody outside can prepare names that share a place.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl<'q> Key<'q> {
    /// The key of a question.
    #[inline]
    pub fn new(
        name: &'q CanonicalName,
        record_type: RecordType,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Self {
        let bits = u8::from(dnssec_ok) << 1 | u8::from(checking_disabled);
        let mut hasher = SEED.build_hasher();
        hasher.write(name.as_wire());
        hasher.write_u32(u32::from(record_type.0) << 8 | u32::from(bits));
        Self { name, record_type, bits, hash: hasher.finish() }
    }

    /// A hash that is the same for equal keys within this process.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// DO and CD.
    #[inline]
    pub(super) fn bits(&self) -> u8 {
        self.bits
    }

    /// True when `question`, a canonical QNAME followed by QTYPE, is this key's.
    #[inline]
    pub(super) fn is_question(&self, question: &[u8]) -> bool {
        question.split_last_chunk::<2>().is_some_and(|(name, kind)| {
            *kind == self.record_type.0.to_be_bytes() && name == self.name.as_wire()
        })
    }

    /// The key as bytes of its own: DO and CD, the type, the name.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        let [high, low] = self.record_type.0.to_be_bytes();
        [self.bits, high, low].iter().chain(self.name.as_wire()).copied().collect()
    }

    /// The name in what [`Key::to_bytes`] made.
    pub fn name_in(bytes: &[u8]) -> CanonicalName {
        bytes.get(3..).and_then(CanonicalName::read).unwrap_or_else(CanonicalName::root)
    }

    /// The key that [`Key::to_bytes`] made bytes of; `name` is its [`Key::name_in`].
    pub fn of_bytes(bytes: &[u8], name: &'q CanonicalName) -> Self {
        let &[bits, high, low] = bytes.first_chunk::<3>().unwrap_or(&[0; 3]);
        Self::new(name, RecordType(u16::from_be_bytes([high, low])), bits & 2 != 0, bits & 1 != 0)
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:02b}", self.name, self.record_type, self.bits)
    }
}
