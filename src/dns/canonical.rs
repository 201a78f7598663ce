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
        let end = name.walk(bytes)?;
        // All at once: no length of a label is a letter.
        for (to, byte) in name.wire.get_mut(..end)?.iter_mut().zip(bytes.get(..end)?) {
            *to = byte.to_ascii_lowercase();
        }
        Some(name)
    }

    /// Copies what was such a name's wire form over what was there, for whoever reads one after the other; after `None`, some name.
    pub fn copy_over(&mut self, wire: &[u8]) -> Option<()> {
        let end = self.walk(wire)?;
        self.wire.get_mut(..end)?.copy_from_slice(wire.get(..end)?);
        Some(())
    }

    /// Notes where the labels are. Returns where the name ends.
    #[inline]
    fn walk(&mut self, bytes: &[u8]) -> Option<usize> {
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
        self.length = at as u8 + 1;
        Some(at + 1)
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

    /// The same of the name without its first `index` labels.
    pub fn write_suffix(&self, index: usize, out: &mut impl fmt::Write) -> fmt::Result {
        name::write_text(self.suffix(index), out)
    }

    /// Puts all of it into the front of `out` at once, if it has letters, digits, hyphens and underscores alone, as nearly all names do: then it is its
    /// wire form with dots in it. Returns its length, behind which anything stands in `out`; `None` of others,
    /// and where there is no room, with anything in all of it.
    pub fn put_plain(&self, out: &mut [u8]) -> Option<usize> {
        let inner = self.as_wire().get(1..usize::from(self.length) - 1)?;
        // Of a usual name more than there is, in a few moves: what stands behind it is nobody's yet.
        match (
            out.first_chunk_mut::<SHORT>(),
            self.wire.get(1..).and_then(|wire| wire.first_chunk::<SHORT>()),
        ) {
            (Some(out), Some(wire)) if inner.len() <= SHORT => *out = *wire,
            _ => out.get_mut(..inner.len())?.copy_from_slice(inner),
        }
        let text = out.get_mut(..inner.len())?;
        // The first label's length is not there, so that each offset is one too far.
        for offset in self.labels.get(1..usize::from(self.count))? {
            *text.get_mut(usize::from(*offset) - 1)? = b'.';
        }
        // A dot of a label's own is none that was put in.
        let weight: u32 = text.iter().map(weight_of).sum();
        (weight + 1 == u32::from(self.count)).then_some(inner.len())
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

/// Bytes that are copied of a name however short it is.
const SHORT: usize = 48;

/// Of each byte of a name's text: nothing for a plain one, one for a dot, more than there are dots for any other.
const WEIGHTS: [u16; 256] = {
    let mut weights = [256; 256];
    let (mut rest, mut byte) = (weights.as_mut_slice(), 0_u8);
    while let Some((weight, behind)) = rest.split_first_mut() {
        *weight = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => 0,
            b'.' => 1,
            _ => 256,
        };
        (rest, byte) = (behind, byte.wrapping_add(1));
    }
    weights
};

fn weight_of(byte: &u8) -> u32 {
    WEIGHTS.get(usize::from(*byte)).copied().unwrap_or(u16::MAX).into()
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
            let text = name.to_string();
            let is_plain = !text.contains('\\') && text != ".";
            let mut room = [b'!'; 300];
            let put = name.put_plain(&mut room).map(|length| &room[..length]);
            assert_eq!(put, is_plain.then_some(text.as_bytes()), "{text}");
            // Where there is room for a byte less.
            assert_eq!(name.put_plain(&mut [0; 300][..text.len() - 1]), None);
            let mut copied = CanonicalName::read(b"\x03www\x07example\0").unwrap();
            copied.copy_over(name.as_wire()).unwrap();
            assert_eq!((copied.to_string(), copied.label_count()), (text, name.label_count()));
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
