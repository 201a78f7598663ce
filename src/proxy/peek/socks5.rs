//! Owns what a client of SOCKS version 5 says (RFC 1928): the methods it offers, and whom it wants. Never reads an authentication.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Look;
use super::bytes::Bytes;
use super::host::Host;

/// The first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Bytes of it.
    pub length: usize,
    /// Whether it may go on without authentication.
    pub is_open: bool,
}

/// The second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes of it.
    pub length: usize,
    /// Whether a connection is wanted; other commands are not served.
    pub connects: bool,
    /// Whom; `None` for an address of a kind that is not known, or a name that is none.
    pub host: Option<Host>,
    /// The port.
    pub port: u16,
}

const VERSION: u8 = 5;

/// Reads the first message.
pub fn read_greeting(bytes: &[u8]) -> Look<Greeting> {
    match bytes {
        [] => Look::More(2),
        [VERSION] => Look::More(2),
        [VERSION, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            Some([]) => Look::Malformed("no method is offered"),
            Some(methods) => {
                Look::Found(Greeting { length: 2 + methods.len(), is_open: methods.contains(&0) })
            }
            None => Look::More(2 + usize::from(*count)),
        },
        _ => Look::Other,
    }
}

/// Reads the second message.
pub fn read_request(bytes: &[u8]) -> Look<Request> {
    let (command, kind, length) = match bytes {
        [version, ..] if *version != VERSION => {
            return Look::Malformed("another version than the greeting's");
        }
        [_, _, reserved, ..] if *reserved != 0 => {
            return Look::Malformed("the byte that is none is not zero");
        }
        [_, command, _, kind, first, ..] => {
            let address = match kind {
                1 => 4,
                3 => 1 + usize::from(*first),
                4 => 16,
                _ => return Look::Malformed("an address of no known kind"),
            };
            (*command, *kind, 4 + address + 2)
        }
        _ => return Look::More(5),
    };
    let Some(address) = bytes.get(4..length) else { return Look::More(length) };
    let mut address = Bytes(address);
    let host = match kind {
        1 => address
            .take(4)
            .and_then(|raw| <[u8; 4]>::try_from(raw).ok())
            .map(|raw| Host::Address(Ipv4Addr::from(raw).into())),
        4 => address
            .take(16)
            .and_then(|raw| <[u8; 16]>::try_from(raw).ok())
            .map(|raw| Host::Address(IpAddr::from(Ipv6Addr::from(raw)).to_canonical())),
        _ => address.counted(1).and_then(Host::read),
    };
    let port = address.number(2).unwrap_or(0) as u16;
    Look::Found(Request { length, connects: command == 1, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_understood_however_little_comes_at_once() {
        let greeting = [5, 2, 2, 0];
        for end in 0..greeting.len() {
            assert!(matches!(read_greeting(&greeting[..end]), Look::More(needed) if needed > end));
        }
        assert_eq!(read_greeting(&[5, 2, 2, 0, 9]), Look::Found(Greeting { length: 4, is_open: true }));
        assert_eq!(read_greeting(&[5, 1, 2]), Look::Found(Greeting { length: 3, is_open: false }));
        assert_eq!(read_greeting(&[4, 1]), Look::Other);
        assert!(matches!(read_greeting(&[5, 0]), Look::Malformed(_)));

        let requests = [
            ([&[5, 1, 0, 3, 11][..], b"Example.com", &[1, 0xBB]].concat(), "example.com"),
            (vec![5, 1, 0, 1, 192, 0, 2, 7, 1, 0xBB], "192.0.2.7"),
            ([&[5, 1, 0, 4, 0x20, 1, 0xD, 0xB8][..], &[0; 11], &[7, 1, 0xBB]].concat(), "2001:db8::7"),
        ];
        for (bytes, host) in requests {
            for end in 0..bytes.len() {
                assert!(
                    matches!(read_request(&bytes[..end]), Look::More(needed) if needed > end && needed <= bytes.len())
                );
            }
            let Look::Found(found) = read_request(&bytes) else { panic!("{bytes:?}") };
            let said = found.host.unwrap().to_string();
            assert_eq!(
                (said.trim_end_matches('.'), found.port, found.length, found.connects),
                (host, 443, bytes.len(), true)
            );
        }
        assert!(matches!(
            read_request(&[5, 1, 0, 3, 1, b' ', 0, 1]),
            Look::Found(Request { host: None, .. })
        ));
        assert!(matches!(
            read_request(&[5, 2, 0, 1, 1, 1, 1, 1, 0, 1]),
            Look::Found(Request { connects: false, .. })
        ));
        for wrong in [&[4, 1, 0, 1][..], &[5, 1, 1, 1], &[5, 1, 0, 2, 0]] {
            assert!(matches!(read_request(wrong), Look::Malformed(_)), "{wrong:?}");
        }
    }
}
