//! An upstream's bytes: walked, kept as an answer, and written for a client.
#![no_main]

use interdict::cache::{Entry, Key, Patch};
use interdict::clock::Moment;
use interdict::dns::{Flags, MAX_MESSAGE, Message, Query, RecordType, without_ech};
use libfuzzer_sys::fuzz_target;

const ASKED: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = Message::new(bytes) {
        let _names = message.records().filter_map(|record| message.name_at(record.owner)).count();
        let _destinations = message.destinations().count();
    }
    let Ok(query) = Query::read(ASKED) else { return };
    let key = Key::new(&query.name, RecordType::A, false, false);
    // The fuzzer's bytes as they are, and as the rest of an answer to our question.
    let mut answer = ASKED.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    if let Some(counts) = bytes.first_chunk::<3>() {
        (answer[7], answer[9], answer[11]) = (counts[0] % 8, counts[1] % 4, counts[2] % 4);
        answer.extend(&bytes[3..]);
    }
    // A record of type HTTPS at the question's name, whatever else there is.
    let mut service = answer.clone();
    service[ASKED.len() - 3] = 65;
    for message in [bytes, &answer, &service] {
        if let Ok(Some(stripped)) = without_ech(message) {
            assert_eq!(without_ech(&stripped), Ok(None));
            assert!(
                stripped.len() <= MAX_MESSAGE && !Message::new(&stripped).unwrap().flags().has(Flags::AD)
            );
        }
    }
    for message in [bytes, &answer] {
        let Some(entry) = Entry::new(&key, message, Moment::START) else { continue };
        let mut buffer = [0; 4096];
        let patch = Patch { now: Moment::START, stale: true };
        if let Some(length) = entry.write(&query, patch, &mut buffer) {
            assert_eq!(&buffer[..2], &ASKED[..2]);
            assert!(Message::new(&buffer[..length]).is_some());
        }
    }
});
