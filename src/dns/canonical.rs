//! Owns `CanonicalName`: a name on the stack in the canonical form of RFC 4034 6.2 (lower case, uncompressed), with
//! the offset of every label, so that ancestors are slices. Never allocates: it is made once per question.

use std::fmt;

use super::{MAX_NAME, Name, name};

/// A lower-case, uncompressed name and where its labels begin.
#[derive(Clone)]
pub struct CanonicalName {
    wire: [u8; MAX_NAME],
    /// Offsets of the labels; at most 127 fit in 255 bytes.
    labels: [u8; 127],
    length: u8,
    count: u8,
}

impl CanonicalName {
    /// The root.
    pub fn root() -> Self {
        Self { wire: [0; MAX_NAME], labels: [0; 127], length: 1, count: 0 }
    }

    /// Reads an uncompressed name from the front of `bytes`. `None` on pointers, reserved label types, over-long
    /// names and missing ends.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut name = Self::root();
        name.read_over(bytes)?;
        Some(name)
    }

    /// The same over what was there, for whoever reads one after the other; after `None`, some name.
    #[inline]
    pub fn read_over(&mut self, bytes: &[u8]) -> Option<()> {
        (self.length, self.count) = (1, 0);
        let mut at = 0usize;
        loop {
            let label = *bytes.get(at)?;
            if label == 0 {
                break;
            }
            let end = at + 1 + usize::from(label);
            // One byte must remain for the root, hence `<`.
            if label > 63 || end >= MAX_NAME {
                return None;
            }
            *self.labels.get_mut(usize::from(self.count))? = at as u8;
            self.count += 1;
            at = end;
        }
        // All at once: no length of a label is a letter.
        for (to, byte) in self.wire.get_mut(..=at)?.iter_mut().zip(bytes.get(..=at)?) {
            *to = byte.to_ascii_lowercase();
        }
        self.length = at as u8 + 1;
        Some(())
    }

    /// The wire form: 1 to 255 bytes.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        self.wire.get(..usize::from(self.length)).unwrap_or(&[0])
    }

    /// Number of labels, the root not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        usize::from(self.count)
    }

    /// Byte offset of label `index`, counted from the left; the offset of the root for an index past the last.
    #[inline]
    pub fn label_offset(&self, index: usize) -> usize {
        if index >= self.label_count() {
            return usize::from(self.length) - 1;
        }
        self.labels.get(index).map_or(0, |&offset| usize::from(offset))
    }

    /// The name without its first `index` labels, in wire form.
    #[inline]
    pub fn suffix(&self, index: usize) -> &[u8] {
        self.wire.get(self.label_offset(index)..usize::from(self.length)).unwrap_or(&[0])
    }

    /// True for `zone` and everything below it.
    #[inline]
    pub fn is_at_or_below(&self, zone: &Name) -> bool {
        self.ends_with(zone.label_count(), zone.as_wire())
    }

    /// The same of a zone in this form.
    #[inline]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.ends_with(zone.label_count(), zone.as_wire())
    }

    #[inline]
    fn ends_with(&self, labels: usize, wire: &[u8]) -> bool {
        let above = self.label_count().checked_sub(labels);
        above.is_some_and(|index| self.suffix(index) == wire)
    }

    /// Writes it as people read it, without a final dot; the root is `.`.
    pub fn write_text(&self, out: &mut impl fmt::Write) -> fmt::Result {
        name::write_text(self.as_wire(), out)
    }

    /// Appends the same at once, if it has letters, digits, hyphens and underscores alone, as nearly all names do: then it is its wire form with dots
    /// in it. False, and nothing appended, of others.
    pub fn append_plain(&self, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let inner = 1..self.as_wire().len().saturating_sub(1);
        out.extend_from_slice(self.as_wire().get(inner).unwrap_or(&[]));
        let text = out.get_mut(begin..).unwrap_or(&mut []);
        // The first label's length is not there, so that each offset is one too far.
        for offset in self.labels.get(1..usize::from(self.count)).unwrap_or(&[]) {
            if let Some(length) = text.get_mut(usize::from(*offset).wrapping_sub(1)) {
                *length = b'.';
            }
        }
        let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        // All of it, and not up to the first that is not plain, in bytes: that takes many at a time.
        let (others, dots) = text.iter().fold((0_u8, 0_u8), |(others, dots), byte| {
            (others | u8::from(!is_plain(byte)), dots + u8::from(*byte == b'.'))
        });
        // A dot of a label's own is none that was put in.
        let is_plain = others == 0 && dots + 1 == self.count;
        if !is_plain {
            out.truncate(begin);
        }
        is_plain
    }

    /// Label `index` counted from the left, without its length byte.
    #[inline]
    pub fn label(&self, index: usize) -> &[u8] {
        match self.suffix(index).split_first() {
            Some((&length, rest)) => rest.get(..usize::from(length)).unwrap_or(&[]),
            None => &[],
        }
    }
}

impl From<&Name> for CanonicalName {
    fn from(name: &Name) -> Self {
        Self::read(name.as_wire()).unwrap_or_else(Self::root)
    }
}

impl fmt::Display for CanonicalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_text(f)
    }
}

impl fmt::Debug for CanonicalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_text(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_suffixes_are_slices() {
        let name = CanonicalName::read(b"\x03WwW\x06WeChat\x03com\0tail").unwrap();
        assert_eq!(name.label_count(), 3);
        assert_eq!(name.as_wire(), b"\x03www\x06wechat\x03com\0");
        assert_eq!(name.suffix(1), b"\x06wechat\x03com\0");
        assert_eq!(name.suffix(9), b"\0");
        assert_eq!(name.label(1), b"wechat");
        assert_eq!(name.to_string(), "www.wechat.com");
    }

    #[test]
    fn names_are_written_alike_in_one_piece_and_label_by_label() {
        let longest = b"\x01a".repeat(127);
        for wire in [
            &b""[..],
            b"\x01a",
            b"\x03WwW\x03_-9\x03com",
            b"\x03a.b\x03com",
            b"\x01.",
            b"\x02\0\xFF\x01z",
            &longest,
        ] {
            let name = CanonicalName::read(&[wire, b"\0"].concat()).unwrap();
            let mut label_by_label = String::new();
            name::write_text(name.as_wire(), &mut label_by_label).unwrap();
            assert_eq!(name.to_string(), label_by_label);
        }
    }

    #[test]
    fn a_zone_holds_itself_and_what_is_below() {
        let within = |name: &[u8], zone: &str| {
            CanonicalName::read(name).unwrap().is_at_or_below(&zone.parse().unwrap())
        };
        assert!(within(b"\x01a\x02Ex\0", "ex") && within(b"\x02ex\0", "ex") && within(b"\x02ex\0", "."));
        assert!(!within(b"\x02ex\0", "a.ex") && !within(b"\x03aex\0", "ex"));
    }

    #[test]
    fn a_full_length_name_fits_and_a_longer_one_does_not() {
        let mut wire = b"\x01a".repeat(127);
        wire.push(0);
        let name = CanonicalName::read(&wire).unwrap();
        assert_eq!((name.as_wire().len(), name.label_count()), (255, 127));
        wire.insert(0, b'a');
        wire.insert(0, 1);
        assert!(CanonicalName::read(&wire).is_none());
    }

    #[test]
    fn pointers_and_cut_names_are_refused() {
        assert!(CanonicalName::read(b"\xC0\x0C").is_none());
        assert!(CanonicalName::read(b"\x03ww").is_none());
        assert!(CanonicalName::read(b"").is_none());
    }
}
