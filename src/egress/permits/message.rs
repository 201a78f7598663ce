//! Owns the kernel's messages that change the pairs (nf_tables over netlink), as bytes: one transaction, all of it or nothing. Never opens a
//! socket. The kernel's own messages rather than its program: a reply waits for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::pairs::Pair;
use crate::egress::nftables::{RESOLVED_NAME, pair_set};

/// What is to be in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) pair: Pair,
    /// How long it holds; `None` for as long as the table is there.
    pub(super) life: Option<Duration>,
    /// Whether the kernel may have it already, with another life.
    pub(super) is_known: bool,
}

/// The begin and the end of a transaction, and the subsystem that it is for.
const BEGIN: u16 = 16;
const END: u16 = 17;
pub(super) const NF_TABLES: u16 = 10;
/// Messages about elements.
const NEW: u16 = NF_TABLES << 8 | 12;
const FIND: u16 = NF_TABLES << 8 | 13;
const DELETE: u16 = NF_TABLES << 8 | 14;
/// Flags: a request, one that is acknowledged, one that makes what is not there.
pub(super) const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const CREATE: u16 = 0x400;
/// The family `inet` of tables.
pub(super) const INET: u8 = 1;
/// Attributes of a list of elements, of an element, and of a value.
pub(super) const TABLE: u16 = 1;
const SET: u16 = 2;
const ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
const KEY: u16 = 1;
const TIMEOUT: u16 = 4;
const VALUE: u16 = 1;
const NESTED: u16 = 0x8000;
/// Elements of one message: an attribute has at most 64 KiB.
const OF_MESSAGE: usize = 1000;
/// The kinds of an answer that tell how it went.
const ERROR: u16 = 2;
pub(super) const HEAD: usize = 16;
/// The set of families that are open, and its elements: IPv4 and IPv6.
const OPEN: &str = "open";
const FAMILIES: [u8; 2] = [2, 10];

/// The transaction that makes the elements be there, each for its life, and with `open` opens every way for that time. The last of its messages
/// is acknowledged.
pub(super) fn transaction(elements: &[Element], open: Option<Duration>) -> Vec<u8> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut sets: Vec<&str> = elements.iter().map(|element| set_of(element.pair)).collect();
    sets.sort_unstable();
    sets.dedup();
    for set in sets {
        let of_set: Vec<&Element> = elements.iter().filter(|element| set_of(element.pair) == set).collect();
        let known: Vec<&Element> = of_set.iter().copied().filter(|element| element.is_known).collect();
        let mut push = |kind: u16, flags: u16, elements: &[&Element], has_life: bool| {
            for elements in elements.chunks(OF_MESSAGE) {
                let elements: Vec<Vec<u8>> = elements
                    .iter()
                    .map(|element| encode(&key(element.pair), element.life.filter(|_| has_life)))
                    .collect();
                messages.push(message(kind, flags, set, &elements));
            }
        };
        push(NEW, CREATE, &of_set, true);
        // A life is changed only by taking the element out, in the same transaction; that it is there was just seen to.
        push(DELETE, 0, &known, false);
        push(NEW, CREATE, &known, true);
    }
    if let Some(life) = open {
        let families = FAMILIES.map(|family| encode(&[family], Some(life)));
        messages.push(message(NEW, CREATE, OPEN, &families));
    }
    let mut out = bracket(BEGIN);
    let last = messages.len().saturating_sub(1);
    for (number, message) in messages.iter_mut().enumerate() {
        if let Some(flags) = message.get_mut(6..).and_then(<[u8]>::first_chunk_mut).filter(|_| number == last)
        {
            *flags = (u16::from_ne_bytes(*flags) | ACKNOWLEDGE).to_ne_bytes();
        }
        out.append(message);
    }
    out.extend(bracket(END));
    out
}

/// The request for the element that is there as long as nobody empties the set.
pub(super) fn find(pair: Pair) -> Vec<u8> {
    message(FIND, ACKNOWLEDGE, set_of(pair), &[encode(&key(pair), None)])
}

/// The elements that are in the sets as long as nobody empties them: nobody's.
pub(super) fn guards() -> [Pair; 4] {
    let anybody =
        [true, false].map(|is_ipv4| Pair { client: Pair::anybody(is_ipv4), address: Pair::anybody(is_ipv4) });
    let [ipv4, ipv6] = anybody;
    let (one_v4, one_v6) = (Ipv4Addr::from_bits(1).into(), Ipv6Addr::from_bits(1).into());
    [Pair { client: one_v4, ..ipv4 }, Pair { client: one_v6, ..ipv6 }, ipv4, ipv6]
}

/// The number of the first error among the kernel's answers, which a negative number is; 0 when there is none.
pub(super) fn error(mut answers: &[u8]) -> i32 {
    while let Some(length) = answers.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize) {
        let kind = answers.get(4..).and_then(<[u8]>::first_chunk).map(|kind| u16::from_ne_bytes(*kind));
        let code = answers.get(HEAD..).and_then(<[u8]>::first_chunk).map(|code| i32::from_ne_bytes(*code));
        if let (Some(ERROR), Some(code)) = (kind, code)
            && code != 0
        {
            return -code;
        }
        answers = answers.get(length.max(HEAD).next_multiple_of(4)..).unwrap_or(&[]);
    }
    0
}

fn set_of(pair: Pair) -> &'static str {
    pair_set(pair.client.is_unspecified(), pair.address)
}

fn key(pair: Pair) -> Vec<u8> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if pair.client.is_unspecified() {
        octets(pair.address)
    } else {
        [octets(pair.client), octets(pair.address)].concat()
    }
}

fn encode(key: &[u8], life: Option<Duration>) -> Vec<u8> {
    let mut element = attribute(NESTED | KEY, &attribute(VALUE, key));
    if let Some(life) = life {
        element.extend(attribute(TIMEOUT, &(life.as_millis() as u64).to_be_bytes()));
    }
    attribute(NESTED | ELEMENT, &element)
}

fn message(kind: u16, flags: u16, set: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![INET, 0, 0, 0];
    body.extend(attribute(TABLE, &text(RESOLVED_NAME)));
    body.extend(attribute(SET, &text(set)));
    body.extend(attribute(NESTED | ELEMENTS, &elements.concat()));
    framed(kind, REQUEST | flags, &body)
}

/// As the kernel wants names.
pub(super) fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

fn bracket(kind: u16) -> Vec<u8> {
    let [high, low] = NF_TABLES.to_be_bytes();
    framed(kind, REQUEST, &[0, 0, high, low])
}

pub(super) fn framed(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = ((HEAD + body.len()) as u32).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]);
    out.extend(body);
    out
}

pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = (4 + value.len() as u16).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(is_known: bool) -> Element {
        let pair = Pair { client: [10, 0, 0, 1].into(), address: [192, 0, 2, 9].into() };
        Element { pair, life: Some(Duration::from_secs(300)), is_known }
    }

    #[test]
    fn one_pair_is_what_the_kernels_own_program_sends() {
        let sent = transaction(&[element(false)], None);
        // As `nft --debug=mnl` shows them, but for the number of the set, which the kernel does not need.
        let expected = [
            &b"\x14\0\0\0\x10\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x0a"[..],
            b"\x60\0\0\0\x0c\x0a\x05\x04\0\0\0\0\0\0\0\0\x01\0\0\0",
            b"\x17\0\x01\0interdict-resolved\0\0",
            b"\x0d\0\x02\0pairs.v4\0\0\0\0",
            b"\x24\0\x03\x80\x20\0\x01\x80\x10\0\x01\x80\x0c\0\x01\0\x0a\0\0\x01\xc0\0\x02\x09\x0c\0\x04\0\0\0\0\0\0\x04\x93\xe0",
            b"\x14\0\0\0\x11\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x0a",
        ]
        .concat();
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_pair_that_is_there_is_taken_out_first_and_the_last_message_is_acknowledged() {
        let sent = transaction(&[element(true)], Some(Duration::from_secs(60)));
        let mut kinds = Vec::new();
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let length = u32::from_ne_bytes(*rest.first_chunk().unwrap()) as usize;
            kinds.push((u16::from_ne_bytes([rest[4], rest[5]]) & 0xFF, rest[6] & 4));
            rest = &rest[length..];
        }
        assert_eq!(kinds, [(16, 0), (12, 0), (14, 0), (12, 0), (12, 4), (17, 0)]);
    }

    #[test]
    fn answers_are_read_whatever_they_hold() {
        let answer = |kind: u16, code: i32| {
            let mut out = framed(kind, 0, &code.to_ne_bytes());
            out.extend(framed(END, 0, &[]));
            let length = (out.len() as u32).to_ne_bytes();
            out[..4].copy_from_slice(&length);
            out
        };
        assert_eq!(error(&answer(ERROR, 0)), 0);
        assert_eq!(error(&[answer(ERROR, 0), answer(ERROR, -23)].concat()), 23);
        assert_eq!(error(&[answer(NEW, -5), answer(ERROR, -2)].concat()), 2);
        let whole = [answer(ERROR, 0), answer(ERROR, -23)].concat();
        for cut in 0..whole.len() {
            let _bounded = error(&whole[..cut]);
        }
        assert_eq!(error(&[0; 64]), 0);
    }
}
