//! Owns a line in this product's own form, written at once and without anything in between: where every query is logged, this is most of what the log
//! costs. Never says more or less than a reader of the reply, [`Answered`], is told.

use std::fmt::{self, Write as _};

use super::answered::{Answered, MOST_TEXT};
use super::draft::{Draft, Text};
use super::line::Event;
use crate::dns::{self, CanonicalName, Class, Flags, HEADER, Message, RecordType, Records, Section};
use crate::telemetry::reply::Reply;

/// Puts a line into the draft, without its end.
pub(super) fn put(event: Event<'_>, draft: &mut Draft<'_>) {
    let Event { record, time, shown, decided, described, .. } = event;
    draft.put_fixed(b"{\"time\":\"");
    draft.put(time.as_bytes());
    draft.put_fixed(b"\",\"client\":");
    match shown.client {
        Some(client) => word(client, draft),
        None => draft.put_fixed(b"null"),
    }
    if let Some(identity) = shown.identity {
        draft.put_fixed(b",\"identity\":");
        string(identity, draft);
    }
    draft.put_fixed(b",\"transport\":\"");
    draft.put(record.transport.as_bytes());
    draft.put_fixed(b"\",\"name\":\"");
    let begin = draft.length();
    draft.put_name(record.name);
    let letters = draft.length() - begin;
    draft.put_fixed(b"\",\"type\":\"");
    put_mnemonic(record.record_type.mnemonic(), &record.record_type, draft);
    draft.put_fixed(b"\",");
    draft.put(decided);
    for (key, word) in
        [(&b",\"rule\":"[..], &*described.words.rule), (b",\"listed\":", &described.words.listed)]
    {
        if !word.is_empty() {
            draft.put(key);
            string(word, draft);
        }
    }
    if let Some(reply) = record.reply {
        put_reply(event, reply, letters, draft);
    }
    draft.put_fixed(b"}");
}

/// `letters` is how many the question's name has.
fn put_reply(event: Event<'_>, reply: Reply<'_>, letters: usize, draft: &mut Draft<'_>) {
    let Event { record, upstream, tells_answers, .. } = event;
    let Some(message) = Message::new(reply.bytes()) else { return };
    // Before what stands behind them in the message, so that each record is looked at once.
    let mut records = message.records();
    if tells_answers {
        put_answers(message, &mut records, record.name, letters, draft);
    }
    draft.put_fixed(b",\"rcode\":\"");
    let (rcode, extended_error) = message.rcode_and_error(records);
    put_mnemonic(rcode.mnemonic(), &rcode, draft);
    draft.put_fixed(b"\",\"answered_from\":\"");
    draft.put(reply.origin().as_str().as_bytes());
    if let Some(upstream) = upstream {
        draft.put_fixed(b"\",\"upstream\":\"");
        // Writing to memory does not fail.
        _ = Text(draft).write_str(upstream).is_ok();
    }
    if message.flags().0 & Answered::FLAGS == Flags::RD | Flags::RA {
        // As of nearly every reply.
        draft.put_fixed(b"\",\"flags\":[\"RD\",\"RA\"]");
    } else {
        draft.put_fixed(b"\",\"flags\":[");
        let begin = draft.length();
        for flag in Answered::flags_of(message.flags()) {
            comma(begin, draft);
            word(flag, draft);
        }
        draft.put_fixed(b"]");
    }
    if let Some(code) = extended_error {
        draft.put_fixed(b",\"extended_error\":");
        draft.put_decimal(code.into());
    }
    if let Some(took) = record.took_us {
        draft.put_fixed(b",\"took_us\":");
        draft.put_decimal(took.get());
    }
}

fn put_answers(
    message: Message<'_>,
    records: &mut Records<'_>,
    asked: &CanonicalName,
    asked_letters: usize,
    draft: &mut Draft<'_>,
) {
    /// A pointer to the question's name.
    const QNAME: [u8; 2] = [0xC0, HEADER as u8];
    let echoed = message.bytes().get(HEADER..HEADER + asked.as_wire().len());
    let is_echoed = echoed.is_some_and(|echoed| echoed.eq_ignore_ascii_case(asked.as_wire()));
    draft.put_fixed(b",\"answers\":[");
    let (begin, mut told, mut room) = (draft.length(), 0, MOST_TEXT);
    while let Some(record) = records.next_answer() {
        let before = draft.length();
        comma(begin, draft);
        // What the question said is not said again: of a usual line that is a seventh.
        let mut letters = asked_letters;
        draft.put_fixed(b"{\"");
        // Nearly every owner is a pointer there, and need not be read.
        if !is_echoed || message.bytes().get(record.owner..record.owner + 2) != Some(&QNAME) {
            let Some(owner) = message.name_at(record.owner) else {
                draft.cut(before);
                break;
            };
            if owner.as_wire() != asked.as_wire() {
                draft.put_fixed(b"name\":\"");
                let text = draft.length();
                draft.put_name(&owner);
                letters = draft.length() - text;
                draft.put_fixed(b"\",\"");
            }
        }
        draft.put_fixed(b"type\":\"");
        match (record.record_type, record.class) {
            // As of nearly every answer.
            (RecordType::A, Class::IN) => draft.put_fixed(b"A\",\"ttl\":"),
            (RecordType::AAAA, Class::IN) => draft.put_fixed(b"AAAA\",\"ttl\":"),
            (record_type, class) => {
                put_mnemonic(record_type.mnemonic(), &record_type, draft);
                if class != Class::IN {
                    draft.put_fixed(b"\",\"class\":\"");
                    put_mnemonic(class.mnemonic(), &class, draft);
                }
                draft.put_fixed(b"\",\"ttl\":");
            }
        }
        draft.put_decimal(record.ttl);
        draft.put_fixed(b",\"data\":\"");
        let text = draft.length();
        put_rdata(message, &record, draft);
        letters += draft.length() - text;
        draft.put_fixed(b"\"}");
        let Some(left) = room.checked_sub(letters) else {
            draft.cut(before);
            break;
        };
        room = left;
        told += 1;
    }
    draft.put_fixed(b"]");
    if told < message.record_count(Section::Answer) {
        draft.put_fixed(b",\"answers_cut\":true");
    }
}

fn string(text: &str, draft: &mut Draft<'_>) {
    draft.put_fixed(b"\"");
    // Writing to memory does not fail.
    let _written = Text(draft).write_str(text).is_ok();
    draft.put_fixed(b"\"");
}

/// The same of what needs no escaping.
fn word(text: &str, draft: &mut Draft<'_>) {
    draft.put_fixed(b"\"");
    draft.put(text.as_bytes());
    draft.put_fixed(b"\"");
}

/// The inside of a string that is a name of the protocol's own, or what stands for a number without.
fn put_mnemonic(known: Option<&'static str>, shown: &impl fmt::Display, draft: &mut Draft<'_>) {
    match known {
        Some(text) => draft.put(text.as_bytes()),
        None => _ = write!(Text(draft), "{shown}").is_ok(),
    }
}

/// The inside of a string.
fn put_rdata(message: Message<'_>, record: &dns::Record, draft: &mut Draft<'_>) {
    if let Some(address) = message.rdata_address(record) {
        draft.put_address(address);
    } else if let Some(name) = message.rdata_name(record) {
        draft.put_name(&name);
    } else {
        _ = message.write_rdata(record, &mut Text(draft)).is_ok();
    }
}

/// A comma, unless nothing stands behind `begin`.
fn comma(begin: usize, draft: &mut Draft<'_>) {
    if draft.length() > begin {
        draft.put_fixed(b",");
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::super::answered::Said;
    use super::super::draft::drafted;
    use super::super::line::{self, Described, Shown};
    use super::*;
    use crate::policy::Description;
    use crate::telemetry::record::Record;
    use crate::telemetry::{Decision, Origin};

    fn record<'r>(name: &'r CanonicalName, reply: Option<&'r [u8]>) -> Record<'r> {
        let origins = [Origin::Cache, Origin::Upstream(None), Origin::Upstream(Some(7))];
        Record {
            name,
            record_type: RecordType(65_280),
            decision: Decision::Allowed,
            took_us: reply.and_then(|bytes| NonZero::new(bytes.len() as u32 % 3)),
            reply: reply.map(|bytes| Reply::new(bytes, origins[bytes.len() % 3])),
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
        let upstream =
            record.reply.and_then(Reply::upstream).map(|_| "https://192.0.2.1:443/\"a\"#b.example");
        let time = "2023-10-30T04:00:00.123Z";
        let event = Event {
            record,
            time,
            described: &described,
            decided: &decided,
            shown,
            said: &said,
            upstream,
            tells_answers,
        };
        let mut line = Vec::new();
        let end = drafted(&mut line, 0, |draft| put(event, draft));
        line.truncate(end);
        let value: Value = serde_json::from_slice(&line).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&line));
        });
        let words = &described.words;
        let mut expected = json!({
            "time": time, "client": shown.client, "transport": "udp",
            "name": record.name.to_string(), "type": record.record_type.to_string(),
            "rule": words.rule, "listed": words.listed,
        });
        let mut put =
            |name: &str, value: Value| expected.as_object_mut().unwrap().insert(name.to_owned(), value);
        let decided = [&b"{"[..], &decided, b"}"].concat();
        for (name, value) in serde_json::from_slice::<Map<String, Value>>(&decided).unwrap() {
            put(&name, value);
        }
        if let Some(identity) = shown.identity {
            put("identity", json!(identity));
        }
        if let Some(answered) = said.answered() {
            put("rcode", json!(answered.rcode.to_string()));
            put("answered_from", json!(answered.origin.as_str()));
            if let Some(upstream) = upstream {
                put("upstream", json!(upstream));
            }
            put("flags", json!(answered.flags()));
            if let Some(code) = answered.extended_error {
                put("extended_error", json!(code));
            }
            if tells_answers {
                let (asked, mut answers) = (json!(record.name.to_string()), json!(answered.answers));
                for answer in answers.as_array_mut().unwrap() {
                    let answer = answer.as_object_mut().unwrap();
                    answer.retain(|key, value| {
                        let is_known =
                            (key == "name" && *value == asked) || (key == "class" && *value == "IN");
                        !is_known
                    });
                }
                put("answers", answers);
            }
            if let Some(took) = record.took_us {
                put("took_us", json!(took));
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
        assert!(value["answers"][0].get("name").is_none() && value["answers"][0].get("class").is_none());
        assert_eq!(value["answers"][1]["data"], "192.0.2.255");
        assert_eq!(value["answers"][2]["name"], "z");
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
