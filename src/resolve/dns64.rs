//! Owns the answers for hosts with IPv6 alone (RFC 6147): where a name has no IPv6 address, one that stands for its IPv4 address. Never
//! asks; says what else is to be asked, and makes one answer of both.

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{AAAA, CNAME};
use hickory_resolver::proto::rr::{Name as HickoryName, RData, Record, RecordType as Type};
use hickory_resolver::proto::serialize::binary::BinDecodable;

use super::forward::Ask;
use crate::dns::{CanonicalName, Nat64, RecordType};
use crate::policy::is_private;

/// What is asked in the stead of a question, or after it.
#[derive(Clone, Debug)]
pub(super) enum Detour {
    /// If there is no IPv6 address: the name's IPv4 addresses.
    Addresses,
    /// The name of an address of the prefix: that of the IPv4 address.
    Pointer(Box<CanonicalName>),
}

/// The longest that a made-up address holds where nothing says how long the name has no other, in seconds (RFC 6147 section 5.1.7).
const LONGEST: u32 = 600;

impl Detour {
    /// What a question takes besides; `None` for nothing. Who checks signatures itself gets what was signed (section 5.5).
    pub(super) fn of(prefix: Nat64, ask: &Ask<'_>) -> Option<Self> {
        match ask.record_type {
            RecordType::AAAA if !(ask.dnssec_ok && ask.checking_disabled) => Some(Self::Addresses),
            RecordType::PTR => {
                prefix.reverse(ask.name).map(|name| Self::Pointer(Box::new(CanonicalName::from(&name))))
            }
            _ => None,
        }
    }
}

/// True when an answer to a question for IPv6 addresses leaves room for made-up ones: it has none, or only such as stand for IPv4
/// addresses already (section 5.1.4).
pub(super) fn is_wanting(answer: &[u8]) -> bool {
    Message::from_vec(answer).is_ok_and(|message| {
        let real = |record: &Record| match &record.data {
            RData::AAAA(address) => address.0.to_ipv4_mapped().is_none(),
            _ => false,
        };
        message.response_code == ResponseCode::NoError && !message.answers.iter().any(real)
    })
}

/// One answer of `first`, which has no IPv6 address, and `second`, with the IPv4 addresses; `None` when there are none either.
pub(super) fn synthesize(prefix: Nat64, first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let first = Message::from_vec(first).ok()?;
    let second = Message::from_vec(second).ok()?;
    if second.response_code != ResponseCode::NoError {
        return None;
    }
    let until = first
        .authorities
        .iter()
        .find(|record| record.record_type() == Type::SOA)
        .map_or(LONGEST, |soa| soa.ttl);
    let mut out = empty(first.queries.first()?.clone());
    let mut made = false;
    for record in second.answers {
        match &record.data {
            // The prefix that everybody knows stands for addresses that everybody knows (RFC 6052 section 3.1).
            RData::A(address) if prefix == Nat64::WELL_KNOWN && is_private(address.0.into()) => {}
            RData::A(address) => {
                let data = RData::AAAA(AAAA(prefix.embed(address.0)));
                out.add_answer(Record::from_rdata(record.name.clone(), record.ttl.min(until), data));
                made = true;
            }
            // Signatures of what they say no more.
            _ if record.record_type() == Type::RRSIG => {}
            _ => drop(out.add_answer(record)),
        }
    }
    if made { out.to_vec().ok() } else { None }
}

/// The answer to the question for `name`, which is an alias of the one that `other` answers.
pub(super) fn alias(name: &CanonicalName, target: &CanonicalName, other: &[u8]) -> Option<Vec<u8>> {
    let other = Message::from_vec(other).ok()?;
    let [name, target] = [name, target].map(|name| HickoryName::from_bytes(name.as_wire()));
    let (name, target) = (name.ok()?, target.ok()?);
    let mut out = empty(Query::query(name.clone(), Type::PTR));
    out.metadata.response_code = other.metadata.response_code;
    let ttl = other.all_sections().map(|record| record.ttl).min().unwrap_or(0).min(LONGEST);
    out.add_answer(Record::from_rdata(name, ttl, RData::CNAME(CNAME(target))));
    out.add_answers(other.answers);
    out.add_authorities(other.authorities);
    out.to_vec().ok()
}

fn empty(query: Query) -> Message {
    let mut out = Message::response(0, OpCode::Query);
    out.metadata.recursion_desired = true;
    out.metadata.recursion_available = true;
    out.add_query(query);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(records: &[(&str, RData)], authorities: &[(&str, RData)]) -> Vec<u8> {
        let mut out = empty(Query::query(HickoryName::from_ascii("a.example.").unwrap(), Type::AAAA));
        let record = |(name, data): &(&str, RData)| {
            Record::from_rdata(HickoryName::from_ascii(*name).unwrap(), 300, data.clone())
        };
        out.add_answers(records.iter().map(record));
        out.add_authorities(authorities.iter().map(record));
        out.to_vec().unwrap()
    }

    fn a(text: &str) -> RData {
        RData::A(text.parse().unwrap())
    }

    fn aaaa(text: &str) -> RData {
        RData::AAAA(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_made_up_where_there_are_none() {
        assert!(is_wanting(&message(&[], &[])));
        assert!(is_wanting(&message(&[("a.example.", aaaa("::ffff:192.0.2.1"))], &[])));
        assert!(!is_wanting(&message(&[("a.example.", aaaa("2001:db8::1"))], &[])));
        let alias = RData::CNAME(CNAME(HickoryName::from_ascii("b.example.").unwrap()));
        let second = message(
            &[("a.example.", alias), ("b.example.", a("192.0.2.33")), ("b.example.", a("10.0.0.1"))],
            &[],
        );
        let made =
            Message::from_vec(&synthesize(Nat64::WELL_KNOWN, &message(&[], &[]), &second).unwrap()).unwrap();
        let shown: Vec<String> = made.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(shown, ["b.example.", "64:ff9b::c000:221"], "not what is private");
        assert_eq!(made.queries[0].query_type, Type::AAAA);
        let own: Nat64 = "2001:db8:64::/96".parse().unwrap();
        let made = Message::from_vec(&synthesize(own, &message(&[], &[]), &second).unwrap()).unwrap();
        assert_eq!(made.answers.len(), 3, "a prefix of one's own leads to one's own network");
        assert_eq!(synthesize(own, &message(&[], &[]), &message(&[], &[])), None);
    }
}
