//! Owns what a client of SOCKS version 5 says (RFC 1928): the methods it offers, who it is (RFC 1929), and whom it
//! wants. Never checks a password.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Look;
use super::bytes::Bytes;
use super::host::Host;
use crate::net::Login;

/// The first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Bytes of it.
    pub length: usize,
    /// Whether it may go on without authentication.
    pub is_open: bool,
    /// Whether it would show a name and a password.
    pub has_login: bool,
}

/// What a client says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Bytes of it.
    pub length: usize,
    /// Who; `None` for a name that is none.
    pub login: Option<Login>,
}

/// The last.
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
/// That of the message in between (RFC 1929 section 2).
const LOGIN_VERSION: u8 = 1;

/// Reads the first message.
pub fn read_greeting(bytes: &[u8]) -> Look<Greeting> {
    match bytes {
        [] => Look::More(2),
        [VERSION] => Look::More(2),
        [VERSION, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            Some([]) => Look::Malformed("no method is offered"),
            Some(methods) => Look::Found(Greeting {
                length: 2 + methods.len(),
                is_open: methods.contains(&0),
                has_login: methods.contains(&2),
            }),
            None => Look::More(2 + usize::from(*count)),
        },
        _ => Look::Other,
    }
}

/// Reads the message that says who it is, where it was asked for.
pub fn read_login(bytes: &[u8]) -> Look<Shown> {
    let length_at = |at: usize| bytes.get(at).map(|length| usize::from(*length));
    match bytes {
        [] | [LOGIN_VERSION] => return Look::More(3),
        [LOGIN_VERSION, ..] => {}
        _ => return Look::Malformed("another version of who it is"),
    }
    let Some(end_of_name) = length_at(1).map(|length| 2 + length) else { return Look::More(3) };
    let Some(end) = length_at(end_of_name).map(|length| end_of_name + 1 + length) else {
        return Look::More(end_of_name + 1);
    };
    match (bytes.get(2..end_of_name), bytes.get(end_of_name + 1..end)) {
        (Some(name), Some(password)) => Look::Found(Shown { length: end, login: Login::new(name, password) }),
        _ => Look::More(end),
    }
}

/// Reads the last message.
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
    fn who_it_is_is_read_however_little_comes_at_once() {
        let message = b"\x01\x03ada\x06s3cretX";
        let whole = message.len() - 1;
        for end in 0..whole {
            assert!(
                matches!(read_login(&message[..end]), Look::More(needed) if needed > end && needed <= whole),
                "{end}: {:?}",
                read_login(&message[..end])
            );
        }
        let Look::Found(Shown { length, login: Some(login) }) = read_login(message) else { panic!() };
        assert_eq!((length, login.name.as_str(), login.password.as_slice()), (whole, "ada", &b"s3cret"[..]));
        assert_eq!(read_login(b"\x01\0\x01a"), Look::Found(Shown { length: 4, login: None }));
        assert!(matches!(read_login(b"\x05\x01a"), Look::Malformed(_)));
    }

    #[test]
    fn a_client_is_understood_however_little_comes_at_once() {
        let greeting = [5, 2, 2, 0];
        for end in 0..greeting.len() {
            assert!(matches!(read_greeting(&greeting[..end]), Look::More(needed) if needed > end));
        }
        assert_eq!(
            read_greeting(&[5, 2, 2, 0, 9]),
            Look::Found(Greeting { length: 4, is_open: true, has_login: true })
        );
        assert_eq!(
            read_greeting(&[5, 1, 2]),
            Look::Found(Greeting { length: 3, is_open: false, has_login: true })
        );
        assert_eq!(
            read_greeting(&[5, 1, 0]),
            Look::Found(Greeting { length: 3, is_open: true, has_login: false })
        );
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
