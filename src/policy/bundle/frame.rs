//! Owns the frame of a bundle: a head that says which form it has, where its sections lie and what all its bytes hash to.
//! Never knows what a section means.
//!
//! Numbers are little-endian. Byte 0: sixteen of magic; 16: version; 20: number of sections; 24: length of the file (8 bytes);
//! 32: SHA-256 of all other bytes; 64: begin and length of each section (8 bytes each); then the sections, each from a
//! multiple of 64 on, with zeros between. There is one way to write a bundle: whatever is not written so is refused.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::super::matcher::Image;
use super::flaw::Flaw;

/// Sections, in this order: words in JSON, the code of names, groups and entries of the table.
pub(super) const SECTIONS: usize = 4;

const MAGIC: &[u8; 16] = b"interdict bundle";
/// Another one whenever anything that is kept changes its meaning.
pub(super) const VERSION: u32 = 3;
/// A cache line: a section's first byte is as aligned as any table wants it.
const ALIGNMENT: usize = 64;
const DIGEST: Range<usize> = 32..64;
const HEAD: usize = 64 + SECTIONS * 16;

/// Puts sections together.
pub(super) fn write(sections: [&[u8]; SECTIONS]) -> Vec<u8> {
    let ranges = layout(sections.map(<[u8]>::len));
    let length = ranges.last().map_or(HEAD, |last| last.end);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((SECTIONS as u32).to_le_bytes());
    bytes.extend((length as u64).to_le_bytes());
    bytes.extend([0; 32]);
    for range in &ranges {
        bytes.extend((range.start as u64).to_le_bytes());
        bytes.extend((range.len() as u64).to_le_bytes());
    }
    for (range, section) in ranges.iter().zip(sections) {
        bytes.resize(range.start, 0);
        bytes.extend(section);
    }
    seal(&mut bytes);
    bytes
}

/// Takes a bundle apart, and returns what its bytes hash to. Reads all of it once.
pub(super) fn read(image: &Image) -> Result<([Image; SECTIONS], [u8; 32]), Flaw> {
    let bytes: &[u8] = image;
    if bytes.get(..MAGIC.len()) != Some(MAGIC) {
        return Err(Flaw::NoBundle);
    }
    let version = number(bytes, 16, 4).ok_or(Flaw::Cut)?;
    if version != u64::from(VERSION) {
        return Err(Flaw::Version(version as u32));
    }
    let length = number(bytes, 24, 8).ok_or(Flaw::Cut)?;
    if (bytes.len() as u64) < length {
        return Err(Flaw::Cut);
    }
    let said = bytes.get(DIGEST).ok_or(Flaw::Cut)?;
    if bytes.len() as u64 > length || number(bytes, 20, 4) != Some(SECTIONS as u64) {
        return Err(Flaw::Layout("its length or number of sections"));
    }
    let digest = digest(bytes);
    if digest != said {
        return Err(Flaw::Digest);
    }
    let mut lengths = [0; SECTIONS];
    for (at, slot) in lengths.iter_mut().enumerate() {
        let length = number(bytes, 64 + at * 16 + 8, 8).filter(|length| *length <= bytes.len() as u64);
        *slot = length.ok_or(Flaw::Layout("the length of a section"))? as usize;
    }
    let ranges = layout(lengths);
    let mut end = HEAD;
    for (at, range) in ranges.iter().enumerate() {
        if number(bytes, 64 + at * 16, 8) != Some(range.start as u64) {
            return Err(Flaw::Layout("where a section begins"));
        }
        // A begin past the end has no bytes between, and fails below.
        if bytes.get(end..range.start).is_none_or(|between| between.iter().any(|byte| *byte != 0)) {
            return Err(Flaw::Layout("what stands between two sections"));
        }
        end = range.end;
    }
    if end != bytes.len() {
        return Err(Flaw::Layout("where its last section ends"));
    }
    let mut sections: [Image; SECTIONS] = Default::default();
    for (section, range) in sections.iter_mut().zip(ranges) {
        *section = image.part(range).ok_or(Flaw::Cut)?;
    }
    Ok((sections, digest))
}

/// Writes into the head of a bundle what its bytes hash to.
pub(super) fn seal(bytes: &mut [u8]) {
    let digest = digest(bytes);
    if let Some(slot) = bytes.get_mut(DIGEST) {
        slot.copy_from_slice(&digest);
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(bytes.get(..DIGEST.start).unwrap_or(bytes));
    hash.update(bytes.get(DIGEST.end..).unwrap_or_default());
    hash.finalize().into()
}

/// Where sections of these lengths lie. Lengths are at most those of a file, whose sum cannot overflow.
fn layout(lengths: [usize; SECTIONS]) -> [Range<usize>; SECTIONS] {
    let mut end = HEAD;
    lengths.map(|length| {
        let start = end.next_multiple_of(ALIGNMENT);
        end = start + length;
        start..end
    })
}

/// The number in `size` bytes from `at` on.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + size)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Flaw> {
        read(&bytes.to_vec().into())
            .map(|(sections, _)| sections.iter().map(|section| section.to_vec()).collect())
    }

    #[test]
    fn sections_come_back_and_begin_at_whole_cache_lines() {
        let sections: [&[u8]; SECTIONS] = [b"words", b"", b"0123456789ABCDEF", b"entries"];
        let bytes = write(sections);
        assert_eq!(read_bytes(&bytes).unwrap(), sections);
        assert_eq!(bytes.len(), 256 + 7);
        assert_eq!(&bytes[192..208], b"0123456789ABCDEF");
    }

    #[test]
    fn no_byte_can_be_another_and_none_can_lack() {
        let bytes = write([b"words", b"code", b"groups", b"entries"]);
        for at in 0..bytes.len() {
            for flip in [1, 0x80] {
                let mut other = bytes.clone();
                other[at] ^= flip;
                assert!(read_bytes(&other).is_err(), "{at}");
            }
            assert!(read_bytes(&bytes[..at]).is_err(), "{at}");
        }
        assert!(read_bytes(&[&bytes[..], b"\0"].concat()).is_err());
    }

    #[test]
    fn a_frame_that_hashes_well_must_still_be_the_one_way_to_write_it() {
        let bytes = write([b"words", b"code", b"groups", b"entries"]);
        for at in (0..DIGEST.start).chain(DIGEST.end..bytes.len()) {
            let mut other = bytes.clone();
            other[at] ^= 1;
            seal(&mut other);
            let section = [128..133, 192..196, 256..262, 320..327].iter().any(|range| range.contains(&at));
            // A section may as well be one byte longer where a zero stands behind it.
            if (64..HEAD).contains(&at) && (at - 64) % 16 == 8 {
                continue;
            }
            assert_eq!(read_bytes(&other).is_ok(), section, "{at}");
        }
        for (at, value, word) in [(16, 9, "form 9"), (0, 0, "not a bundle")] {
            let mut other = bytes.clone();
            other[at] = value;
            seal(&mut other);
            assert!(read_bytes(&other).unwrap_err().to_string().contains(word));
        }
    }
}
