//! Owns the addresses that SVCB and HTTPS records of an answer hint at (RFC 9460 section 7.3): a client connects to them without
//! asking for more. Never judges them.

use std::net::IpAddr;

use super::entry::Entry;
use crate::dns::{Message, Section};

impl Entry {
    /// Those addresses.
    pub fn hints(&self) -> impl Iterator<Item = IpAddr> {
        let message = Message::new(self.message());
        let records = message.into_iter().flat_map(Message::records);
        let answer = records.take_while(|record| record.section == Section::Answer);
        answer.flat_map(move |record| {
            message.into_iter().flat_map(move |message| message.parameters(&record).hints())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;
    use crate::clock::Moment;
    use crate::dns::{CanonicalName, RecordType};

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
