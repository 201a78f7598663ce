//! Owns the fields of a first request of HTTP/2 (RFC 7541), as far as they name its host; all others are passed over. Never keeps a table beyond
//! that request.

use super::bytes::Bytes;
use super::host::Authority;
use super::huffman;

/// Which field it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Authority,
    Host,
    Other,
}

/// A text as it lies in the block.
#[derive(Clone, Copy)]
struct Text<'b> {
    bytes: &'b [u8],
    is_coded: bool,
}

const BROKEN: &str = "a field of the request breaks off";
/// Fields that the standard lists beforehand.
const LISTED: u64 = 61;

/// The host that the fields in `block` name; `None` when they name none.
pub(super) fn authority(block: &[u8]) -> Result<Option<Authority>, &'static str> {
    let mut block = Bytes(block);
    let mut added: Vec<(Field, Text<'_>)> = Vec::new();
    let (mut authority, mut host) = (None, None);
    while let Some(&first) = block.0.first() {
        let (field, value) = if first & 0x80 != 0 {
            match index(&mut block, 7)? {
                0 => return Err("a field without a number"),
                number @ 1..=LISTED => (listed(number), None),
                number => {
                    let (field, value) = of_added(&added, number)?;
                    (field, Some(value))
                }
            }
        } else if first & 0xE0 == 0x20 {
            // Another size for a table of which nobody asks anything later.
            index(&mut block, 5)?;
            continue;
        } else {
            let is_added = first & 0x40 != 0;
            let field = match index(&mut block, if is_added { 6 } else { 4 })? {
                0 => named(text(&mut block)?)?,
                number @ 1..=LISTED => listed(number),
                number => of_added(&added, number)?.0,
            };
            let value = text(&mut block)?;
            if is_added {
                added.push((field, value));
            }
            (field, Some(value))
        };
        let place = match field {
            Field::Authority => &mut authority,
            Field::Host => &mut host,
            Field::Other => continue,
        };
        let value = value.map_or(Ok(Vec::new()), Text::read)?;
        if place.replace(Authority::read(&value).ok_or("the request's host is none")?).is_some() {
            return Err("two fields for the request's host");
        }
    }
    match (authority, host) {
        (Some(one), Some(other)) if one != other => Err("two hosts for one request"),
        (authority, host) => Ok(authority.or(host)),
    }
}

impl Text<'_> {
    fn read(self) -> Result<Vec<u8>, &'static str> {
        if self.is_coded {
            huffman::decode(self.bytes).ok_or("a coded text that is in no name")
        } else {
            Ok(self.bytes.to_vec())
        }
    }
}

/// A number whose first `bits` bits share a byte with something else (RFC 7541 section 5.1).
fn index(block: &mut Bytes<'_>, bits: u32) -> Result<u64, &'static str> {
    let most = (1 << bits) - 1;
    let first = u64::from(block.u8().ok_or(BROKEN)?) & most;
    if first < most {
        return Ok(first);
    }
    let mut number = most;
    for shift in [0, 7, 14, 21] {
        let byte = block.u8().ok_or(BROKEN)?;
        number += u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number that is too large")
}

fn text<'b>(block: &mut Bytes<'b>) -> Result<Text<'b>, &'static str> {
    let is_coded = block.0.first().is_some_and(|byte| byte & 0x80 != 0);
    let length = index(block, 7)? as usize;
    Ok(Text { bytes: block.take(length).ok_or(BROKEN)?, is_coded })
}

fn listed(number: u64) -> Field {
    match number {
        1 => Field::Authority,
        38 => Field::Host,
        _ => Field::Other,
    }
}

fn named(name: Text<'_>) -> Result<Field, &'static str> {
    Ok(match name.read()?.as_slice() {
        b":authority" => Field::Authority,
        name if name.eq_ignore_ascii_case(b"host") => Field::Host,
        _ => Field::Other,
    })
}

/// What was added last is counted first. What a small table has pushed out is still found here; the server would end the connection.
fn of_added<'b>(added: &[(Field, Text<'b>)], number: u64) -> Result<(Field, Text<'b>), &'static str> {
    let back = (number - LISTED) as usize;
    added.len().checked_sub(back).and_then(|at| added.get(at)).copied().ok_or("a field that is in no table")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(block: &[u8]) -> Result<Option<String>, &'static str> {
        authority(block).map(|found| found.map(|found| found.host.to_string()))
    }

    #[test]
    fn the_host_is_found_in_every_form_of_a_field() {
        let plain = [&[0x82, 0x86, 0x84, 0x41, 0x0F][..], b"www.example.com"].concat();
        let name = host(&plain).unwrap();
        assert!(name.as_deref().is_some_and(|name| name.starts_with("www.example.com")));
        let coded = [
            &[0x82, 0x86, 0x84, 0x41, 0x8C][..],
            &[0xF1, 0xE3, 0xC2, 0xE5, 0xF2, 0x3A, 0x6B, 0xA0, 0xAB, 0x90, 0xF4, 0xFF],
        ]
        .concat();
        assert_eq!(host(&coded).unwrap(), name);
        // Sent once, then shown again by its number: twice is once too often, in one request.
        assert_eq!(host(&[&plain[..], &[0xBE]].concat()), Err("two fields for the request's host"));
        let literal =
            [&[0x3F, 0xE1, 0x1F, 0x00, 0x0A][..], b":authority\x09a.example", &[0x0F, 0x18, 1, b'x']]
                .concat();
        assert!(host(&literal).unwrap().unwrap().starts_with("a.example"));
        assert_eq!(host(&[0x82, 0x84]), Ok(None));
        let two = [&plain[..], &[0x66, 1, b'b']].concat();
        assert_eq!(host(&two), Err("two hosts for one request"));
        for wrong in [
            &[0x80][..],
            &[0xBE],
            &[0x41, 0x0F, b'w'],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x81],
            &[0x40],
        ] {
            assert!(host(wrong).is_err(), "{wrong:?}");
        }
    }
}
