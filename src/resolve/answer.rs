//! Owns what makes received bytes the answer to a question, and what of them is kept. Never reads a socket.

use std::borrow::Cow;

use super::question::Case;
use super::scrub::{Scrubbed, scrub};
use crate::dns::{Flags, HEADER, MAX_MESSAGE, Message, Record, RecordType};

/// What an answer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// As the next, but written anew: something in it belonged to no question, or was not in its order.
    Anew(Vec<u8>),
    /// It answers, but the letters of the name are not as they were asked: the server does not keep them, or somebody guessed all else.
    Folded,
    /// Too large for a datagram; to be asked for over TCP.
    Truncated,
    /// Whole: this many bytes, with a zero id and without what belongs to this hop or to no question.
    Whole(usize),
}

/// Reads `received` as the answer to `question` (QNAME, QTYPE, QCLASS) asked under `id` with its letters as `case` says, and strips it in
/// place. `None` for anything else: what does not parse is as good as forged.
pub(super) fn read(received: &mut [u8], id: u16, question: &[u8], case: Case) -> Option<Content> {
    let message = Message::new(received)?;
    let flags = message.flags();
    let end = message.question_end()?;
    let echoed = received.get(HEADER..end)?;
    let fits = message.id() == id
        && flags.has(Flags::QR)
        && flags.0 & Flags::OPCODE == 0
        && echoed.eq_ignore_ascii_case(question);
    if !fits {
        return None;
    }
    if case != Case::PLAIN {
        let name = question.len().checked_sub(4)?;
        let mut asked = question.iter().take(name).enumerate().map(|(at, byte)| case.of(at, *byte));
        if !echoed.iter().take(name).all(|byte| asked.next() == Some(*byte)) {
            return Some(Content::Folded);
        }
    }
    if flags.has(Flags::TC) {
        return Some(Content::Truncated);
    }
    if case != Case::PLAIN {
        // As it was asked before its letters were mixed.
        received.get_mut(HEADER..end)?.copy_from_slice(question);
        unmix(received);
    }
    strip(received)
}

/// Leaves in `received` the answer to `question`, which was asked in small letters where nothing is cut off. False when it is none.
pub(super) fn take(received: &mut Vec<u8>, id: u16, question: &[u8]) -> bool {
    match read(received, id, question, Case::PLAIN) {
        Some(Content::Whole(length)) => {
            received.truncate(length);
            true
        }
        Some(Content::Anew(message)) => {
            *received = message;
            true
        }
        _ => false,
    }
}

/// What is kept of `received` as the answer to `question` (QNAME in small letters, QTYPE, QCLASS) that was asked under `id`, with capitals
/// where `letters` has a bit. `None` where it is none, or the server is to be asked again.
pub fn kept_of<'r>(received: &'r mut [u8], id: u16, question: &[u8], letters: u64) -> Option<Cow<'r, [u8]>> {
    match read(received, id, question, Case::of_bits(letters)) {
        Some(Content::Whole(length)) => received.get(..length).map(Cow::Borrowed),
        Some(Content::Anew(message)) => Some(Cow::Owned(message)),
        _ => None,
    }
}

/// Makes the letters small that a server took over from the question: those of owners that are written out, and of aliases that it made of
/// a DNAME record (RFC 6672 section 3.1).
fn unmix(bytes: &mut [u8]) {
    const POINTER: u8 = 0xC0;
    let Some(message) = Message::new(bytes) else { return };
    let is_made = |record: &Record| record.record_type == RecordType::CNAME;
    let has_dname = || message.records().any(|record| record.record_type == RecordType::DNAME);
    let aliases =
        message.records().filter(|record| is_made(record) && has_dname()).map(|record| record.rdata.start);
    let owners = message.records().map(|record| record.owner);
    // Nearly always none: an owner is a pointer to the question.
    let is_written =
        |at: &usize| message.bytes().get(*at).is_some_and(|first| *first < POINTER && *first > 0);
    let names: Vec<usize> = owners.chain(aliases).filter(is_written).collect();
    for mut at in names {
        while let Some(length) = bytes.get(at).copied().filter(|length| *length < POINTER && *length > 0) {
            let label = at + 1..at + 1 + usize::from(length);
            at = label.end;
            let Some(label) = bytes.get_mut(label) else { break };
            label.make_ascii_lowercase();
        }
    }
}

/// Leaves what belongs to the question, without the OPT record, which speaks of this hop only (RFC 6891 6.2.2), and without the id.
/// `None` when the records do not parse.
fn strip(bytes: &mut [u8]) -> Option<Content> {
    if bytes.len() > MAX_MESSAGE {
        return None;
    }
    bytes.get_mut(..2)?.fill(0);
    Some(match scrub(bytes)? {
        Scrubbed::Anew(message) => Content::Anew(message),
        Scrubbed::Begin(length) => Content::Whole(length),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Section;

    const QUESTION: &[u8] = b"\x01a\x07example\0\0\x01\0\x01";

    fn answer(id: u16, flags: u16) -> Vec<u8> {
        let mut out = id.to_be_bytes().to_vec();
        out.extend(flags.to_be_bytes());
        out.extend([0, 1, 0, 2, 0, 0, 0, 2]);
        out.extend(QUESTION);
        out.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x01");
        out.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x03");
        out.extend(b"\0\0\x29\x04\xD0\0\0\0\0\0\x04\0\x0A\0\0");
        out.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x02");
        out
    }

    #[test]
    fn what_stands_beside_the_answer_is_taken_out() {
        let mut bytes = answer(9, 0x8180);
        let length = bytes.len() - 15 - 16;
        assert_eq!(read(&mut bytes, 9, QUESTION, Case::PLAIN), Some(Content::Whole(length)));
        let message = Message::new(&bytes[..length]).unwrap();
        let records: Vec<_> = message.records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(bytes[records[1].rdata.clone()], [192, 0, 2, 3]);
        assert_eq!(message.record_count(Section::Additional), 0);
        assert_eq!(message.id(), 0);
    }

    #[test]
    fn what_does_not_answer_the_question_is_not_accepted() {
        assert!(read(&mut answer(9, 0x8180), 8, QUESTION, Case::PLAIN).is_none(), "another id");
        assert!(read(&mut answer(9, 0x0180), 9, QUESTION, Case::PLAIN).is_none(), "a query");
        assert!(
            read(&mut answer(9, 0x8180), 9, b"\x01b\x07example\0\0\x01\0\x01", Case::PLAIN).is_none(),
            "another question"
        );
        assert_eq!(read(&mut answer(9, 0x8380), 9, QUESTION, Case::PLAIN), Some(Content::Truncated));
        let whole = answer(9, 0x8180);
        for cut in 0..whole.len() {
            assert!(read(&mut whole[..cut].to_vec(), 9, QUESTION, Case::PLAIN).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn letters_must_be_as_they_were_asked_and_come_back_small() {
        let case = std::iter::repeat_with(|| Case::mixed().unwrap())
            .find(|case| case.of(1, b'a') == b'A' && case.of(3, b'e') == b'e')
            .unwrap();
        let mut mixed = answer(9, 0x8180);
        for (at, byte) in QUESTION[..QUESTION.len() - 4].iter().enumerate() {
            mixed[HEADER + at] = case.of(at, *byte);
        }
        let length = mixed.len() - 15 - 16;
        assert_eq!(read(&mut answer(9, 0x8180), 9, QUESTION, case), Some(Content::Folded));
        assert_eq!(read(&mut mixed.clone(), 9, QUESTION, Case::PLAIN), Some(Content::Whole(length)));
        assert_eq!(read(&mut mixed, 9, QUESTION, case), Some(Content::Whole(length)));
        assert_eq!(&mixed[HEADER..HEADER + QUESTION.len()], QUESTION);
    }
}
