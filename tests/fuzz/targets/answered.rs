//! A reply as the query log reads it: whatever stands in it, what is told is bounded, and nothing of it is made up.
#![no_main]

use interdict::dns::Message;
use interdict::telemetry::{Answered, Origin, Reply};
use libfuzzer_sys::fuzz_target;

const ASKED: &[u8] = b"\0\x07\x81\x80\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";
/// As the log bounds it.
const MOST_TEXT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    // The fuzzer's bytes as they are, and as the records of a reply to our question.
    let mut records = ASKED.to_vec();
    if let Some(counts) = bytes.first_chunk::<3>() {
        (records[7], records[9], records[11]) = (counts[0] % 64, counts[1] % 4, counts[2] % 4);
        records.extend(&bytes[3..]);
    }
    for message in [bytes, &records] {
        let reply = Reply::new(message, Origin::Upstream(None));
        assert_eq!(reply.is_cut(), message.len() > Reply::MOST);
        let Some(answered) = Answered::read(reply) else {
            assert!(message.len() < 12);
            continue;
        };
        let text: usize = answered.answers.iter().map(|one| one.name.len() + one.data.len()).sum();
        assert!(text <= MOST_TEXT && answered.addresses.len() <= answered.answers.len());
        let said = u16::from_be_bytes([message[6], message[7]]);
        assert!(answered.answers.len() <= usize::from(said));
        assert_eq!(answered.is_cut, answered.answers.len() < usize::from(said));
        if let Some(message) = Message::new(message) {
            let _texts: usize = message.records().map(|record| message.rdata_text(&record).len()).sum();
        }
    }
});
