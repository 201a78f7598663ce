//! Owns how long a reply may be kept by those who keep it whole (RFC 8484 section 5.1). Never looks at what it says.

use super::message::{Message, Section};
use super::types::RecordType;

/// Seconds that a reply may be kept: the smallest TTL of its answers; without any, what its SOA record says (RFC 2308 section 5); 0
/// when nothing says anything, or it cannot be read.
pub fn lifetime(reply: &[u8]) -> u32 {
    let Some(message) = Message::new(reply) else { return 0 };
    let (mut answers, mut negative) = (None::<u32>, 0);
    let mut records = message.records();
    for record in records.by_ref() {
        // RFC 2181 section 8: a TTL with the highest bit set is none.
        let ttl = if record.ttl > i32::MAX as u32 { 0 } else { record.ttl };
        match record.section {
            Section::Answer => answers = Some(answers.map_or(ttl, |least| least.min(ttl))),
            Section::Authority if record.record_type == RecordType::SOA => {
                let minimum = reply.get(record.rdata).and_then(<[u8]>::last_chunk::<4>);
                negative = minimum.map_or(0, |minimum| ttl.min(u32::from_be_bytes(*minimum)));
            }
            Section::Authority | Section::Additional => {}
        }
    }
    if records.is_broken() { 0 } else { answers.unwrap_or(negative) }
}

/// Takes `seconds` off the TTL of every record but OPT, whose field is none.
pub fn aged(message: &mut [u8], seconds: u32) {
    let Some(parsed) = Message::new(message).filter(|_| seconds > 0) else { return };
    let of_records = parsed.records().filter(|record| record.record_type != RecordType::OPT);
    let offsets: Vec<(usize, u32)> = of_records.map(|record| (record.ttl_offset, record.ttl)).collect();
    for (at, ttl) in offsets {
        if let Some(field) = message.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *field = ttl.saturating_sub(seconds).to_be_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(counts: [u8; 3], records: &[&[u8]]) -> Vec<u8> {
        let [answers, authorities, additional] = counts;
        let head = [0, 0, 0x81, 0x80, 0, 1, 0, answers, 0, authorities, 0, additional];
        [&head[..], b"\x01a\0\0\x01\0\x01", &records.concat()].concat()
    }

    #[test]
    fn the_smallest_of_the_answers_counts_and_else_the_soa() {
        let a =
            |ttl: u32| [b"\xC0\x0C\0\x01\0\x01", &ttl.to_be_bytes()[..], b"\0\x04\x01\x02\x03\x04"].concat();
        let soa = |ttl: u32, minimum: u32| {
            let rdata = [&[0, 0][..], &[0; 16], &minimum.to_be_bytes()].concat();
            [b"\xC0\x0C\0\x06\0\x01", &ttl.to_be_bytes()[..], &[0, 22], &rdata].concat()
        };
        let opt = b"\0\0\x29\x04\xD0\0\0\0\0\0\0";
        assert_eq!(lifetime(&reply([2, 0, 1], &[&a(300), &a(60), opt])), 60, "OPT has no TTL");
        assert_eq!(lifetime(&reply([1, 1, 0], &[&a(300), &soa(5, 5)])), 300, "an authority is no answer");
        assert_eq!(lifetime(&reply([0, 1, 0], &[&soa(900, 60)])), 60);
        assert_eq!(lifetime(&reply([0, 1, 0], &[&soa(30, 60)])), 30);
        assert_eq!(lifetime(&reply([0, 0, 0], &[])), 0);
        assert_eq!(lifetime(&reply([1, 0, 0], &[&a(0x8000_0000)])), 0);
        assert_eq!(lifetime(&reply([2, 0, 0], &[&a(300)])), 0, "it broke off");
        assert_eq!(lifetime(b"short"), 0);
    }
}
