//! Owns the unpacking of gzip and zstd under a size cap, counted in unpacked bytes: a few kilobytes that unpack to
//! gigabytes are cut off at the cap. The only door of `flate2` and `ruzstd`. Never looks at what it unpacked.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why packed bytes do not unpack.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    /// Not what a packer writes.
    #[error("{0}")]
    Damaged(String),
    /// Over the cap, in bytes.
    #[error("unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// Ends before its end.
    #[error("the packed bytes are cut off")]
    Truncated,
}

impl Packing {
    /// How a file is packed, by its first bytes; no list in any syntax begins like that.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&[0x1F, 0x8B]) {
            Some(Self::Gzip)
        } else if bytes.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Unpacks all of `bytes`, to at most `cap` bytes.
    pub(super) fn unpack(self, bytes: &[u8], cap: u64) -> Result<Vec<u8>, UnpackError> {
        let mut out = Vec::new();
        match self {
            Self::Gzip => append(&mut out, MultiGzDecoder::new(bytes), cap)?,
            Self::Zstd => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    frame(&mut out, &mut rest, cap)?;
                }
            }
        }
        Ok(out)
    }
}

/// One frame: `rest` is left where it ends.
fn frame(out: &mut Vec<u8>, rest: &mut &[u8], cap: u64) -> Result<(), UnpackError> {
    let mut decoder = match StreamingDecoder::new(&mut *rest) {
        Ok(decoder) => decoder,
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            *rest = rest.get(length as usize..).ok_or(UnpackError::Truncated)?;
            return Ok(());
        }
        Err(error) => return Err(broken(rest, error.to_string())),
    };
    let read = append(out, &mut decoder, cap);
    let decoder = decoder.into_frame_decoder();
    match read {
        Err(UnpackError::Damaged(why)) => return Err(broken(rest, why)),
        other => other?,
    }
    match decoder.get_checksum_from_data() {
        Some(sum) if decoder.get_calculated_checksum() != Some(sum) => {
            Err(UnpackError::Damaged("the checksum is wrong".to_owned()))
        }
        _ => Ok(()),
    }
}

/// A decoder that used up its bytes wanted more.
fn broken(rest: &[u8], why: String) -> UnpackError {
    if rest.is_empty() { UnpackError::Truncated } else { UnpackError::Damaged(why) }
}

fn append(out: &mut Vec<u8>, unpacked: impl Read, cap: u64) -> Result<(), UnpackError> {
    let room = cap.saturating_sub(out.len() as u64);
    let read = unpacked.take(room.saturating_add(1)).read_to_end(out);
    match read {
        Ok(_) if out.len() as u64 > cap => Err(UnpackError::TooLarge(cap)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(UnpackError::Truncated),
        Err(error) => Err(UnpackError::Damaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn both_packings_unpack_to_the_last_byte_and_not_one_over_the_cap() {
        let list = "one.example\n".repeat(1000).into_bytes();
        for packed in [gzip(&list), zstd(&list)] {
            let packing = Packing::of(&packed).unwrap();
            assert_eq!(packing.unpack(&packed, list.len() as u64).unwrap(), list);
            let over = packing.unpack(&packed, list.len() as u64 - 1);
            assert!(matches!(over, Err(UnpackError::TooLarge(_))), "{over:?}");
        }
        assert_eq!(Packing::of(b"one.example\n"), None);
    }

    #[test]
    fn several_members_are_one_list() {
        for pack in [gzip, zstd] {
            let packed = [pack(b"one.example\n"), pack(b"two.example\n")].concat();
            let unpacked = Packing::of(&packed).unwrap().unpack(&packed, 100).unwrap();
            assert_eq!(unpacked, b"one.example\ntwo.example\n");
        }
        let mut skipped = vec![0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        skipped.extend(zstd(b"one.example\n"));
        assert_eq!(Packing::Zstd.unpack(&skipped, 100).unwrap(), b"one.example\n");
    }

    #[test]
    fn every_cut_is_noticed_and_no_changed_byte_passes_for_the_list() {
        let list = "one.example\ntwo.example\n".repeat(20).into_bytes();
        for packed in [gzip(&list), zstd(&list)] {
            let packing = Packing::of(&packed).unwrap();
            for end in 4..packed.len() {
                let cut = packing.unpack(&packed[..end], 1 << 20);
                assert!(matches!(cut, Err(UnpackError::Truncated)), "{packing:?} cut at {end}: {cut:?}");
            }
            for at in 4..packed.len() {
                let mut changed = packed.clone();
                changed[at] ^= 0x40;
                if let Ok(unpacked) = packing.unpack(&changed, 1 << 20) {
                    assert_eq!(unpacked, list, "{packing:?} changed at {at}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_cut_off_at_the_cap() {
        let zeros = vec![0; 64 << 20];
        for packed in [gzip(&zeros), zstd(&zeros)] {
            assert!(packed.len() < 1 << 20, "{}", packed.len());
            let refused = Packing::of(&packed).unwrap().unpack(&packed, 1 << 16);
            assert!(matches!(refused, Err(UnpackError::TooLarge(65_536))), "{refused:?}");
        }
    }
}
