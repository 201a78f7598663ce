//! Owns the ClientHello at the beginning of a stream: TLS records (RFC 8446 section 5.1), over however many the message is cut. Never reads what
//! comes behind it.

use std::borrow::Cow;

use super::hello::{self, ClientHello};
use super::{Look, MOST};

/// Of a record: its type, its version, its length.
const HEADER: usize = 5;
const HANDSHAKE: u8 = 22;
/// Most bytes of a plain record.
const LONGEST: usize = 1 << 14;

/// Reads the hello at the front of `stream`, which may be fewer bytes than it has.
pub fn read(stream: &[u8]) -> Look<ClientHello> {
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut at = 0;
    loop {
        let rest = stream.get(at..).unwrap_or(&[]);
        let is_first = at == 0;
        match rest {
            [HANDSHAKE, 3, ..] | [HANDSHAKE] | [] => {}
            _ if is_first => return Look::Other,
            _ => return Look::Malformed("another record inside of the hello"),
        }
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else {
            return more(stream, at + HEADER);
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if length == 0 || length > LONGEST {
            return Look::Malformed("a record of a length that is forbidden");
        }
        let end = at + HEADER + length;
        let part = rest.get(..length).unwrap_or(rest);
        if is_first {
            message = Cow::Borrowed(part);
        } else {
            message.to_mut().extend_from_slice(part);
        }
        match hello::read(&message, MOST) {
            // What it waits for may be in this record, or in a later one.
            Look::More(needed) if part.len() == length && needed > message.len() => at = end,
            Look::More(needed) => return more(stream, (stream.len() + needed - message.len()).min(end)),
            found => return found,
        }
    }
}

fn more(stream: &[u8], needed: usize) -> Look<ClientHello> {
    if stream.len() >= MOST { Look::TooBig } else { Look::More(needed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
    }

    fn names(names: &[&str]) -> Vec<u8> {
        let list: Vec<u8> =
            names.iter().flat_map(|name| [&[0, 0, name.len() as u8], name.as_bytes()].concat()).collect();
        extension(0, &[&(list.len() as u16).to_be_bytes()[..], &list].concat())
    }

    fn message(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0x1A, 0x1A, 0x13, 1, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat()
    }

    fn records(message: &[u8], each: usize) -> Vec<u8> {
        message
            .chunks(each)
            .flat_map(|part| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat())
            .collect()
    }

    fn server(found: &Look<ClientHello>) -> String {
        match found {
            Look::Found(hello) => hello.server_name.as_ref().map(Host::to_string).unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    use super::super::host::Host;

    #[test]
    fn a_hello_is_read_however_it_is_cut() {
        let all = [
            extension(0x2A2A, &[]),
            names(&["WWW.TikTok.com"]),
            extension(16, b"\0\x0c\x02h2\x08http/1.1"),
            extension(0x3A3A, &[0]),
        ]
        .concat();
        let message = message(&all);
        for each in [1, 2, 5, 60, 10_000] {
            let stream = records(&message, each);
            let mut looks = 0;
            let mut wanted = 0;
            for end in 0..stream.len() {
                let found = read(&stream[..end]);
                let Look::More(needed) = found else { panic!("{end}: {found:?}") };
                assert!(needed > end && needed <= stream.len(), "{needed} of {end}");
                if end >= wanted {
                    (looks, wanted) = (looks + 1, needed);
                }
            }
            assert!(looks <= 2 * message.len().div_ceil(each) + 3, "{looks} looks at records of {each}");
            let found = read(&[&stream[..], b"behind it"].concat());
            assert_eq!(server(&found), "www.tiktok.com");
            let Look::Found(hello) = found else { panic!() };
            assert_eq!(
                (hello.protocols, hello.encrypted),
                (vec!["h2".to_owned(), "http/1.1".to_owned()], false)
            );
        }
    }

    #[test]
    fn what_says_no_name_or_an_outer_one_is_told_apart() {
        assert_eq!(server(&read(&records(&message(&[]), 100))), "");
        let outer = [names(&["cover.example"]), extension(0xFE0D, &[0; 40])].concat();
        let found = read(&records(&message(&outer), 1000));
        assert_eq!(server(&found), "cover.example");
        assert!(matches!(found, Look::Found(hello) if hello.encrypted));
        assert_eq!(server(&read(&records(&message(&names(&["192.0.2.7"])), 1000))), "192.0.2.7");
    }

    #[test]
    fn what_is_no_hello_is_no_hello() {
        for other in [&b"GET / HTTP/1.1"[..], b"\x16\x02", b"\x17\x03\x03", b"\x80\x2e\x01\x03\x01", b"\0"] {
            assert_eq!(read(other), Look::Other, "{other:?}");
        }
        let whole = records(&message(&names(&["a.example"])), 1000);
        let malformed =
            |bytes: &[u8]| assert!(matches!(read(bytes), Look::Malformed(_)), "{:?}", read(bytes));
        malformed(&records(&message(&[names(&["a.example"]), names(&["b.example"])].concat()), 1000));
        malformed(&records(&message(&names(&["a.example", "b.example"])), 1000));
        malformed(&records(&message(&names(&[])), 1000));
        malformed(&records(&message(&names(&["a b"])), 1000));
        malformed(&records(&message(&[names(&["a.example"]), vec![0]].concat()), 1000));
        malformed(&[22, 3, 1, 0, 0]);
        malformed(&[22, 3, 1, 0x40, 1]);
        malformed(&[&[22, 3, 1, 0, 1, 1][..], b"\x15\x03\x01\0\x02\x02\x28"].concat());
        malformed(&[22, 3, 1, 0, 1, 2]);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xFF;
            let _whatever = read(&changed);
        }
        assert_eq!(read(&[22, 3, 1, 0x40, 0, 1, 1, 0, 0]), Look::TooBig, "a hello of 64 KiB");
        let endless: Vec<u8> = records(&[&[1, 0, 0x3F, 0xF0][..], &[0; 12_000]].concat(), 4);
        assert_eq!(read(&endless), Look::TooBig, "records eat up the room");
    }
}
