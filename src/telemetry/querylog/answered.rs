//! Owns what a record's reply says: code, flags, extended error, the records of its answer. Reads what others wrote, in bounded time and text; never
//! panics on it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use serde::Serialize;

use super::line::displayed;
use crate::dns::{Class, Flags, Message, Rcode, RecordType, Section, write_counts};
use crate::telemetry::reply::{Origin, Reply};

/// A reply in words.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The id that the client chose.
    pub id: u16,
    /// Whole, where the end of the reply is there.
    pub rcode: Rcode,
    /// The header's flags.
    pub flags: Flags,
    /// The first one's INFO-CODE.
    pub extended_error: Option<u16>,
    /// Where it comes from.
    pub origin: Origin,
    /// The answer section.
    pub answers: Vec<Answer>,
    /// Addresses among them.
    pub addresses: Vec<IpAddr>,
    /// True when there is more than these.
    pub is_cut: bool,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Its owner.
    pub name: String,
    /// TYPE.
    #[serde(serialize_with = "displayed")]
    pub r#type: RecordType,
    /// CLASS.
    #[serde(serialize_with = "displayed")]
    pub class: Class,
    /// Seconds.
    pub ttl: u32,
    /// RDATA as zone files have it.
    pub data: String,
}

/// Letters of names and RDATA told of one reply: some forty addresses. Compression makes 512 bytes say much more than that.
pub(super) const MOST_TEXT: usize = 4096;

impl Answered {
    /// `None` when it has no header.
    pub fn read(reply: Reply<'_>) -> Option<Self> {
        let message = Message::new(reply.bytes())?;
        let (rcode, extended_error) = message.rcode_and_error(message.records());
        let mut answered = Self {
            id: message.id(),
            rcode,
            flags: message.flags(),
            extended_error,
            origin: reply.origin(),
            answers: Vec::new(),
            addresses: message.addresses().map(|(address, _)| address).collect(),
            is_cut: false,
        };
        let mut room = MOST_TEXT;
        for record in message.records().take_while(|record| record.section == Section::Answer) {
            let Some(name) = message.name_at(record.owner) else { break };
            let answer = Answer {
                name: name.to_string(),
                r#type: record.record_type,
                class: record.class,
                ttl: record.ttl,
                data: message.rdata_text(&record),
            };
            let Some(left) = room.checked_sub(answer.name.len() + answer.data.len()) else { break };
            room = left;
            answered.answers.push(answer);
        }
        answered.is_cut = answered.answers.len() < usize::from(message.record_count(Section::Answer));
        answered.addresses.truncate(answered.answers.len());
        Some(answered)
    }

    /// The flags that are set, by the names that RFC 1035, 2535 and 4035 give them; that it is a response says nothing here.
    pub fn flags(&self) -> Vec<&'static str> {
        Self::flags_of(self.flags).collect()
    }

    /// Those that have names.
    pub(super) const FLAGS: u16 = Flags::AA | Flags::TC | Flags::RD | Flags::RA | Flags::AD | Flags::CD;

    pub(super) fn flags_of(flags: Flags) -> impl Iterator<Item = &'static str> {
        let names = [
            (Flags::AA, "AA"),
            (Flags::TC, "TC"),
            (Flags::RD, "RD"),
            (Flags::RA, "RA"),
            (Flags::AD, "AD"),
            (Flags::CD, "CD"),
        ];
        names.into_iter().filter(move |(mask, _)| flags.has(*mask)).map(|(_, name)| name)
    }
}

/// What a record's reply says, read when somebody wants to know.
#[derive(Debug)]
pub(super) struct Said<'r> {
    reply: Option<Reply<'r>>,
    read: OnceCell<Option<Answered>>,
}

impl<'r> Said<'r> {
    pub(super) fn of(reply: Option<Reply<'r>>) -> Self {
        Self { reply, read: OnceCell::new() }
    }

    pub(super) fn answered(&self) -> Option<&Answered> {
        self.read.get_or_init(|| self.reply.and_then(Answered::read)).as_ref()
    }
}

/// A message for readers of messages: the reply, or, where its end is missing, as many whole records as are there, and counts that say so; without
/// any when they are not to be told. Empty when not even its question is there.
pub(super) fn message(reply: Reply<'_>, tells_answers: bool) -> Cow<'_, [u8]> {
    if tells_answers && !reply.is_cut() {
        return Cow::Borrowed(reply.bytes());
    }
    shortened(reply.bytes(), tells_answers).map_or(Cow::Borrowed(&[]), Cow::Owned)
}

fn shortened(bytes: &[u8], tells_answers: bool) -> Option<Vec<u8>> {
    let message = Message::new(bytes)?;
    let (mut end, mut counts) = (message.question_end()?, [0u16; 3]);
    for record in message.records().filter(|_| tells_answers) {
        end = record.rdata.end;
        if let Some(count) = counts.get_mut(record.section as usize) {
            *count += 1;
        }
    }
    let mut out = bytes.get(..end)?.to_vec();
    write_counts(&mut out, counts)?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x07example\0\0\x01\0\x01";

    /// A reply with these flags and records of the answer.
    fn reply(flags: u16, records: &[&[u8]], tail: &[u8]) -> Vec<u8> {
        let mut out = b"\x12\x34".to_vec();
        out.extend(flags.to_be_bytes());
        out.extend([0, 1, 0, records.len() as u8, 0, 0, 0, u8::from(!tail.is_empty())]);
        out.extend(QUESTION);
        records.iter().for_each(|record| out.extend(*record));
        out.extend(tail);
        out
    }

    const ADDRESS: &[u8] = b"\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x01";

    fn read(message: &[u8]) -> Answered {
        Answered::read(Reply::new(message, Origin::Cache)).unwrap()
    }

    #[test]
    fn a_chain_is_told_record_by_record_with_its_flags_and_its_error() {
        let alias = b"\xC0\x0C\0\x05\0\x01\0\0\x01\x2C\0\x06\x03www\xC0\x0C";
        let at_target = b"\x03www\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x01";
        let opt = b"\0\0\x29\x04\xD0\0\0\0\0\0\x06\0\x0F\0\x02\0\x11";
        let answered = read(&reply(0x81A0, &[alias, at_target], opt));
        let said: Vec<String> = answered
            .answers
            .iter()
            .map(|one| format!("{} {} {} {} {}", one.name, one.ttl, one.class, one.r#type, one.data))
            .collect();
        assert_eq!(said, ["example 300 IN CNAME www.example", "www.example 60 IN A 192.0.2.1"]);
        assert_eq!(answered.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            (answered.id, answered.rcode, answered.extended_error),
            (0x1234, Rcode::NOERROR, Some(17))
        );
        assert_eq!((answered.flags(), answered.is_cut), (vec!["RD", "RA", "AD"], false));
    }

    #[test]
    fn the_upper_bits_of_a_code_are_in_its_opt_record() {
        assert_eq!(read(&reply(0x8180, &[], b"\0\0\x29\x04\xD0\x01\0\0\0\0\0")).rcode, Rcode::BADVERS);
        assert_eq!(read(&reply(0x8183, &[], b"")).rcode, Rcode::NXDOMAIN);
    }

    #[test]
    fn a_cut_reply_tells_the_records_that_are_whole_and_is_a_message_still() {
        let long = reply(0x8180, &[ADDRESS; 100], b"\0\0\x29\x04\xD0\0\0\0\0\0\0");
        let kept = Reply::new(&long, Origin::Upstream(None));
        let answered = Answered::read(kept).unwrap();
        let fit = (Reply::MOST - 12 - QUESTION.len()) / ADDRESS.len();
        assert_eq!((answered.answers.len(), answered.addresses.len(), answered.is_cut), (fit, fit, true));
        let message = hickory_proto::op::Message::from_vec(&message(kept, true)).unwrap();
        assert_eq!((message.answers.len(), message.additionals.len()), (fit, 0));
        assert_eq!(message.metadata.id, 0x1234);
    }

    #[test]
    fn without_answers_the_question_and_the_code_stay() {
        let bytes = reply(0x8183, &[ADDRESS], b"");
        let whole = Reply::new(&bytes, Origin::Cache);
        let bare = hickory_proto::op::Message::from_vec(&message(whole, false)).unwrap();
        assert_eq!((bare.queries.len(), bare.answers.len()), (1, 0));
        assert_eq!(bare.metadata.response_code.to_string(), "Non-Existent Domain");
        assert_eq!(message(whole, true), whole.bytes());
    }

    #[test]
    fn what_compression_makes_long_is_cut() {
        let label = [&[63][..], &[b'\x01'; 63]].concat();
        let mut out = b"\0\0\x81\x80\0\x01\0\x0F\0\0\0\0".to_vec();
        out.extend(label.repeat(3));
        out.extend(b"\0\0\x05\0\x01");
        (0..15).for_each(|_| out.extend(b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x02\xC0\x0C"));
        let answered = read(&out);
        let text: usize = answered.answers.iter().map(|one| one.name.len() + one.data.len()).sum();
        assert!(answered.is_cut && text <= MOST_TEXT && !answered.answers.is_empty(), "{text}");
    }

    #[test]
    fn whatever_breaks_off_is_read_as_far_as_it_goes() {
        let whole = reply(0x8180, &[ADDRESS, ADDRESS], b"\0\0\x29\x04\xD0\0\0\0\0\0\x06\0\x0F\0\x02\0\x11");
        for cut in 0..whole.len() {
            let kept = Reply::new(&whole[..cut], Origin::Cache);
            assert_eq!(Answered::read(kept).is_some(), cut >= 12);
            assert!(message(kept, false).len() <= cut);
        }
        // A header that promises what is not there.
        assert!(Answered::read(Reply::new(&[0xFF; 12], Origin::Cache)).unwrap().answers.is_empty());
    }
}
