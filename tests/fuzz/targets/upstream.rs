//! An upstream's bytes as the answer to a question: what is kept of them answers it, has neither id nor additional records, and its name in small
//! letters, however it was asked.
#![no_main]

use interdict::dns::{Flags, MAX_MESSAGE, Message, Section};
use interdict::resolve::kept_of;
use libfuzzer_sys::fuzz_target;

const QUESTION: &[u8] = b"\x03www\x07example\0\0\x01\0\x01";

fuzz_target!(|data: &[u8]| {
    let Some((letters, rest)) = data.split_first_chunk::<8>() else { return };
    let letters = u64::from_le_bytes(*letters);
    // The right beginning, with the letters as they were asked, and the fuzzer's records behind it.
    let mut answer = b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\0".to_vec();
    answer.extend(QUESTION);
    for (at, byte) in answer[12..12 + QUESTION.len() - 4].iter_mut().enumerate() {
        if letters >> (at % 64) & 1 == 1 {
            byte.make_ascii_uppercase();
        }
    }
    if let Some((counts, records)) = rest.split_first_chunk::<3>() {
        (answer[7], answer[9], answer[11]) = (counts[0] % 8, counts[1] % 4, counts[2] % 4);
        answer.extend(records);
    }
    for (letters, mut bytes) in [(0, rest.to_vec()), (letters, rest.to_vec()), (letters, answer)] {
        let Some(kept) = kept_of(&mut bytes, 0x1234, QUESTION, letters) else { continue };
        assert!(kept.len() <= MAX_MESSAGE);
        let message = Message::new(&kept).expect("what is kept can be read");
        assert!(message.id() == 0 && message.flags().has(Flags::QR) && !message.flags().has(Flags::TC));
        let question = &kept[12..message.question_end().expect("with a question")];
        assert!(question.eq_ignore_ascii_case(QUESTION) && (letters == 0 || question == QUESTION));
        let mut records = message.records();
        assert!(records.by_ref().all(|record| record.section != Section::Additional) && !records.is_broken());
        // What is scrubbed once stays as it is.
        let mut again = kept.to_vec();
        again[..2].copy_from_slice(&[0x12, 0x34]);
        assert_eq!(kept_of(&mut again, 0x1234, QUESTION, 0).as_deref(), Some(&*kept));
    }
});
