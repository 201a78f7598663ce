//! Owns a line in this product's own form, written at once and without anything in between: where every query is logged, this is most of what the log
//! costs. Never says more or less than a reader of the reply, [`Answered`], is told.

use std::fmt::{self, Write as _};

use super::answered::{Answered, MOST_TEXT};
use super::line::Event;
use crate::dns::{CanonicalName, Flags, HEADER, Message, Section};
use crate::telemetry::record::Record;
use crate::telemetry::reply::Reply;

/// Room taken for a line, in bytes: what one with two answers has.
const LINE: usize = 1024;

/// The inside of a string of JSON (RFC 8259 section 7).
struct Text<'o>(&'o mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        // All of it, and not up to the first: that takes many at a time.
        if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
            self.0.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend([b'\\', byte]),
                0..b' ' => {
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
                    self.0.extend_from_slice(b"\\u00");
                    self.0.extend([digit(byte >> 4), digit(byte & 15)]);
                }
                _ => self.0.push(byte),
            }
        }
        Ok(())
    }
}

/// Appends a line, without its end.
pub(super) fn write(event: Event<'_>, out: &mut Vec<u8>) {
    let Event { record, time, shown, decided, described, .. } = event;
    // Once for all that most lines have.
    out.reserve(LINE);
    out.extend_from_slice(b"{\"time\":");
    word(time, out);
    out.extend_from_slice(b",\"client\":");
    match shown.client {
        Some(client) => word(client, out),
        None => out.extend_from_slice(b"null"),
    }
    if let Some(identity) = shown.identity {
        out.extend_from_slice(b",\"identity\":");
        string(identity, out);
    }
    out.extend_from_slice(b",\"transport\":");
    word(record.transport, out);
    out.extend_from_slice(b",\"name\":\"");
    let begin = out.len();
    write_name(record.name, out);
    let name = begin..out.len();
    out.extend_from_slice(b"\",\"type\":");
    mnemonic(record.record_type.mnemonic(), &record.record_type, out);
    // An object of its own: its brace in front becomes the comma behind what is there, and its brace at the end goes.
    if let [b'{', decided @ .., b'}'] = decided {
        out.push(b',');
        out.extend_from_slice(decided);
    }
    for (key, word) in
        [(&b",\"rule\":"[..], &*described.words.rule), (b",\"listed\":", &described.words.listed)]
    {
        if !word.is_empty() {
            out.extend_from_slice(key);
            string(word, out);
        }
    }
    if let Some(reply) = record.reply {
        write_reply(record, reply, name, event.tells_answers, out);
    }
    out.push(b'}');
}

/// `name` is where the question's name stands in `out`, in words.
fn write_reply(
    record: &Record<'_>,
    reply: Reply<'_>,
    name: std::ops::Range<usize>,
    tells_answers: bool,
    out: &mut Vec<u8>,
) {
    let Some(message) = Message::new(reply.bytes()) else { return };
    out.extend_from_slice(b",\"rcode\":");
    let (rcode, extended_error) = message.rcode_and_error();
    mnemonic(rcode.mnemonic(), &rcode, out);
    out.extend_from_slice(b",\"answered_from\":");
    word(reply.origin().as_str(), out);
    out.extend_from_slice(b",\"flags\":[");
    let begin = out.len();
    if message.flags().0 & Answered::FLAGS == Flags::RD | Flags::RA {
        // As of nearly every reply.
        out.extend_from_slice(b"\"RD\",\"RA\"");
    } else {
        for flag in Answered::flags_of(message.flags()) {
            comma(begin, out);
            word(flag, out);
        }
    }
    out.push(b']');
    if let Some(code) = extended_error {
        out.extend_from_slice(b",\"extended_error\":");
        decimal(code.into(), out);
    }
    if record.took_us > 0 {
        out.extend_from_slice(b",\"took_us\":");
        decimal(record.took_us, out);
    }
    if tells_answers {
        write_answers(message, record.name, name, out);
    }
}

fn write_answers(
    message: Message<'_>,
    asked: &CanonicalName,
    name: std::ops::Range<usize>,
    out: &mut Vec<u8>,
) {
    /// A pointer to the question's name.
    const QNAME: [u8; 2] = [0xC0, HEADER as u8];
    let echoed = message.bytes().get(HEADER..HEADER + asked.as_wire().len());
    let is_echoed = echoed.is_some_and(|echoed| echoed.eq_ignore_ascii_case(asked.as_wire()));
    out.extend_from_slice(b",\"answers\":[");
    let (begin, mut told, mut room) = (out.len(), 0, MOST_TEXT);
    for record in message.records().take_while(|record| record.section == Section::Answer) {
        let before = out.len();
        comma(begin, out);
        out.extend_from_slice(b"{\"name\":\"");
        let text = out.len();
        if is_echoed && message.bytes().get(record.owner..record.owner + 2) == Some(&QNAME) {
            out.extend_from_within(name.clone());
        } else if let Some(owner) = message.name_at(record.owner) {
            write_name(&owner, out);
        } else {
            out.truncate(before);
            break;
        }
        let mut letters = out.len() - text;
        out.extend_from_slice(b"\",\"type\":");
        mnemonic(record.record_type.mnemonic(), &record.record_type, out);
        out.extend_from_slice(b",\"class\":");
        mnemonic(record.class.mnemonic(), &record.class, out);
        out.extend_from_slice(b",\"ttl\":");
        decimal(record.ttl, out);
        out.extend_from_slice(b",\"data\":\"");
        let text = out.len();
        match message.rdata_name(&record) {
            Some(name) => write_name(&name, out),
            None => _ = message.write_rdata(&record, &mut Text(out)).is_ok(),
        }
        letters += out.len() - text;
        out.extend_from_slice(b"\"}");
        let Some(left) = room.checked_sub(letters) else {
            out.truncate(before);
            break;
        };
        room = left;
        told += 1;
    }
    out.push(b']');
    if told < message.record_count(Section::Answer) {
        out.extend_from_slice(b",\"answers_cut\":true");
    }
}

/// The inside of a string.
fn write_name(name: &CanonicalName, out: &mut Vec<u8>) {
    if !name.append_plain(out) {
        let _written = name.write_text(&mut Text(out)).is_ok();
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Writing to memory does not fail.
    let _written = Text(out).write_str(text).is_ok();
    out.push(b'"');
}

/// The same of what needs no escaping.
fn word(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// A name of the protocol's own, or what stands for a number without.
fn mnemonic(known: Option<&'static str>, shown: &impl fmt::Display, out: &mut Vec<u8>) {
    match known {
        Some(text) => word(text, out),
        None => displayed(shown, out),
    }
}

fn displayed(shown: &impl fmt::Display, out: &mut Vec<u8>) {
    out.push(b'"');
    let _written = write!(Text(out), "{shown}").is_ok();
    out.push(b'"');
}

/// A comma, unless nothing stands behind `begin`.
fn comma(begin: usize, out: &mut Vec<u8>) {
    if out.len() > begin {
        out.push(b',');
    }
}

fn decimal(number: u32, out: &mut Vec<u8>) {
    let _written = serde_json::to_writer(out, &number).is_ok();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::super::answered::Said;
    use super::super::line::{self, Described, Shown};
    use super::*;
    use crate::dns::{CanonicalName, RecordType};
    use crate::policy::Description;
    use crate::telemetry::{Decision, Origin};

    fn record<'r>(name: &'r CanonicalName, reply: Option<&'r [u8]>) -> Record<'r> {
        Record {
            name,
            record_type: RecordType(65_280),
            decision: Decision::Allowed,
            took_us: reply.map_or(0, |bytes| bytes.len() as u32 % 3),
            reply: reply.map(|bytes| Reply::new(bytes, Origin::Cache)),
            ..Record::example()
        }
    }

    fn name(wire: &[u8]) -> CanonicalName {
        CanonicalName::read(wire).unwrap()
    }

    /// The line of a record, which must say what other readers of it are told.
    fn said(record: &Record<'_>, shown: Shown<'_>, tells_answers: bool) -> Value {
        let words = Description {
            listed: "*.\"a\".com".to_owned(),
            rule: "list:7".to_owned(),
            ..Description::default()
        };
        let described = Described { words, group: "a \"group\"\u{1}".to_owned(), identity: None };
        let decided = line::decided(record, &described);
        let said = Said::of(record.reply);
        let time = "2023-10-30T04:00:00.123Z";
        let event = Event {
            record,
            time,
            described: &described,
            decided: &decided,
            shown,
            said: &said,
            tells_answers,
        };
        let mut out = Vec::new();
        write(event, &mut out);
        let value: Value = serde_json::from_slice(&out).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&out));
        });
        let words = &described.words;
        let mut expected = json!({
            "time": time, "client": shown.client, "transport": "udp",
            "name": record.name.to_string(), "type": record.record_type.to_string(),
            "rule": words.rule, "listed": words.listed,
        });
        let mut put =
            |name: &str, value: Value| expected.as_object_mut().unwrap().insert(name.to_owned(), value);
        for (name, value) in serde_json::from_slice::<Map<String, Value>>(&decided).unwrap() {
            put(&name, value);
        }
        if let Some(identity) = shown.identity {
            put("identity", json!(identity));
        }
        if let Some(answered) = said.answered() {
            put("rcode", json!(answered.rcode.to_string()));
            put("answered_from", json!("cache"));
            put("flags", json!(answered.flags()));
            if let Some(code) = answered.extended_error {
                put("extended_error", json!(code));
            }
            if tells_answers {
                put("answers", json!(answered.answers));
            }
            if record.took_us > 0 {
                put("took_us", json!(record.took_us));
            }
            if tells_answers && answered.is_cut {
                put("answers_cut", json!(true));
            }
        }
        assert_eq!(value, expected);
        value
    }

    /// A reply to `name` with these records behind its question.
    fn reply(name: &[u8], answers: &[&[u8]]) -> Vec<u8> {
        let head = [0, 1, 0x81, 0xA3, 0, 1, 0, answers.len() as u8, 0, 0, 0, 0];
        [&head[..], name, &[0, 1, 0, 1], &answers.concat()].concat()
    }

    const NAME: &[u8] = b"\x06WeChat\x03com\0";
    const ADDRESS: &[u8] = b"\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\xFF";
    const ALIAS: &[u8] = b"\xC0\x0C\0\x05\0\x01\0\0\0\0\0\x08\x05q\"\\.z\xC0\x13";
    const OTHER: &[u8] =
        b"\x01z\0\0\x1C\0\x03\xFF\xFF\xFF\xFF\0\x10\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01";
    const TEXT: &[u8] = b"\xC0\x0C\0\x10\0\x01\0\0\0\x09\0\x05\x04\"\\\0\xFF";

    #[test]
    fn a_line_says_what_was_asked_and_answered() {
        let (name, reply) = (name(NAME), reply(NAME, &[ALIAS, ADDRESS, OTHER, TEXT]));
        let record = record(&name, Some(&reply));
        let shown = Shown { client: Some("10.20.0.7"), identity: Some("user:o\"r"), is_address: true };
        let value = said(&record, shown, true);
        assert_eq!(value["name"], "wechat.com");
        assert_eq!(value["identity"], "user:o\"r");
        assert_eq!(value["answers"][0]["data"], r#"q\"\\\.z.com"#);
        assert_eq!(value["answers"][1]["data"], "192.0.2.255");
        assert_eq!(value["answers"][1]["ttl"], 300);
        assert_eq!(value["answers"][2]["class"], "CH");
        assert_eq!(value["answers"][2]["ttl"], u32::MAX);
        assert_eq!(value["answers"][3]["data"], r#""\"\\\000\255""#);
        assert_eq!(value["rcode"], "NXDOMAIN");
        assert!(said(&record, Shown::default(), false).get("answers").is_none());
    }

    #[test]
    fn of_more_answers_than_a_line_has_room_for_the_first_are_told() {
        let long = [&[63][..], &[b'a'; 63], &[0]].concat();
        let addresses = [ADDRESS; 40];
        for wire in [NAME, b"\x01.\0", &*long] {
            let value = said(&record(&name(wire), Some(&reply(wire, &addresses))), Shown::default(), true);
            assert_eq!(value["answers_cut"], true);
        }
    }

    proptest! {
        #[test]
        fn a_line_of_whatever_bytes_says_what_others_are_told(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            at in 0..120_usize,
            by in any::<u8>(),
            tells_answers in any::<bool>(),
        ) {
            let asked = name(NAME);
            said(&record(&asked, Some(&bytes)), Shown::default(), tells_answers);
            let mut changed = reply(NAME, &[ALIAS, ADDRESS, OTHER, TEXT, ADDRESS]);
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= by;
            }
            said(&record(&asked, Some(&changed)), Shown::default(), tells_answers);
            said(&record(&name(&[&[3][..], &[by; 3], &[0]].concat()), None), Shown::default(), tells_answers);
        }
    }
}
