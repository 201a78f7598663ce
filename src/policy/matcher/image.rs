//! Owns bytes that are only read, wherever they lie: on the heap, or in a file that is mapped and shared with other
//! processes. The only door of `bytes`. Never knows what they mean.

use std::ops::{Deref, Range};

use bytes::Bytes;

/// Immutable bytes. A clone or a part shares them; what holds them is let go of with the last.
#[derive(Clone, Default)]
pub struct Image(Bytes);

impl Image {
    /// The bytes that `owner` holds; it must show the same ones for as long as it lives.
    pub fn held_by(owner: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self(Bytes::from_owner(owner))
    }

    /// A part of them; `None` when it reaches past their end.
    pub(crate) fn part(&self, range: Range<usize>) -> Option<Self> {
        (range.start <= range.end && range.end <= self.len()).then(|| Self(self.0.slice(range)))
    }
}

impl Deref for Image {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
