//! Owns the first request of a client that speaks HTTP/2 without asking first (RFC 9113 section 3.3): the preface, the frames up to its
//! first fields, and whom these name. Never looks at a second request.

use super::bytes::Bytes;
use super::host::Authority;
use super::{Look, MOST, hpack};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, type, flags, stream.
const HEADER: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// Reads up to the first request; `None` found when that names no host.
pub fn read(stream: &[u8]) -> Look<Option<Authority>> {
    let Some(frames) = stream.strip_prefix(PREFACE) else {
        return if PREFACE.starts_with(stream) { Look::More(stream.len() + 1) } else { Look::Other };
    };
    let mut rest = Bytes(frames);
    let mut block: Option<Vec<u8>> = None;
    let mut is_first = true;
    loop {
        let begun = stream.len() - rest.0.len();
        let Some(header) = rest.take(HEADER).and_then(|header| <&[u8; HEADER]>::try_from(header).ok()) else {
            return more(stream, begun + HEADER);
        };
        let [high, middle, low, kind, flags, ..] = *header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if std::mem::take(&mut is_first) && kind != SETTINGS {
            return Look::Malformed("the first frame is not the settings");
        }
        let Some(payload) = rest.take(length) else {
            return if length > MOST { Look::TooBig } else { more(stream, begun + HEADER + length) };
        };
        match (kind, &mut block) {
            (HEADERS, None) => match fragment(payload, flags) {
                Some(fragment) => block = Some(fragment.to_vec()),
                None => return Look::Malformed("a request's frame breaks off"),
            },
            (CONTINUATION, Some(block)) => block.extend_from_slice(payload),
            (_, Some(_)) | (CONTINUATION, None) => {
                return Look::Malformed("a frame inside of a request's fields");
            }
            _ => continue,
        }
        if flags & END != 0 {
            return match hpack::authority(&block.unwrap_or_default()) {
                Ok(found) => Look::Found(found),
                Err(what) => Look::Malformed(what),
            };
        }
    }
}

/// The part of the fields in a frame that begins a request.
fn fragment(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let mut rest = Bytes(payload);
    let padding = if flags & PADDED != 0 { usize::from(rest.u8()?) } else { 0 };
    if flags & PRIORITY != 0 {
        rest.take(5)?;
    }
    rest.take(rest.0.len().checked_sub(padding)?)
}

fn more<T>(stream: &[u8], needed: usize) -> Look<T> {
    if stream.len() >= MOST { Look::TooBig } else { Look::More(needed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1][..], payload].concat()
    }

    #[test]
    fn the_first_request_is_read_from_whatever_frames() {
        let fields = [&[0x82, 0x86, 0x84, 0x01, 0x09][..], b"a.example"].concat();
        let padded = [&[3, 0, 0, 0, 0, 16][..], &fields[..4], &[0; 3]].concat();
        let whole = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, &[0, 4, 0, 1, 0, 0]),
            frame(8, 0, &[0, 0, 0xFF, 0]),
            frame(HEADERS, PADDED | PRIORITY, &padded),
            frame(CONTINUATION, END, &fields[4..]),
        ]
        .concat();
        for end in 0..whole.len() {
            assert!(
                matches!(read(&whole[..end]), Look::More(needed) if needed > end && needed <= whole.len()),
                "{end}"
            );
        }
        let Look::Found(Some(found)) = read(&whole) else { panic!("{:?}", read(&whole)) };
        assert!(found.host.to_string().starts_with("a.example"));
    }

    #[test]
    fn what_is_not_http2_is_told_apart() {
        assert_eq!(read(b"POST / HTTP/1.1"), Look::Other);
        assert_eq!(read(b"PRI * HTTP/2.0\r\n\r\nXX"), Look::Other);
        for frames in
            [frame(HEADERS, END, &[]), [frame(SETTINGS, 0, &[]), frame(CONTINUATION, END, &[])].concat()]
        {
            assert!(matches!(read(&[PREFACE, &frames].concat()), Look::Malformed(_)));
        }
        let inside = [frame(SETTINGS, 0, &[]), frame(HEADERS, 0, &[0x82]), frame(8, 0, &[0; 4])].concat();
        assert!(matches!(read(&[PREFACE, &inside].concat()), Look::Malformed(_)));
        assert_eq!(read(&[PREFACE, &[0xFF, 0, 0, SETTINGS, 0, 0, 0, 0, 0]].concat()), Look::TooBig);
    }
}
