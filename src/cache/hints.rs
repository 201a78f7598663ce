//! Owns the addresses that SVCB and HTTPS records of an answer hint at (RFC 9460 section 7.3): a client connects to them without
//! asking for more. Never judges them.

use std::net::IpAddr;

use super::entry::Entry;
use crate::dns::{Message, RecordType, Section};

const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

impl Entry {
    /// Those addresses.
    pub fn hints(&self) -> impl Iterator<Item = IpAddr> {
        let message = self.message();
        let parsed = Message::new(message);
        let records = parsed.into_iter().flat_map(Message::records);
        let services = records
            .take_while(|record| record.section == Section::Answer)
            .filter(|record| matches!(record.record_type, RecordType::SVCB | RecordType::HTTPS));
        services.flat_map(move |record| {
            // SvcPriority, TargetName without compression (RFC 9460 section 2.2), then parameters.
            let begin = record.rdata.start + 2;
            let name = parsed.and_then(|parsed| parsed.name_at(begin)).map_or(0, |name| name.as_wire().len());
            let rest = message.get(begin + name..record.rdata.end).unwrap_or(&[]);
            Parameters(rest).flat_map(|(key, value)| addresses(key, value))
        })
    }
}

/// Service parameters: key, length, value.
struct Parameters<'m>(&'m [u8]);

impl<'m> Iterator for Parameters<'m> {
    type Item = (u16, &'m [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[k1, k2, l1, l2], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l1, l2])))?;
        self.0 = rest;
        Some((u16::from_be_bytes([k1, k2]), value))
    }
}

fn addresses(key: u16, value: &[u8]) -> Vec<IpAddr> {
    match key {
        IPV4_HINT => value.as_chunks::<4>().0.iter().map(|octets| IpAddr::from(*octets)).collect(),
        IPV6_HINT => value.as_chunks::<16>().0.iter().map(|octets| IpAddr::from(*octets)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;
    use crate::clock::Moment;
    use crate::dns::CanonicalName;

    #[test]
    fn hints_are_found_behind_the_target() {
        let parameters = b"\0\x01\0\x03\x02h2\0\x04\0\x08\x0A\0\0\x01\xC0\0\x02\x01\0\x06\0\x10\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07";
        let rdata = [&b"\0\x01\x03www\x07example\0"[..], &parameters[..parameters.len()]].concat();
        let mut message = b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x07example\0\0\x41\0\x01".to_vec();
        message.extend(b"\xC0\x0C\0\x41\0\x01\0\0\0\x3C");
        message.extend((rdata.len() as u16).to_be_bytes());
        message.extend(&rdata);
        let name = CanonicalName::read(b"\x01a\x07example\0").unwrap();
        let entry =
            Entry::new(&Key::new(&name, RecordType::HTTPS, false, false), &message, Moment::START).unwrap();
        let found: Vec<String> = entry.hints().map(|address| address.to_string()).collect();
        assert_eq!(found, ["10.0.0.1", "192.0.2.1", "fd00::7"]);
    }
}
