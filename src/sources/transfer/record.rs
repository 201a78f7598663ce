//! Owns the writing of one record as a line of a zone file (RFC 1035 section 5.1; RFC 3597 for types without a form of their
//! own here). One record has one line: two are the same when their lines are. Never decides what a record means.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::soa::Soa;
use crate::dns::{CanonicalName, MAX_NAME, Message, Name, Record, RecordType};

/// Appends the record as a line without its end: owner relative to `zone`, TTL, type, value. `None` when it lies outside
/// the zone or its value is malformed.
pub(super) fn write(message: Message<'_>, record: &Record, zone: &Name, out: &mut Vec<u8>) -> Option<()> {
    let owner = relative(&message.name_at(record.owner)?, zone)?;
    match owner {
        Some(owner) => write!(out, "{owner}"),
        None => write!(out, "@"),
    }
    .ok()?;
    write!(out, " {} {}", record.ttl, record.record_type).ok()?;
    let rdata = message.bytes().get(record.rdata.clone())?;
    let (start, end) = (record.rdata.start, record.rdata.end);
    match record.record_type {
        RecordType::A => {
            write!(out, " {}", Ipv4Addr::from(<[u8; 4]>::try_from(rdata).ok()?)).ok()?;
        }
        RecordType::AAAA => {
            write!(out, " {}", Ipv6Addr::from(<[u8; 16]>::try_from(rdata).ok()?)).ok()?;
        }
        RecordType::CNAME | RecordType::DNAME | RecordType::NS | RecordType::PTR => {
            (name(message, start, out)? == end).then_some(())?;
        }
        RecordType::MX => {
            numbers(rdata.get(..2)?, out)?;
            (name(message, start + 2, out)? == end).then_some(())?;
        }
        RecordType::SRV => {
            numbers(rdata.get(..6)?, out)?;
            (name(message, start + 6, out)? == end).then_some(())?;
        }
        RecordType::SOA => {
            let contact = name(message, start, out)?;
            let fields = name(message, contact, out)?;
            for field in soa_fields(message, fields, end)? {
                write!(out, " {field}").ok()?;
            }
        }
        RecordType::TXT => texts(rdata, out)?,
        _ => {
            write!(out, " \\# {}", rdata.len()).ok()?;
            if !rdata.is_empty() {
                out.push(b' ');
            }
            rdata.iter().try_for_each(|byte| write!(out, "{byte:02x}")).ok()?;
        }
    }
    Some(())
}

/// What an SOA record says to those who copy the zone.
pub(super) fn soa(message: Message<'_>, record: &Record) -> Option<Soa> {
    let contact = message.name_end(record.rdata.start)?;
    let fields = message.name_end(contact)?;
    let [serial, refresh, retry, expire, _] = soa_fields(message, fields, record.rdata.end)?;
    Some(Soa::of_fields([serial, refresh, retry, expire]))
}

/// Whether the record's owner is `zone` itself.
pub(super) fn is_apex(message: Message<'_>, record: &Record, zone: &Name) -> bool {
    message.name_at(record.owner).is_some_and(|owner| owner.as_wire() == zone.as_wire())
}

/// The labels of `owner` in front of `zone`; within it `None` for the zone itself.
fn relative(owner: &CanonicalName, zone: &Name) -> Option<Option<CanonicalName>> {
    let wire = owner.as_wire();
    let depth = (0..=owner.label_count()).find(|at| owner.suffix(*at) == zone.as_wire())?;
    if depth == 0 {
        return Some(None);
    }
    let mut labels = [0; MAX_NAME];
    let length = owner.label_offset(depth);
    labels.get_mut(..length)?.copy_from_slice(wire.get(..length)?);
    CanonicalName::read(&labels).map(Some)
}

/// A name, absolute; returns the byte after it.
fn name(message: Message<'_>, at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let name = message.name_at(at)?;
    match name.label_count() {
        0 => write!(out, " ."),
        _ => write!(out, " {name}."),
    }
    .ok()?;
    message.name_end(at)
}

fn numbers(rdata: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for pair in rdata.chunks_exact(2) {
        write!(out, " {}", u16::from_be_bytes(pair.try_into().ok()?)).ok()?;
    }
    Some(())
}

fn texts(mut rdata: &[u8], out: &mut Vec<u8>) -> Option<()> {
    while let Some((&length, rest)) = rdata.split_first() {
        let (text, rest) = rest.split_at_checked(usize::from(length))?;
        rdata = rest;
        out.extend_from_slice(b" \"");
        for &byte in text {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b' '..=b'~' => out.push(byte),
                _ => write!(out, "\\{byte:03}").ok()?,
            }
        }
        out.push(b'"');
    }
    Some(())
}

fn soa_fields(message: Message<'_>, at: usize, end: usize) -> Option<[u32; 5]> {
    let bytes: &[u8; 20] = message.bytes().get(at..end)?.try_into().ok()?;
    let mut fields = [0; 5];
    for (field, four) in fields.iter_mut().zip(bytes.chunks_exact(4)) {
        *field = u32::from_be_bytes(four.try_into().ok()?);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a record with that owner, type and value, in the zone `rpz.example`.
    fn line(owner: &[u8], record_type: RecordType, rdata: &[u8]) -> Option<String> {
        let mut bytes = b"\0\x07\x84\0\0\x01\0\x01\0\0\0\0\x03rpz\x07example\0\0\xFC\0\x01".to_vec();
        bytes.extend(owner);
        bytes.extend(record_type.0.to_be_bytes());
        bytes.extend(b"\0\x01\0\0\0\x3C");
        bytes.extend((rdata.len() as u16).to_be_bytes());
        bytes.extend(rdata);
        let message = Message::new(&bytes).unwrap();
        let record = message.transferred().next()?;
        let mut out = Vec::new();
        write(message, &record, &"rpz.example".parse().unwrap(), &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn records_become_lines_that_a_zone_file_has() {
        let evil = b"\x01*\x04Evil\x07EXAMPLE\xC0\x0C";
        let lines = [
            (&evil[..], RecordType::CNAME, &b"\0"[..], "*.evil.example 60 CNAME ."),
            (evil, RecordType::CNAME, b"\x01*\0", "*.evil.example 60 CNAME *."),
            (evil, RecordType::CNAME, b"\x0CRPZ-passthru\0", "*.evil.example 60 CNAME rpz-passthru."),
            (evil, RecordType::CNAME, b"\x01a\xC0\x10", "*.evil.example 60 CNAME a.example."),
            (evil, RecordType::A, b"\xC0\0\x02\x01", "*.evil.example 60 A 192.0.2.1"),
            (evil, RecordType::AAAA, &[0; 16], "*.evil.example 60 AAAA ::"),
            (evil, RecordType::MX, b"\0\x0A\x01m\0", "*.evil.example 60 MX 10 m."),
            (evil, RecordType::SRV, b"\0\x01\0\x02\0\x03\x01m\0", "*.evil.example 60 SRV 1 2 3 m."),
            (
                evil,
                RecordType::TXT,
                b"\x05a \"\\;\0\x02\xFFz",
                r#"*.evil.example 60 TXT "a \"\\;" "" "\255z""#,
            ),
            (evil, RecordType(65_400), b"\x01\xAB", r"*.evil.example 60 TYPE65400 \# 2 01ab"),
            (evil, RecordType(65_400), b"", r"*.evil.example 60 TYPE65400 \# 0"),
            (b"\xC0\x0C", RecordType::NS, b"\x02ns\0", "@ 60 NS ns."),
            (
                b"\x0232\x011\x012\x010\x03192\x06rpz-ip\xC0\x0C",
                RecordType::CNAME,
                b"\0",
                "32.1.2.0.192.rpz-ip 60 CNAME .",
            ),
        ];
        for (owner, record_type, rdata, expected) in lines {
            assert_eq!(line(owner, record_type, rdata).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_malformed_or_elsewhere_is_no_line() {
        let inside = b"\x01a\xC0\x0C";
        for (owner, record_type, rdata) in [
            (&b"\x01a\x07example\0"[..], RecordType::A, &b"\xC0\0\x02\x01"[..]),
            (b"\x04xrpz\xC0\x10", RecordType::A, b"\xC0\0\x02\x01"),
            (inside, RecordType::A, b"\xC0\0\x02"),
            (inside, RecordType::AAAA, b"\xC0\0\x02\x01"),
            (inside, RecordType::CNAME, b"\0\0"),
            (inside, RecordType::CNAME, b""),
            (inside, RecordType::CNAME, b"\x01a\xC0\xFF"),
            (inside, RecordType::TXT, b"\x05abc"),
            (inside, RecordType::SOA, b"\0\0\0\0\0\x01"),
        ] {
            assert_eq!(line(owner, record_type, rdata), None, "{record_type} {rdata:?}");
        }
    }
}
