//! Owns the reading of what the kernel says is in the table around the pairs: a fingerprint of its rules, and its counters (nf_tables over
//! netlink). Not by the kernel's own program, which fetches every pair before it shows a single rule. Never opens a socket.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::message::{HEAD, INET, NF_TABLES, REQUEST, TABLE, attribute, framed, text};
use crate::egress::nftables::RESOLVED_NAME;

/// Requests for rules, objects and chains, and the kinds of their answers.
const RULES: u16 = NF_TABLES << 8 | 7;
const RULE: u16 = NF_TABLES << 8 | 6;
const OBJECTS: u16 = NF_TABLES << 8 | 19;
const OBJECT: u16 = NF_TABLES << 8 | 18;
const CHAINS: u16 = NF_TABLES << 8 | 4;
const CHAIN: u16 = NF_TABLES << 8 | 3;
/// A request for all there is, and the mark of an answer that a change came into.
const ALL: u16 = 0x300;
const INTERRUPTED: u16 = 0x10;
/// The end of an answer, and an error.
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// Attributes of a chain, of an object, and of a counter.
const CHAIN_NAME: u16 = 3;
const NAME: u16 = 2;
const KIND: u16 = 3;
const COUNTED: u16 = 4;
const COUNTER: u32 = 1;
const BYTES: u16 = 1;
const PACKETS: u16 = 2;
/// Of the subsystem's part of a message: it has the number of the last transaction in it.
const FAMILY: usize = 4;

/// Asks for the rules of the table.
pub(super) fn rules() -> Vec<u8> {
    let table = attribute(TABLE, &text(RESOLVED_NAME));
    framed(RULES, REQUEST | ALL, &[&[INET, 0, 0, 0][..], &table].concat())
}

/// Asks for the chains of all tables.
pub(super) fn chains() -> Vec<u8> {
    framed(CHAINS, REQUEST | ALL, &[INET, 0, 0, 0])
}

/// Asks for its counters.
pub(super) fn counters() -> Vec<u8> {
    let table = attribute(TABLE, &text(RESOLVED_NAME));
    let kind = attribute(KIND, &COUNTER.to_be_bytes());
    framed(OBJECTS, REQUEST | ALL, &[&[INET, 0, 0, 0][..], &table, &kind].concat())
}

/// True when an answer, in pieces that came one after the other, is whole.
pub(super) fn is_whole(answer: &[u8]) -> bool {
    messages(answer).any(|(kind, ..)| kind == DONE || kind == ERROR)
}

/// True when something was changed while it was given.
pub(super) fn is_interrupted(answer: &[u8]) -> bool {
    messages(answer).any(|(_, flags, _)| flags & INTERRUPTED != 0)
}

/// What is the same as long as nobody changes a rule; `None` without any.
pub(super) fn fingerprint(answer: &[u8]) -> Option<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut count = 0;
    for (_, _, body) in messages(answer).filter(|(kind, ..)| *kind == RULE) {
        count += 1;
        digest.update((body.len() as u64).to_be_bytes());
        digest.update(body);
    }
    (count > 0).then(|| digest.finalize().into())
}

/// The names of the table's chains; none without it.
pub(super) fn read_chains(answer: &[u8]) -> Vec<String> {
    let word = |body: &[u8], wanted: u16| {
        let (_, value) = attributes(body).find(|(kind, _)| *kind == wanted)?;
        Some(String::from_utf8_lossy(value.split(|byte| *byte == 0).next()?).into_owned())
    };
    let chains = messages(answer).filter(|(kind, ..)| *kind == CHAIN);
    let own = chains.filter(|(_, _, body)| word(body, TABLE).as_deref() == Some(RESOLVED_NAME));
    own.filter_map(|(_, _, body)| word(body, CHAIN_NAME)).collect()
}

/// Packets and bytes by counter.
pub(super) fn read_counters(answer: &[u8]) -> BTreeMap<String, (u64, u64)> {
    let objects = messages(answer).filter(|(kind, ..)| *kind == OBJECT);
    let counters = objects.filter_map(|(_, _, body)| {
        let name = attributes(body).find(|(kind, _)| *kind == NAME)?.1;
        let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next()?).into_owned();
        let counted = attributes(body).find(|(kind, _)| *kind == COUNTED)?.1;
        let number = |wanted: u16| {
            let (_, value) = attributes(counted).find(|(kind, _)| *kind == wanted)?;
            value.first_chunk().map(|number| u64::from_be_bytes(*number))
        };
        Some((name, (number(PACKETS)?, number(BYTES)?)))
    });
    counters.collect()
}

/// Each message: its kind, its flags, and what is behind its heads.
fn messages(mut answer: &[u8]) -> impl Iterator<Item = (u16, u16, &[u8])> {
    std::iter::from_fn(move || {
        let &[l1, l2, l3, l4, k1, k2, f1, f2] = answer.first_chunk()?;
        let length = u32::from_ne_bytes([l1, l2, l3, l4]) as usize;
        let message = answer.get(..length).filter(|message| message.len() >= HEAD)?;
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        let body = message.get(HEAD + FAMILY..).unwrap_or(&[]);
        Some((u16::from_ne_bytes([k1, k2]), u16::from_ne_bytes([f1, f2]), body))
    })
}

fn attributes(mut body: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let &[l1, l2, k1, k2] = body.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l1, l2]));
        let value = body.get(4..length)?;
        body = body.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((u16::from_ne_bytes([k1, k2]) & 0x3FFF, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(handle: u8) -> Vec<u8> {
        framed(RULE, 2, &[&[INET, 0, 0, handle][..], &attribute(1, b"interdict-resolved\0")].concat())
    }

    fn counter(name: &[u8], packets: u64) -> Vec<u8> {
        let numbers =
            [attribute(BYTES, &(100 * packets).to_be_bytes()), attribute(PACKETS, &packets.to_be_bytes())];
        let body =
            [&[INET, 0, 0, 0][..], &attribute(NAME, name), &attribute(COUNTED | 0x8000, &numbers.concat())];
        framed(OBJECT, 2, &body.concat())
    }

    #[test]
    fn rules_have_a_fingerprint_whatever_the_transaction_and_counters_a_name() {
        let done = framed(DONE, 2, &[0; 4]);
        let answer = [rule(1), rule(1), done.clone()].concat();
        assert!(is_whole(&answer) && !is_whole(&rule(1)) && !is_interrupted(&answer));
        assert_eq!(fingerprint(&answer), fingerprint(&[rule(2), rule(3), done.clone()].concat()));
        assert_ne!(fingerprint(&answer), fingerprint(&[rule(1), done.clone()].concat()));
        assert_eq!(fingerprint(&done), None);
        let counted = [counter(b"count.a\0", 7), counter(b"count.b\0", 0), rule(1), done].concat();
        let found: Vec<String> =
            read_counters(&counted).iter().map(|(name, n)| format!("{name} {n:?}")).collect();
        assert_eq!(found, ["count.a (7, 700)", "count.b (0, 0)"]);
        for cut in 0..counted.len() {
            let _bounded = (read_counters(&counted[..cut]), fingerprint(&counted[..cut]));
        }
        let chain = |table: &[u8], name: &[u8]| {
            framed(
                CHAIN,
                2,
                &[&[INET, 0, 0, 0][..], &attribute(TABLE, table), &attribute(CHAIN_NAME, name)].concat(),
            )
        };
        let chains =
            [chain(b"interdict-resolved\0", b"look\0"), chain(b"filter\0", b"input\0"), rule(1)].concat();
        assert_eq!(read_chains(&chains), ["look"]);
        assert!(is_interrupted(&framed(RULE, 2 | INTERRUPTED, &[0; 8])));
    }
}
