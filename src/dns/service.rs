//! Owns the walk over the parameters of SVCB and HTTPS records (RFC 9460 section 2.2), and every address that a reply leads its client to.
//! Never judges them, and never allocates.

use std::net::IpAddr;

use super::message::{Message, Record, Section};
use super::types::RecordType;

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
}
