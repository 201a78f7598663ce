//! Owns the OPT pseudo-record (RFC 6891): reading a client's, the fixed part of ours, and the options that only connections
//! know. Never keeps options it does not act upon.

use super::HEADER;
use super::message::{Message, Section};
use super::types::RecordType;

/// Bytes of an OPT record without options: root owner, type, class, TTL, RDLENGTH.
pub const OPT_FIXED: usize = 11;

/// What a client's OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP payload the client can take, in bytes, as written (values under 512 mean 512).
    pub payload: u16,
    /// EDNS version; only 0 is known.
    pub version: u8,
    /// DO: DNSSEC records wanted (RFC 3225).
    pub dnssec_ok: bool,
}

impl Edns {
    /// Reads the class and TTL fields of an OPT record.
    #[inline]
    pub fn from_fields(class: u16, ttl: u32) -> Self {
        Self { payload: class, version: (ttl >> 16) as u8, dnssec_ok: ttl & 0x8000 != 0 }
    }

    /// The fixed part of an OPT record we send. `payload` is what we can receive, `extended` the upper eight bits of
    /// the response code, `options` the length of the options that follow.
    #[inline]
    pub fn fixed(payload: u16, extended: u8, dnssec_ok: bool, options: u16) -> [u8; OPT_FIXED] {
        let [type_high, type_low] = RecordType::OPT.0.to_be_bytes();
        let [payload_high, payload_low] = payload.to_be_bytes();
        let [options_high, options_low] = options.to_be_bytes();
        let flags = if dnssec_ok { 0x80 } else { 0 };
        [0, type_high, type_low, payload_high, payload_low, extended, 0, flags, 0, options_high, options_low]
    }
}

/// The option edns-tcp-keepalive (RFC 7828).
const KEEPALIVE: u16 = 11;
/// The option Padding (RFC 7830).
const PADDING: u16 = 12;
/// Encrypted replies are padded to multiples of this many bytes (RFC 8467 section 4.1).
const BLOCK: usize = 468;

/// What a client asks of its reply's OPT record where questions come over a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// To be told how long the connection may idle (RFC 7828).
    pub keepalive: bool,
    /// A reply whose length does not tell what it is, as the query was padded (RFC 7830).
    pub padding: bool,
}

impl Requested {
    /// What the query in `packet` asks for; nothing when it has no options, or cannot be read.
    #[inline]
    pub fn of(packet: &[u8]) -> Self {
        match packet.get(10..HEADER) {
            None | Some([0, 0]) => Self::default(),
            // The usual OPT record, at the end and without options.
            _ if packet
                .last_chunk::<OPT_FIXED>()
                .is_some_and(|opt| opt.starts_with(&[0, 0, 41]) && opt.ends_with(&[0, 0])) =>
            {
                Self::default()
            }
            _ => Self::read(packet).unwrap_or_default(),
        }
    }

    fn read(packet: &[u8]) -> Option<Self> {
        let message = Message::new(packet)?;
        let count = message.record_count(Section::Additional);
        let mut records = message.records_from(message.question_end()?, Section::Additional, count);
        let mut rest = packet.get(records.find(|record| record.record_type == RecordType::OPT)?.rdata)?;
        let mut requested = Self::default();
        while let Some((&[c1, c2, l1, l2], behind)) = rest.split_first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([l1, l2]));
            match u16::from_be_bytes([c1, c2]) {
                KEEPALIVE => requested.keepalive = true,
                PADDING => requested.padding = true,
                _ => {}
            }
            rest = behind.get(length..)?;
        }
        Some(requested)
    }

    /// Completes the reply in the first `length` bytes of `buffer`, and returns its new length: with how long the connection
    /// may idle, in tenths of a second, and padding, each where it was asked for, is given, and finds room. The reply's OPT
    /// record must be its last; one without is left alone.
    pub fn complete(self, buffer: &mut [u8], length: usize, idle: Option<u16>, encrypted: bool) -> usize {
        let idle = idle.filter(|_| self.keepalive);
        let padded = self.padding && encrypted;
        if idle.is_none() && !padded {
            return length;
        }
        self.append(buffer, length, idle, padded).unwrap_or(length)
    }

    fn append(self, buffer: &mut [u8], length: usize, idle: Option<u16>, padded: bool) -> Option<usize> {
        let reply = buffer.get(..length)?;
        let opt = Message::new(reply)?.records().last().filter(|last| last.record_type == RecordType::OPT)?;
        if opt.rdata.end != length {
            return None;
        }
        let mut end = length;
        if let Some(idle) = idle {
            let [high, low] = idle.to_be_bytes();
            end = put(buffer, end, &[0, KEEPALIVE as u8, 0, 2, high, low])?;
        }
        if padded {
            let used = end + 4;
            let padding = used.next_multiple_of(BLOCK) - used;
            let [high, low] = (padding as u16).to_be_bytes();
            end = put(buffer, end, &[0, PADDING as u8, high, low])?;
            end = put(buffer, end, ZEROS.get(..padding)?)?;
        }
        let options = u16::try_from(end - opt.rdata.start).ok()?;
        buffer.get_mut(opt.rdata.start - 2..opt.rdata.start)?.copy_from_slice(&options.to_be_bytes());
        Some(end)
    }
}

/// A query of this product's, padded so that its length does not tell its name: to a multiple of 128 bytes (RFC 8467 section 4.1). Its OPT record is its
/// last, without options.
pub fn padded_query(query: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 128;
    let used = query.len() + 4;
    let length = used.next_multiple_of(BLOCK);
    let mut padded = query.to_vec();
    padded.resize(length, 0);
    let zeros = ZEROS.get(..length - used).unwrap_or(&[]);
    let whole = append_option(&mut padded, query.len(), PADDING, zeros);
    padded.truncate(whole);
    padded
}

/// Appends an option to the reply in the first `length` bytes of `buffer`, and returns its new length; the same when it has no OPT record at its
/// end, or there is no room.
pub fn append_option(buffer: &mut [u8], length: usize, code: u16, value: &[u8]) -> usize {
    let mut appended = || -> Option<usize> {
        let reply = buffer.get(..length)?;
        let opt = Message::new(reply)?.records().last()?;
        if opt.record_type != RecordType::OPT || opt.rdata.end != length {
            return None;
        }
        let options = u16::try_from(opt.rdata.len() + 4 + value.len()).ok()?;
        let [c1, c2] = code.to_be_bytes();
        let [l1, l2] = u16::try_from(value.len()).ok()?.to_be_bytes();
        let room = buffer.get_mut(length..length + 4 + value.len())?;
        let (head, rest) = room.split_at_mut(4);
        head.copy_from_slice(&[c1, c2, l1, l2]);
        rest.copy_from_slice(value);
        buffer.get_mut(opt.rdata.start - 2..opt.rdata.start)?.copy_from_slice(&options.to_be_bytes());
        Some(length + 4 + value.len())
    };
    appended().unwrap_or(length)
}

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Puts `bytes` at `at`, and says where they end; `None` when they do not fit.
fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) -> Option<usize> {
    let end = at + bytes.len();
    buffer.get_mut(at..end)?.copy_from_slice(bytes);
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\xAB\xCD\x01\0\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01";

    fn with_opt(options: &[u8]) -> Vec<u8> {
        [QUESTION, &Edns::fixed(1232, 0, false, options.len() as u16), options].concat()
    }

    #[test]
    fn what_a_client_asks_of_a_connection_is_read_and_granted() {
        let both = b"\0\x0A\0\x02\x01\x02\0\x0B\0\0\0\x0C\0\x03\0\0\0";
        assert_eq!(Requested::of(&with_opt(both)), Requested { keepalive: true, padding: true });
        for nothing in
            [with_opt(b""), with_opt(b"\0\x0A\0\x02\x01\x02"), with_opt(b"\0\x0C\0\x09"), vec![1; 11]]
        {
            assert_eq!(Requested::of(&nothing), Requested::default(), "{nothing:?}");
        }
        let mut reply = with_opt(b"\0\x0F\0\x02\0\x0F");
        let length = reply.len();
        reply.resize(2000, 0xFF);
        let all = Requested { keepalive: true, padding: true };
        assert_eq!(all.complete(&mut reply, length, None, false), length, "neither given");
        assert_eq!(
            Requested::default().complete(&mut reply, length, Some(300), true),
            length,
            "not asked for"
        );
        assert_eq!(
            all.complete(&mut reply[..length + 9], length, Some(300), true),
            length,
            "no room: as it was"
        );
        let whole = all.complete(&mut reply, length, Some(300), true);
        assert_eq!(whole, BLOCK);
        let read = hickory_proto::op::Message::from_vec(&reply[..whole]).unwrap();
        let options = read.edns.unwrap();
        let value =
            |code: u16| options.option(code.into()).map(|option| Vec::<u8>::try_from(option).unwrap());
        assert_eq!(value(KEEPALIVE), Some(vec![1, 44]));
        assert!(value(PADDING).unwrap().iter().all(|byte| *byte == 0));
        assert_eq!(value(15), Some(vec![0, 15]));
    }

    #[test]
    fn queries_are_padded_to_blocks() {
        for length in 1..120 {
            let name = [&[63][..], &[b'a'; 63]].concat().repeat(1 + length / 64);
            let question = [&name[..], b"\0\0\x01\0\x01"].concat();
            let query = crate::dns::write_query(7, &question, true, false, true);
            let padded = padded_query(&query);
            assert_eq!(padded.len() % 128, 0);
            assert!(hickory_proto::op::Message::from_vec(&padded).is_ok());
            assert!(Requested::of(&padded).padding);
        }
    }

    #[test]
    fn a_reply_without_opt_and_one_of_exactly_a_block_are_left_right() {
        let all = Requested { keepalive: true, padding: true };
        let mut plain = QUESTION.to_vec();
        plain[11] = 0;
        let length = plain.len();
        plain.resize(600, 0);
        assert_eq!(all.complete(&mut plain, length, Some(300), true), length);
        for size in 900..1000 {
            let text = vec![7; size];
            let option = [&[0, 15][..], &(size as u16).to_be_bytes(), &text].concat();
            let mut reply = with_opt(&option);
            let length = reply.len();
            reply.resize(4000, 0xFF);
            let whole = all.complete(&mut reply, length, None, true);
            assert_eq!(whole % BLOCK, 0);
            assert!(whole < length + 4 + BLOCK);
        }
    }

    #[test]
    fn fields_round_trip() {
        let fixed = Edns::fixed(1232, 1, true, 6);
        assert_eq!(fixed, [0, 0, 41, 0x04, 0xD0, 1, 0, 0x80, 0, 0, 6]);
        let edns = Edns::from_fields(1232, 0x0102_8000);
        assert_eq!(edns, Edns { payload: 1232, version: 2, dnssec_ok: true });
    }
}
