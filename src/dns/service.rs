//! Owns the walk over the parameters of SVCB and HTTPS records (RFC 9460 section 2.2), every address that a reply leads its client to, and a
//! reply without the keys for an encrypted ClientHello. Never decides which one a client gets.

use std::net::IpAddr;

use super::MAX_MESSAGE;
use super::canonical::CanonicalName;
use super::message::{Message, Record, Section, write_counts};
use super::types::{Flags, RecordType};

/// Service parameters: key, and value.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'m>(&'m [u8]);

/// The parameters that are addresses (RFC 9460 section 7.3).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

impl<'m> Message<'m> {
    /// The parameters of a record; none of a record of another type.
    pub fn parameters(self, record: &Record) -> Parameters<'m> {
        Parameters(
            self.parameters_at(record).and_then(|at| self.bytes().get(at..record.rdata.end)).unwrap_or(&[]),
        )
    }

    /// Where a record's parameters begin: behind its SvcPriority and its TargetName, which is written out.
    pub(super) fn parameters_at(self, record: &Record) -> Option<usize> {
        if !matches!(record.record_type, RecordType::SVCB | RecordType::HTTPS) {
            return None;
        }
        let target = record.rdata.start + 2;
        Some(target + self.name_at(target).map_or(0, |name| name.as_wire().len()))
    }

    /// Every address that the message leads a client to, with its TTL in seconds: of A and AAAA records, and those that SVCB and HTTPS records
    /// hint at; in its answer, and in what is added to that.
    pub fn destinations(self) -> impl Iterator<Item = (IpAddr, u32)> + use<'m> {
        let records = self.records().filter(|record| record.section != Section::Authority);
        records.flat_map(move |record| {
            let rdata = self.bytes().get(record.rdata.clone()).unwrap_or(&[]);
            let own = match record.record_type {
                RecordType::A => rdata.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
                RecordType::AAAA => rdata.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
                _ => None,
            };
            own.into_iter().chain(self.parameters(&record).hints()).map(move |address| (address, record.ttl))
        })
    }
}

impl<'m> Parameters<'m> {
    /// The addresses among them.
    pub fn hints(self) -> impl Iterator<Item = IpAddr> + use<'m> {
        self.flat_map(|(key, value)| {
            let ipv4 = if key == IPV4_HINT { value } else { &[] };
            let ipv6 = if key == IPV6_HINT { value } else { &[] };
            let ipv4 = ipv4.as_chunks::<4>().0.iter().map(|octets| IpAddr::from(*octets));
            ipv4.chain(ipv6.as_chunks::<16>().0.iter().map(|octets| IpAddr::from(*octets)))
        })
    }
}

impl<'m> Iterator for Parameters<'m> {
    type Item = (u16, &'m [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[k1, k2, l1, l2], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l1, l2])))?;
        self.0 = rest;
        Some((u16::from_be_bytes([k1, k2]), value))
    }
}

/// The keys for an encrypted ClientHello, and the parameter that lists the keys which a client must understand.
const ECH: u16 = 5;
const MANDATORY: u16 = 0;

/// A reply with keys that cannot be taken out: it breaks off, or is too large without compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A reply without the keys for an encrypted ClientHello in its SVCB and HTTPS records, and without the signatures that no longer fit and the
/// flag that says they did; `None` when it has none of these keys. Names that it compressed are written out.
pub fn without_ech(reply: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
    let has_keys = |message: Message<'_>| {
        message.records().any(|record| message.parameters(&record).any(|(key, _)| key == ECH))
    };
    match Message::new(reply).filter(|message| has_keys(*message)) {
        Some(message) => rewritten(message).map(Some).ok_or(Unreadable),
        None => Ok(None),
    }
}

/// The reply without them; `None` when that cannot be made.
fn rewritten(message: Message<'_>) -> Option<Vec<u8>> {
    let reply = message.bytes();
    let mut changed: Vec<(CanonicalName, RecordType)> = Vec::new();
    for record in message.records() {
        if message.parameters(&record).any(|(key, _)| key == ECH) {
            changed.push((message.name_at(record.owner)?, record.record_type));
        }
    }
    let mut out = reply.get(..message.question_end()?)?.to_vec();
    let mut counts = [0u16; 3];
    let mut records = message.records();
    for record in records.by_ref() {
        let owner = message.name_at(record.owner)?;
        let rdata = reply.get(record.rdata.clone())?;
        let covers = rdata.first_chunk().filter(|_| record.record_type == RecordType::RRSIG);
        let covers = covers.map(|kind| RecordType(u16::from_be_bytes(*kind)));
        let is_changed = |(name, kind): &(CanonicalName, RecordType)| {
            name.as_wire() == owner.as_wire() && covers == Some(*kind)
        };
        if changed.iter().any(is_changed) {
            continue;
        }
        let rdata = match record.record_type {
            RecordType::SVCB | RecordType::HTTPS => without_keys(message, &record)?,
            _ => message.rdata_written_out(&record)?,
        };
        message.write_out_as(&record, owner.as_wire(), &rdata, &mut out)?;
        if out.len() > MAX_MESSAGE {
            return None;
        }
        if let Some(count) = counts.get_mut(record.section as usize) {
            *count += 1;
        }
    }
    if records.is_broken() {
        return None;
    }
    write_counts(&mut out, counts)?;
    let flags: &mut [u8; 2] = out.get_mut(2..)?.first_chunk_mut()?;
    *flags = (u16::from_be_bytes(*flags) & !Flags::AD).to_be_bytes();
    Some(out)
}

/// The RDATA of an SVCB or HTTPS record without the keys.
fn without_keys(message: Message<'_>, record: &Record) -> Option<Vec<u8>> {
    let mut out = message.bytes().get(record.rdata.start..message.parameters_at(record)?)?.to_vec();
    for (key, value) in message.parameters(record).filter(|(key, _)| *key != ECH) {
        let mut value = value.to_vec();
        if key == MANDATORY {
            value = value
                .as_chunks::<2>()
                .0
                .iter()
                .filter(|listed| **listed != ECH.to_be_bytes())
                .flatten()
                .copied()
                .collect();
            if value.is_empty() {
                continue;
            }
        }
        out.extend(key.to_be_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_records_and_in_hints_but_not_beside_a_delegation() {
        let mut message = b"\0\0\x81\x80\0\x01\0\x03\0\x01\0\x01\x01a\x07example\0\0\x41\0\x01".to_vec();
        let record = |kind: u8, ttl: u8, rdata: &[u8]| {
            [b"\xC0\x0C\0".as_slice(), &[kind, 0, 1, 0, 0, 0, ttl, 0, rdata.len() as u8], rdata].concat()
        };
        message.extend(record(5, 9, b"\x01b\xC0\x0E"));
        message.extend(record(1, 8, b"\xC0\0\x02\x01"));
        let hints = b"\0\x01\x03www\x07example\0\0\x01\0\x03\x02h2\0\x04\0\x08\x0A\0\0\x01\xC0\0\x02\x02\0\x06\0\x10\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07";
        message.extend(record(65, 7, hints));
        message.extend(record(1, 6, b"\xC0\0\x02\x09"));
        message.extend(record(28, 5, b"\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08"));
        let found: Vec<String> =
            Message::new(&message).unwrap().destinations().map(|(at, ttl)| format!("{at} {ttl}")).collect();
        assert_eq!(found, ["192.0.2.1 8", "10.0.0.1 7", "192.0.2.2 7", "fd00::7 7", "fd00::8 5"]);
        for cut in 0..message.len() {
            let _bounded = Message::new(&message[..cut]).map(|message| message.destinations().count());
        }
    }

    /// A reply of an HTTPS record at a compressed alias's target, signed, with an SOA that points into it, and an OPT record.
    fn signed(parameters: &[u8]) -> Vec<u8> {
        let mut out = b"\0\x07\x81\xA0\0\x01\0\x04\0\x01\0\x01\x01A\x07exaMple\0\0\x41\0\x01".to_vec();
        let record = |out: &mut Vec<u8>, owner: &[u8], kind: u8, rdata: &[u8]| {
            out.extend(owner);
            out.extend([0, kind, 0, 1, 0, 0, 0, 60]);
            out.extend((rdata.len() as u16).to_be_bytes());
            out.extend(rdata);
        };
        record(&mut out, b"\xC0\x0C", 5, b"\x01b\xC0\x0E");
        let target = out.len() as u8 - 4;
        record(&mut out, &[0xC0, target], 65, &[&b"\0\x01\0"[..], parameters].concat());
        record(&mut out, &[0xC0, target], 46, b"\0\x41\x08\x02signature of the keys");
        record(&mut out, b"\xC0\x0C", 46, b"\0\x05\x08\x02signature of the alias");
        record(&mut out, b"\xC0\x0E", 6, &[&b"\x02ns"[..], &[0xC0, target], b"\xC0\x0E", &[7; 20]].concat());
        out.extend(b"\0\0\x29\x04\xD0\0\0\x80\0\0\0");
        out
    }

    #[test]
    fn keys_signatures_and_the_flag_go_and_all_else_stays() {
        let alpn = b"\0\x01\0\x03\x02h2";
        let reply = signed(
            &[&alpn[..], b"\0\x05\0\x04keys", b"\0\x06\0\x10\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07"].concat(),
        );
        let out = without_ech(&reply).unwrap().unwrap();
        let message = Message::new(&out).unwrap();
        assert_eq!(out[..4], [0, 7, 0x81, 0x80], "what is not signed is not authentic");
        assert_eq!(out[12..26], reply[12..26], "the question as it was spelled");
        let kinds: Vec<(u16, Section)> =
            message.records().map(|record| (record.record_type.0, record.section)).collect();
        use Section::{Additional, Answer, Authority};
        assert_eq!(kinds, [(5, Answer), (65, Answer), (46, Answer), (6, Authority), (41, Additional)]);
        let https = message.records().nth(1).unwrap();
        assert_eq!(message.name_at(https.owner).unwrap().to_string(), "b.example");
        let keys: Vec<u16> = message.parameters(&https).map(|(key, _)| key).collect();
        assert_eq!(keys, [1, 6]);
        assert_eq!(message.destinations().map(|(at, _)| at.to_string()).collect::<Vec<_>>(), ["fd00::7"]);
        let alias = message.records().next().unwrap();
        assert_eq!(message.name_at(alias.rdata.start).unwrap().to_string(), "b.example");
        assert_eq!(&out[out.len() - 11..], &reply[reply.len() - 11..], "OPT");
        let soa = message.records().nth(3).unwrap();
        assert_eq!(message.name_at(soa.rdata.start).unwrap().to_string(), "ns.b.example");
        assert_eq!(without_ech(&out), Ok(None), "once");
        // One that breaks off behind its keys is not shown with them.
        let end = Message::new(&reply).unwrap().records().nth(1).unwrap().rdata.end;
        for cut in 0..reply.len() {
            assert_eq!(without_ech(&reply[..cut]).is_err(), cut >= end, "cut at {cut}");
        }
    }

    #[test]
    fn what_a_client_must_understand_no_longer_names_them() {
        let listed = |parameters: &[u8]| {
            let out = without_ech(&signed(parameters)).unwrap().unwrap();
            let message = Message::new(&out).unwrap();
            let https = message.records().nth(1).unwrap();
            message.parameters(&https).map(|(key, value)| (key, value.to_vec())).collect::<Vec<_>>()
        };
        let ech = b"\0\x05\0\x01k";
        assert_eq!(listed(&[b"\0\0\0\x02\0\x05", &ech[..]].concat()), []);
        let both = listed(&[b"\0\0\0\x04\0\x01\0\x05\0\x01\0\x03\x02h2", &ech[..]].concat());
        assert_eq!(both, [(0, vec![0, 1]), (1, b"\x02h2".to_vec())]);
        assert_eq!(without_ech(&signed(b"\0\x01\0\x03\x02h2")), Ok(None), "nothing to be taken out");
    }
}
