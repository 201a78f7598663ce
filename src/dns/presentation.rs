//! Owns how records look to people: response codes, classes, and RDATA as zone files have it (RFC 1035 section 5.1), in the generic form of RFC 3597
//! where a type is not known or the bytes do not hold to it. Never panics on foreign bytes; names have no final dot, as everywhere in this product.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::canonical::CanonicalName;
use super::message::{Message, Record};
use super::types::{Class, Rcode, RecordType};

impl Rcode {
    /// The mnemonic of RFC 6895 section 2.3; `None` for one without.
    pub fn mnemonic(self) -> Option<&'static str> {
        const NAMES: [&str; 12] = [
            "NOERROR",
            "FORMERR",
            "SERVFAIL",
            "NXDOMAIN",
            "NOTIMP",
            "REFUSED",
            "YXDOMAIN",
            "YXRRSET",
            "NXRRSET",
            "NOTAUTH",
            "NOTZONE",
            "DSOTYPENI",
        ];
        match self {
            Self::BADVERS => Some("BADVERS"),
            Self(number) => NAMES.get(usize::from(number)).copied(),
        }
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}

impl Class {
    /// The mnemonic of RFC 1035 section 3.2.4; `None` for one without.
    pub fn mnemonic(self) -> Option<&'static str> {
        match self {
            Self::IN => Some("IN"),
            Self::CH => Some("CH"),
            Self::ANY => Some("ANY"),
            _ => None,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "CLASS{}", self.0),
        }
    }
}

impl Message<'_> {
    /// A record's RDATA. A byte of it becomes at most four characters, and a name that is compressed at most a thousand.
    pub fn rdata_text(self, record: &Record) -> String {
        let mut out = String::new();
        // Writing to memory does not fail.
        let _written = self.write_rdata(record, &mut out).is_ok();
        out
    }

    /// The name that an alias, a name server or a pointer leads to; `None` of other records, and where the RDATA is no name.
    pub fn rdata_name(self, record: &Record) -> Option<CanonicalName> {
        let is_name = matches!(
            record.record_type,
            RecordType::CNAME | RecordType::DNAME | RecordType::NS | RecordType::PTR
        );
        if is_name { self.last_name(record, record.rdata.start) } else { None }
    }

    /// The same as [`Self::rdata_text`], written: addresses and names, which most answers are made of, without text in between.
    pub fn write_rdata(self, record: &Record, out: &mut impl fmt::Write) -> fmt::Result {
        let rdata = self.bytes().get(record.rdata.clone()).unwrap_or(&[]);
        if let Some(address) = self.rdata_address(record) {
            write_address(address, out)
        } else if let Some(name) = self.rdata_name(record) {
            name.write_text(out)
        } else {
            out.write_str(&self.composed(record, rdata).unwrap_or_else(|| generic(rdata)))
        }
    }

    /// The name at `at`, if it is the last of the RDATA.
    fn last_name(self, record: &Record, at: usize) -> Option<CanonicalName> {
        let is_last = self.name_end(at)? == record.rdata.end;
        self.name_at(at).filter(|_| is_last)
    }

    /// RDATA of several parts; `None` when the type is not known, or the bytes are not what it has.
    fn composed(self, record: &Record, rdata: &[u8]) -> Option<String> {
        let start = record.rdata.start;
        let named = |at: usize| self.last_name(record, at);
        Some(match record.record_type {
            RecordType::AFSDB | RecordType::KX | RecordType::MX => {
                let preference = u16::from_be_bytes(*rdata.first_chunk()?);
                format!("{preference} {}", named(start + 2)?)
            }
            RecordType::SRV => {
                let &[p1, p2, w1, w2, o1, o2] = rdata.first_chunk()?;
                let [priority, weight, port] = [[p1, p2], [w1, w2], [o1, o2]].map(u16::from_be_bytes);
                format!("{priority} {weight} {port} {}", named(start + 6)?)
            }
            RecordType::SOA => self.soa(record)?,
            RecordType::HINFO | RecordType::TXT => strings(rdata)?,
            RecordType::CAA => {
                let (&[flags, length], rest) = rdata.split_first_chunk()?;
                let (tag, value) = rest.split_at_checked(usize::from(length))?;
                let tag = std::str::from_utf8(tag).ok().filter(|tag| tag.bytes().all(is_letter))?;
                format!("{flags} {tag} {}", quoted(value))
            }
            RecordType::HTTPS | RecordType::SVCB => self.service(record, rdata)?,
            _ => return None,
        })
    }

    fn soa(self, record: &Record) -> Option<String> {
        let (primary, contact) = (record.rdata.start, self.name_end(record.rdata.start)?);
        let numbers = self.bytes().get(self.name_end(contact)?..record.rdata.end)?;
        let numbers: &[[u8; 4]; 5] = numbers.as_chunks().0.try_into().ok().filter(|_| numbers.len() == 20)?;
        let mut out = format!("{} {}", self.name_at(primary)?, self.name_at(contact)?);
        for number in numbers {
            write!(out, " {}", u32::from_be_bytes(*number)).ok()?;
        }
        Some(out)
    }

    /// RFC 9460 section 2.1. Keys that are not known are `keyNNN`.
    fn service(self, record: &Record, rdata: &[u8]) -> Option<String> {
        let priority = u16::from_be_bytes(*rdata.first_chunk()?);
        // Written out, not compressed (RFC 9460 section 2.2).
        let target = CanonicalName::read(rdata.get(2..)?)?;
        let mut out = format!("{priority} {target}");
        let mut length = 2 + target.as_wire().len();
        for (key, value) in self.parameters(record) {
            length += 4 + value.len();
            out.push(' ');
            out.push_str(&parameter(key, value));
        }
        (length == rdata.len()).then_some(out)
    }
}

/// Room for an address as text: eight groups of four digits and what stands between them, and what is written behind the last octet and not counted.
pub const ADDRESS_TEXT: usize = 40;

/// Puts an address as text, as RFC 5952 wants those of IPv6, into the front of `text`, without the formatting of numbers: where every query is logged,
/// addresses are most of what is told of answers. Returns how many bytes that is, all of them of ASCII.
pub fn put_address(address: IpAddr, text: &mut [u8; ADDRESS_TEXT]) -> usize {
    let mut text = AddressText { text, length: 0 };
    match address {
        IpAddr::V4(address) => text.put_dotted(address.octets()),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => {
                b"::ffff:".iter().for_each(|byte| text.put(*byte));
                text.put_dotted(mapped.octets());
            }
            None => text.put_groups(address.segments()),
        },
    }
    text.length
}

/// Writes the same.
pub fn write_address(address: IpAddr, out: &mut impl fmt::Write) -> fmt::Result {
    let mut text = [0; ADDRESS_TEXT];
    let length = put_address(address, &mut text);
    out.write_str(text.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default())
}

struct AddressText<'t> {
    text: &'t mut [u8; ADDRESS_TEXT],
    length: usize,
}

impl AddressText<'_> {
    fn put(&mut self, byte: u8) {
        if let Some(to) = self.text.get_mut(self.length) {
            *to = byte;
            self.length += 1;
        }
    }

    fn put_dotted(&mut self, octets: [u8; 4]) {
        for octet in octets {
            let to = self.text.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut);
            if let (Some(to), Some((text, length))) = (to, OCTETS.get(usize::from(octet))) {
                *to = *text;
                self.length += usize::from(*length);
            }
        }
        // No dot behind the last.
        self.length -= 1;
    }

    /// RFC 5952 section 4: the first of the longest runs of two zeros and more is left out.
    fn put_groups(&mut self, groups: [u16; 8]) {
        let (mut longest, mut run) = (0..0, 0..0);
        for (index, group) in groups.into_iter().enumerate() {
            run = if group == 0 { run.start..index + 1 } else { index + 1..index + 1 };
            if run.len() > longest.len().max(1) {
                longest = run.clone();
            }
        }
        for (index, group) in groups.into_iter().enumerate() {
            if longest.contains(&index) {
                if index == longest.start {
                    self.put(b':');
                    self.put(b':');
                }
                continue;
            }
            if index > 0 && index != longest.end {
                self.put(b':');
            }
            self.put_hexadecimal(group);
        }
    }

    fn put_hexadecimal(&mut self, group: u16) {
        for shift in [12, 8, 4, 0] {
            if group >> shift != 0 || shift == 0 {
                let digit = (group >> shift & 15) as u8;
                self.put(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
            }
        }
    }
}

/// Octets in decimal, each with a dot behind it, and how many bytes that is.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([0; 4], 0); 256];
    let (mut rest, mut octet) = (octets.as_mut_slice(), 0_u8);
    while let Some((text, behind)) = rest.split_first_mut() {
        let [hundreds, tens, ones] = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        *text = match octet {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            100.. => ([hundreds, tens, ones, b'.'], 4),
        };
        (rest, octet) = (behind, octet.wrapping_add(1));
    }
    octets
};

/// One parameter of a service.
fn parameter(key: u16, value: &[u8]) -> String {
    let list = |items: Vec<String>| items.join(",");
    let known = match key {
        0 => value.as_chunks::<2>().1.is_empty().then(|| {
            let keys = value.as_chunks::<2>().0.iter().map(|key| name_of(u16::from_be_bytes(*key)));
            list(keys.collect())
        }),
        1 => protocols(value).map(list),
        3 => <[u8; 2]>::try_from(value).ok().map(|port| u16::from_be_bytes(port).to_string()),
        4 => value.as_chunks::<4>().1.is_empty().then(|| {
            let hints = value.as_chunks::<4>().0.iter().map(|hint| Ipv4Addr::from(*hint).to_string());
            list(hints.collect())
        }),
        5 => Some(STANDARD.encode(value)),
        6 => value.as_chunks::<16>().1.is_empty().then(|| {
            let hints = value.as_chunks::<16>().0.iter().map(|hint| Ipv6Addr::from(*hint).to_string());
            list(hints.collect())
        }),
        _ => None,
    };
    match known {
        Some(text) => format!("{}={text}", name_of(key)),
        None if value.is_empty() => name_of(key),
        None => format!("key{key}={}", quoted(value)),
    }
}

fn name_of(key: u16) -> String {
    const NAMES: [&str; 7] = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"];
    NAMES.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

/// The protocols of `alpn`, unless one has a letter that would have to be escaped twice.
fn protocols(mut rest: &[u8]) -> Option<Vec<String>> {
    let mut out = Vec::new();
    while let Some((&length, behind)) = rest.split_first() {
        let (protocol, behind) = behind.split_at_checked(usize::from(length))?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_');
        out.push(String::from_utf8(protocol.to_vec()).ok().filter(|text| text.bytes().all(is_plain))?);
        rest = behind;
    }
    Some(out)
}

/// Character strings (RFC 1035 section 3.3), each in quotes.
fn strings(mut rest: &[u8]) -> Option<String> {
    let mut out = String::new();
    while let Some((&length, behind)) = rest.split_first() {
        let (string, behind) = behind.split_at_checked(usize::from(length))?;
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&quoted(string));
        rest = behind;
    }
    Some(out)
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03}")),
        }
    }
    out.push('"');
    out
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Any RDATA (RFC 3597 section 5).
fn generic(rdata: &[u8]) -> String {
    let mut out = format!("\\# {}", rdata.len());
    for (at, byte) in rdata.iter().enumerate() {
        out.push_str(&format!("{}{byte:02x}", if at == 0 { " " } else { "" }));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text of one record's RDATA, behind the question `example`, which it may point to at byte 12.
    fn text(record_type: RecordType, rdata: &[u8]) -> String {
        let mut bytes = b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0\x07example\0\0\x01\0\x01\xC0\x0C".to_vec();
        bytes.extend(record_type.0.to_be_bytes());
        bytes.extend(b"\0\x01\0\0\0\x3C");
        bytes.extend((rdata.len() as u16).to_be_bytes());
        bytes.extend(rdata);
        let message = Message::new(&bytes).unwrap();
        let record = message.records().next().unwrap();
        let mut written = String::new();
        message.write_rdata(&record, &mut written).unwrap();
        assert_eq!(written, message.rdata_text(&record));
        written
    }

    fn written(address: IpAddr) -> String {
        let mut out = String::new();
        write_address(address, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn addresses_are_written_as_they_are_displayed(
            octets in any::<[u8; 4]>(),
            groups in proptest::array::uniform8(prop_oneof![Just(0), Just(0), Just(0xFFFF), any::<u16>(), 0..0x100_u16]),
        ) {
            for address in [IpAddr::from(octets), IpAddr::from(groups), IpAddr::from(Ipv4Addr::from(octets).to_ipv6_mapped())] {
                prop_assert_eq!(written(address), address.to_string());
            }
        }
    }

    #[test]
    fn the_first_of_the_longest_runs_of_zeros_is_left_out() {
        for address in [
            "::",
            "::1",
            "1::",
            "0:1::",
            "1:0:2::3",
            "1::2:0:0:3",
            "1:0:0:2::",
            "1:2:3:4:5:6:0:8",
            "::ffff:192.0.2.1",
        ] {
            assert_eq!(written(address.parse().unwrap()), address);
        }
    }

    #[test]
    fn known_types_look_as_in_a_zone_file() {
        for (record_type, rdata, expected) in [
            (RecordType::A, &[192, 0, 2, 7][..], "192.0.2.7"),
            (RecordType::AAAA, b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", "2001:db8::7"),
            (RecordType::CNAME, b"\x03www\xC0\x0C", "www.example"),
            (RecordType::PTR, b"\0", "."),
            (RecordType::MX, b"\0\x0A\x04mail\xC0\x0C", "10 mail.example"),
            (RecordType::SRV, b"\0\x01\0\x02\x01\xBB\x01s\xC0\x0C", "1 2 443 s.example"),
            (RecordType::TXT, b"\x05v=a b\x04\"\\\x07\xC3", "\"v=a b\" \"\\\"\\\\\\007\\195\""),
            (RecordType::HINFO, b"\x07RFC8482\0", "\"RFC8482\" \"\""),
            (RecordType::CAA, b"\x80\x05issueca.example", "128 issue \"ca.example\""),
            (
                RecordType::SOA,
                b"\x02ns\xC0\x0C\x04host\xC0\x0C\0\0\0\x07\0\0\x0E\x10\0\0\x02\x58\0\x01\x51\x80\0\0\0\x3C",
                "ns.example host.example 7 3600 600 86400 60",
            ),
            (RecordType::HTTPS, b"\0\x01\0", "1 ."),
            (
                RecordType::HTTPS,
                b"\0\x01\x01t\0\0\0\0\x02\0\x01\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x01\xBB\0\x04\0\x04\xC0\0\x02\x01\0\x05\0\x04keys",
                "1 t mandatory=alpn alpn=h2,h3 port=443 ipv4hint=192.0.2.1 ech=a2V5cw==",
            ),
            (RecordType::SVCB, b"\0\0\x01t\0\0\x02\0\0\0\x07\0\x01/\x02\x9A\0\0", "0 t no-default-alpn key7=\"/\" key666"),
        ] {
            assert_eq!(text(record_type, rdata), expected);
        }
    }

    #[test]
    fn what_is_not_known_or_breaks_off_is_told_byte_by_byte() {
        for (record_type, rdata, expected) in [
            (RecordType(65280), &b"\x0A\0\xFF"[..], "\\# 3 0a00ff"),
            (RecordType(65280), b"", "\\# 0"),
            (RecordType::A, b"\x0A\0\xFF", "\\# 3 0a00ff"),
            (RecordType::CNAME, b"\x01a\0more", "\\# 7 0161006d6f7265"),
            (RecordType::CNAME, b"\x09a", "\\# 2 0961"),
            (RecordType::TXT, b"\x05v", "\\# 2 0576"),
            (RecordType::SOA, b"\0\0\0\0\0\x07", "\\# 6 000000000007"),
            (RecordType::HTTPS, b"\0\x01\0\0\x01\0\x09\x02h2", "\\# 10 00010000010009026832"),
        ] {
            assert_eq!(text(record_type, rdata), expected);
        }
        // An `alpn` with a comma in a name, and hints that are no addresses.
        assert_eq!(text(RecordType::HTTPS, b"\0\x01\0\0\x01\0\x03\x02a,"), "1 . key1=\"\\002a,\"");
        assert_eq!(text(RecordType::HTTPS, b"\0\x01\0\0\x04\0\x01\x0A"), "1 . key4=\"\\010\"");
    }

    #[test]
    fn codes_and_classes_have_their_names() {
        let codes = [0, 3, 5, 11, 12, 16, 23].map(|code| Rcode(code).to_string());
        assert_eq!(codes, ["NOERROR", "NXDOMAIN", "REFUSED", "DSOTYPENI", "RCODE12", "BADVERS", "RCODE23"]);
        assert_eq!([1, 3, 254].map(|class| Class(class).to_string()), ["IN", "CH", "CLASS254"]);
    }
}
