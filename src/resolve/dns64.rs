//! Owns the answers for hosts with IPv6 alone (RFC 6147): where a name has no IPv6 address, one that stands for its IPv4 address. Never
//! asks; says what else is to be asked, and makes one answer of both.

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{AAAA, CNAME};
use hickory_resolver::proto::rr::{Name as HickoryName, RData, Record, RecordType as Type};
use hickory_resolver::proto::serialize::binary::BinDecodable;

use super::forward::{Ask, Failure};
use super::secure::blank;
use crate::dns::{CanonicalName, Nat64, RecordType};
use crate::policy::translated;

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

/// The share of a client's patience that the question for IPv6 addresses may take: more than one wait for a server, with time left for the
/// question for IPv4 addresses.
pub(super) const FIRST: f64 = 0.6;

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

/// For how long made-up addresses may stand in for what an answer to a question for IPv6 addresses does not have; `None` when they may
/// not. It has none, or only such as stand for IPv4 addresses already (section 5.1.4); an error says nothing of the name's other
/// addresses (sections 5.1.2 and 5.1.3), unless it is that somebody forges its answers.
pub(super) fn wanting(answer: Result<&[u8], Failure>) -> Option<u32> {
    let message = match answer {
        Err(Failure::Bogus(_)) => return None,
        Err(_) => return Some(LONGEST),
        Ok(bytes) => Message::from_vec(bytes).ok()?,
    };
    let real = |record: &Record| match &record.data {
        RData::AAAA(address) => address.0.to_ipv4_mapped().is_none(),
        _ => false,
    };
    match message.response_code {
        ResponseCode::NXDomain => None,
        ResponseCode::NoError if message.answers.iter().any(real) => None,
        ResponseCode::NoError => {
            let soa = message.authorities.iter().find(|record| record.record_type() == Type::SOA);
            Some(soa.map_or(LONGEST, |soa| soa.ttl))
        }
        _ => Some(LONGEST),
    }
}

/// What a question for the IPv6 addresses of `name` gets in place of `first`, its answer, when `second` is the answer to the one for IPv4
/// addresses; `None` where the first stands. What is made up holds for `until` seconds at most.
pub(super) fn joined(
    prefix: Nat64,
    name: &CanonicalName,
    until: u32,
    first: Result<(), Failure>,
    second: Result<&[u8], Failure>,
) -> Result<Option<Vec<u8>>, Failure> {
    let second = second.and_then(|bytes| Message::from_vec(bytes).map_err(|_| Failure::Network));
    match second.map(|second| (second.response_code, second)) {
        Ok((ResponseCode::NoError, second)) => match synthesize(prefix, name, until, second) {
            Some(made) => Ok(Some(made)),
            None => first.map(|()| None),
        },
        Ok((ResponseCode::NXDomain, _)) => first.map(|()| None),
        // Whether there is an address nobody knows. That there is none would be believed, and kept.
        Ok(_) => first.and(Err(Failure::Network)),
        Err(failure) => first.and(Err(failure)),
    }
}

/// Addresses that stand for those of `second`; `None` when it has none.
fn synthesize(prefix: Nat64, name: &CanonicalName, until: u32, second: Message) -> Option<Vec<u8>> {
    let mut out = blank(Query::query(HickoryName::from_bytes(name.as_wire()).ok()?, Type::AAAA));
    let mut made = false;
    for record in second.answers {
        match &record.data {
            RData::A(address) => {
                let Some(made_up) = translated(prefix, address.0) else { continue };
                let data = RData::AAAA(AAAA(made_up));
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
    let mut out = blank(Query::query(name.clone(), Type::PTR));
    out.metadata.response_code = other.metadata.response_code;
    let ttl = other.all_sections().map(|record| record.ttl).min().unwrap_or(0).min(LONGEST);
    out.add_answer(Record::from_rdata(name, ttl, RData::CNAME(CNAME(target))));
    out.add_answers(other.answers);
    out.add_authorities(other.authorities);
    out.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(records: &[(&str, RData)], authorities: &[(&str, RData)]) -> Vec<u8> {
        let mut out = blank(Query::query(HickoryName::from_ascii("a.example.").unwrap(), Type::AAAA));
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
        let name = CanonicalName::from(&"a.example".parse::<crate::dns::Name>().unwrap());
        let none = message(&[], &[]);
        assert_eq!(wanting(Ok(&none)), Some(600));
        assert_eq!(wanting(Ok(&message(&[("a.example.", aaaa("::ffff:192.0.2.1"))], &[]))), Some(600));
        assert_eq!(wanting(Ok(&message(&[("a.example.", aaaa("2001:db8::1"))], &[]))), None);
        assert_eq!(wanting(Err(Failure::Timeout)), Some(600));
        let alias = RData::CNAME(CNAME(HickoryName::from_ascii("b.example.").unwrap()));
        let second = message(
            &[("a.example.", alias), ("b.example.", a("192.0.2.33")), ("b.example.", a("10.0.0.1"))],
            &[],
        );
        let made = |prefix, until, second| {
            let made = joined(prefix, &name, until, Ok(()), second).unwrap();
            made.map(|made| Message::from_vec(&made).unwrap())
        };
        let known = made(Nat64::WELL_KNOWN, 60, Ok(&second)).unwrap();
        let shown: Vec<String> = known.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(shown, ["b.example.", "64:ff9b::c000:221"], "not what is private");
        assert_eq!((known.queries[0].query_type, known.answers[1].ttl), (Type::AAAA, 60));
        let own: Nat64 = "2001:db8:64::/96".parse().unwrap();
        let all = made(own, 600, Ok(&second)).unwrap();
        assert_eq!(all.answers.len(), 3, "a prefix of one's own leads to one's own network");
        assert!(made(own, 600, Ok(&none)).is_none(), "the first stands");
    }

    #[test]
    fn what_could_not_be_asked_is_not_said_to_be_nothing() {
        let name = CanonicalName::from(&"a.example".parse::<crate::dns::Name>().unwrap());
        let none = message(&[], &[]);
        let both = |first, second| joined(Nat64::WELL_KNOWN, &name, 600, first, second);
        assert_eq!(both(Ok(()), Err(Failure::Timeout)), Err(Failure::Timeout));
        assert_eq!(both(Err(Failure::Timeout), Err(Failure::Network)), Err(Failure::Timeout));
        assert_eq!(both(Err(Failure::Timeout), Ok(&none)), Err(Failure::Timeout));
        let found = message(&[("a.example.", a("192.0.2.33"))], &[]);
        assert!(both(Err(Failure::Timeout), Ok(&found)).unwrap().is_some());
    }
}
