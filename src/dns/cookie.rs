//! Owns DNS cookies (RFC 7873) in the form that all servers of an anycast address share (RFC 9018): reading a client's, making and checking
//! a server's. Never keeps anything of a client.

use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use super::HEADER;
use super::message::{Message, Section};
use super::types::RecordType;

/// The secrets of the servers of one address, in hexadecimal in a configuration. The first makes cookies; all are believed, so that a new one can
/// be brought in without anybody noticing (RFC 9018 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies(Vec<[u8; 16]>);

/// The cookie that a query shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The client's own part.
    pub client: [u8; 8],
    /// What a server gave it, if it is of the known form.
    pub server: Option<[u8; 16]>,
    /// The largest reply over UDP that the client takes.
    pub payload: u16,
}

/// The option COOKIE.
pub const COOKIE: u16 = 10;
/// Seconds for which a cookie is believed, and how far another server's clock may be ahead (RFC 9018 section 4.3).
const PAST: u32 = 3600;
const AHEAD: u32 = 300;

impl Shown {
    /// The cookie in the query in `packet`; `None` when there is none, or it is malformed.
    #[inline]
    pub fn of(packet: &[u8]) -> Option<Self> {
        match packet.get(10..HEADER) {
            None | Some([0, 0]) => None,
            // The usual OPT record, at the end and without options.
            _ if packet
                .last_chunk::<11>()
                .is_some_and(|opt| opt.starts_with(&[0, 0, 41]) && opt.ends_with(&[0, 0])) =>
            {
                None
            }
            _ => Self::read(packet),
        }
    }

    fn read(packet: &[u8]) -> Option<Self> {
        let message = Message::new(packet)?;
        let count = message.record_count(Section::Additional);
        let mut records = message.records_from(message.question_end()?, Section::Additional, count);
        let opt = records.find(|record| record.record_type == RecordType::OPT)?;
        let mut rest = packet.get(opt.rdata)?;
        while let Some((&[c1, c2, l1, l2], behind)) = rest.split_first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([l1, l2]));
            let value = behind.get(..length)?;
            if u16::from_be_bytes([c1, c2]) == COOKIE {
                let (client, server) = value.split_first_chunk::<8>()?;
                return Some(Self {
                    client: *client,
                    server: server.try_into().ok(),
                    payload: opt.class.0.max(512),
                });
            }
            rest = behind.get(length..)?;
        }
        None
    }
}

impl Cookies {
    /// With these secrets, of which there must be one.
    pub fn new(secrets: Vec<[u8; 16]>) -> Option<Self> {
        (!secrets.is_empty()).then_some(Self(secrets))
    }

    /// True when a server with one of the secrets gave this to that client, not long ago. `now` is in seconds of Unix time.
    pub fn are_from_here(&self, shown: &Shown, client: IpAddr, now: u32) -> bool {
        let Some(server) = shown.server else { return false };
        let [1, _, _, _, t1, t2, t3, t4, ..] = server else { return false };
        // Serial number arithmetic, so that the year 2106 passes unnoticed.
        let age = now.wrapping_sub(u32::from_be_bytes([t1, t2, t3, t4]));
        let lives = age <= PAST || age.wrapping_neg() <= AHEAD;
        lives && self.0.iter().any(|secret| made(secret, shown.client, server, client) == server)
    }

    /// The option's value for the reply: the client's part, and a fresh one of the server's.
    pub fn value(&self, shown: &Shown, client: IpAddr, now: u32) -> [u8; 24] {
        let mut server = [0; 16];
        let [version, _, _, _, t1, t2, t3, t4, ..] = &mut server;
        *version = 1;
        [*t1, *t2, *t3, *t4] = now.to_be_bytes();
        if let [first, ..] = self.0.as_slice() {
            server = made(first, shown.client, server, client);
        }
        let mut value = [0; 24];
        let (own, rest) = value.split_at_mut(8);
        own.copy_from_slice(&shown.client);
        rest.copy_from_slice(&server);
        value
    }
}

/// `server` with its hash as it should be (RFC 9018 section 4.4).
fn made(secret: &[u8; 16], own: [u8; 8], server: [u8; 16], client: IpAddr) -> [u8; 16] {
    let (head, _) = server.split_at(8);
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&own);
    hasher.write(head);
    match client {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    let mut whole = server;
    let (_, hash) = whole.split_at_mut(8);
    hash.copy_from_slice(&hasher.finish().to_le_bytes());
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap(), 16).unwrap())
    }

    fn query(option: &[u8]) -> Vec<u8> {
        let opt =
            [&[0, 0, 41, 4, 208, 0, 0, 0, 0][..], &(option.len() as u16).to_be_bytes(), option].concat();
        [&b"\xAB\xCD\x01\0\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01"[..], &opt].concat()
    }

    #[test]
    fn cookies_are_those_of_the_standard() {
        // RFC 9018 appendices A.1 and A.3.
        let secret = bytes("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let cookies = Cookies::new(vec![secret]).unwrap();
        let shown = Shown { client: bytes("2464c4abcf10c957"), server: None, payload: 1232 };
        let client = "198.51.100.100".parse().unwrap();
        let value = cookies.value(&shown, client, 0x5CF7_9F11);
        assert_eq!(value, bytes("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
        let shown = Shown { server: Some(value[8..].try_into().unwrap()), ..shown };
        let from_here = |now: u32, client: &str| cookies.are_from_here(&shown, client.parse().unwrap(), now);
        assert!(from_here(0x5CF7_9F11, "198.51.100.100"));
        assert!(
            from_here(0x5CF7_9F11 + 3600, "198.51.100.100") && from_here(0x5CF7_9F11 - 300, "198.51.100.100")
        );
        assert!(
            !from_here(0x5CF7_9F11 + 3601, "198.51.100.100")
                && !from_here(0x5CF7_9F11 - 301, "198.51.100.100")
        );
        assert!(!from_here(0x5CF7_9F11, "198.51.100.101"), "another client");
        let mut forged = shown;
        forged.server.as_mut().unwrap()[15] ^= 1;
        assert!(!cookies.are_from_here(&forged, client, 0x5CF7_9F11));
        let renewed = Cookies::new(vec![[7; 16], secret]).unwrap();
        assert!(renewed.are_from_here(&shown, client, 0x5CF7_9F11), "the secret before is believed");
        assert_ne!(renewed.value(&shown, client, 0x5CF7_9F11), value, "and no longer used");
    }

    #[test]
    fn what_a_query_shows_is_read() {
        let own = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        let shown = Shown { client: [1, 2, 3, 4, 5, 6, 7, 8], server: None, payload: 1232 };
        assert_eq!(Shown::of(&query(&own)), Some(shown));
        let both = [&[0, 12, 0, 1, 0, 0, 10, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8][..], &[9; 16]].concat();
        assert_eq!(Shown::of(&query(&both)), Some(Shown { server: Some([9; 16]), ..shown }));
        let others = [&[0, 10, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8][..], &[9; 8]].concat();
        assert_eq!(Shown::of(&query(&others)), Some(shown), "of a form that is not ours");
        for none in [&[][..], &[0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7], &[0, 10, 0, 9, 1], &[0, 12, 0, 0]] {
            assert_eq!(Shown::of(&query(none)), None, "{none:?}");
        }
    }
}
