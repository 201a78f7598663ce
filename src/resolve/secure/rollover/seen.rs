//! Owns what an answer shows of the root's keys: which are there, which say that they are revoked, and whether a trusted one signed them.
//! Checks signatures itself, a bounded number of them; keeps nothing.

use std::time::Duration;

use hickory_resolver::proto::dnssec::Verifier;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::super::judgement::signature;
use super::key::Key;

/// The root's keys as an answer has them.
#[derive(Debug)]
pub(super) struct Seen {
    /// True when a trusted key signed the set; otherwise only revocations count.
    pub(super) is_proved: bool,
    /// Keys that sign keys.
    pub(super) keys: Vec<Key>,
    /// Those that say so of themselves (RFC 5011 section 2.1).
    pub(super) revoked: Vec<Key>,
    /// The set's TTL.
    pub(super) ttl: Duration,
    /// How long the signature that counts still holds.
    pub(super) signed_for: Duration,
}

/// Most signatures that are checked: the root has had at most four over its keys.
const MOST: usize = 16;

impl Seen {
    /// What `message` shows, if it has the root's keys. `now` is in seconds since 1970, modulo 2^32.
    pub(super) fn of(message: &Message, trusted: &[Key], now: u32) -> Option<Self> {
        let is_own = |record: &&Record| record.name.is_root();
        let records: Vec<&Record> =
            message.answers.iter().filter(is_own).filter(|r| r.record_type() == RecordType::DNSKEY).collect();
        let keys: Vec<&DNSKEY> = records.iter().filter_map(|record| key(record)).collect();
        let signatures = message.answers.iter().filter(is_own).filter_map(signature);
        let over_keys = signatures.filter(|one| one.input().type_covered == RecordType::DNSKEY);
        let mut seen = Self {
            is_proved: false,
            keys: Vec::new(),
            revoked: Vec::new(),
            ttl: Duration::from_secs(u64::from(records.iter().map(|record| record.ttl).min()?)),
            signed_for: Duration::ZERO,
        };
        let signs_keys = |key: &&&DNSKEY| key.zone_key() && key.secure_entry_point();
        let all = || keys.iter().filter(signs_keys).map(|key| (*key, Key::of(key)));
        seen.keys = all().filter(|(key, _)| !key.revoke()).map(|(_, key)| key).collect();
        let mut checked = 0;
        for one in over_keys.filter(|one| holds(one, now)) {
            for (record, key) in all().filter(|(record, _)| is_by(one, record)) {
                checked += 1;
                if checked > MOST {
                    return Some(seen);
                }
                let root = Name::root();
                let all = records.iter().copied();
                if record.verify_rrsig(&root, DNSClass::IN, one, all).is_err() {
                    continue;
                }
                if record.revoke() {
                    seen.revoked.push(key);
                } else if trusted.contains(&key) {
                    seen.is_proved = true;
                    let left = one.input().sig_expiration.get().wrapping_sub(now);
                    seen.signed_for = seen.signed_for.max(Duration::from_secs(u64::from(left)));
                }
            }
        }
        Some(seen)
    }
}

fn key(record: &Record) -> Option<&DNSKEY> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key),
        _ => None,
    }
}

fn is_by(signature: &RRSIG, key: &DNSKEY) -> bool {
    let input = signature.input();
    input.signer_name.is_root()
        && input.algorithm == key.algorithm()
        && key.calculate_key_tag().is_ok_and(|tag| tag == input.key_tag)
}

/// True within a signature's times, compared as serial numbers (RFC 4034 section 3.1.5).
fn holds(signature: &RRSIG, now: u32) -> bool {
    let is_at_or_after = |one: u32, other: u32| one.wrapping_sub(other) < 1 << 31;
    let input = signature.input();
    is_at_or_after(now, input.sig_inception.get()) && is_at_or_after(input.sig_expiration.get(), now)
}
