//! Owns the walk over foreign bytes: numbers and counted parts from the front, each `None` when there is too little. Never looks back.

/// What is left to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'b>(pub(super) &'b [u8]);

impl<'b> Bytes<'b> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// A number of `count` bytes, the highest first.
    pub(super) fn number(&mut self, count: usize) -> Option<u64> {
        Some(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A part behind its length, which takes `count` bytes itself.
    pub(super) fn counted(&mut self, count: usize) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number(count)?).ok()?;
        self.take(length)
    }

    /// A number of QUIC, one to eight bytes long (RFC 9000 section 16).
    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let length = 1_usize << (first >> 6);
        let number = self.number(length)?;
        Some(number & (u64::MAX >> (66 - 8 * length).min(63)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_quic_are_those_of_the_standard() {
        // RFC 9000 appendix A.1.
        for (bytes, number) in [
            (&[0xC2, 0x19, 0x7C, 0x5E, 0xFF, 0x14, 0xE8, 0x8C][..], 151_288_809_941_952_652),
            (&[0x9D, 0x7F, 0x3E, 0x7D], 494_878_333),
            (&[0x7B, 0xBD], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            let mut read = Bytes(bytes);
            assert_eq!(read.varint(), Some(number));
            assert!(read.is_empty());
            assert_eq!(Bytes(&bytes[..bytes.len() - 1]).varint(), None);
        }
    }
}
