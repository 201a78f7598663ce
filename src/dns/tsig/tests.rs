//! Requests as dig signs them, and whole conversations with every fault that RFC 8945 names.

use super::*;
use crate::dns::{Name, Rcode};

const SECRET: &[u8] = b"interdict test secret 0123456789";
const NOW: u64 = 0x6b06_2b6b;

/// What `dig -y` of BIND 9.18 sent for `rpz.example SOA`, with the key `xfer.example`, at [`NOW`].
const DIG: [(Algorithm, &str); 3] = [
    (
        Algorithm::HmacSha256,
        "d22d012000010000000000010372707a076578616d706c6500000600010478666572076578616d706c650000fa00ff00000000003d0b68\
         6d61632d7368613235360000006b062b6b012c00200ab48c80c79b7a11eca0ba8b69c996560220cf6dc2eb06468b55a05bcceca8d4d22d\
         00000000",
    ),
    (
        Algorithm::HmacSha384,
        "60c1012000010000000000010372707a076578616d706c6500000600010478666572076578616d706c650000fa00ff00000000004d0b68\
         6d61632d7368613338340000006b062b6b012c00300a56303eb901e89a8a64384a7abad2e923cfee4b156d80612d0dd9d1a7af77f501da\
         b50befd8d87ec6f235b79672b34760c100000000",
    ),
    (
        Algorithm::HmacSha512,
        "9845012000010000000000010372707a076578616d706c6500000600010478666572076578616d706c650000fa00ff00000000005d0b68\
         6d61632d7368613531320000006b062b6b012c0040953ee1407497b141e2408d41ea66e857a1b83cc4583b83f947689ec198f12ab35852\
         b46b7d8f82f8093bef56343caaf5924eea59eb4bbf2da5857cda9cafb539984500000000",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2).unwrap(), 16).unwrap())
        .collect()
}

fn key_of(algorithm: Algorithm) -> Key {
    Key::new("xfer.example".parse().unwrap(), algorithm, SECRET)
}

fn key() -> Key {
    key_of(Algorithm::HmacSha256)
}

fn verified(message: &[u8], key: &Key, now: u64) -> Result<Option<Verified>, Rejected> {
    verify_request(message, |name| (name == key.name()).then(|| key.clone()), now)
}

/// A question for `rpz.example SOA`, or a response to it, with that id.
fn message(id: u16, flags: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend(flags.to_be_bytes());
    out.extend(b"\0\x01\0\0\0\0\0\0\x03rpz\x07example\0\0\x06\0\x01");
    out
}

#[test]
fn what_dig_signs_is_verified_and_signed_to_the_same_bytes() {
    for (algorithm, hex) in DIG {
        let (theirs, key) = (bytes(hex), key_of(algorithm));
        let request = verified(&theirs, &key, NOW).unwrap().unwrap();
        let mut ours = theirs[..request.length].to_vec();
        assert_eq!(ours.len(), 29);
        ours[11] = 0;
        drop(sign_request(&mut ours, &key, NOW));
        assert_eq!(ours, theirs, "{algorithm}");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let theirs = bytes(DIG[0].1);
    for at in 0..theirs.len() {
        for bit in 0..8 {
            let mut changed = theirs.clone();
            changed[at] ^= 1 << bit;
            // The id on the way may be another; names are the same in upper case.
            let harmless = at < 2 || changed[at].eq_ignore_ascii_case(&theirs[at]);
            let passes = matches!(verified(&changed, &key(), NOW), Ok(Some(_)));
            let in_question = (12..24).contains(&at);
            assert!(!passes || harmless && !in_question, "byte {at}, bit {bit}");
        }
    }
    for end in 0..theirs.len() {
        assert!(!matches!(verified(&theirs[..end], &key(), NOW), Ok(Some(_))), "cut at {end}");
    }
}

#[test]
fn faults_of_a_request_are_told_apart_and_answered_as_the_standard_says() {
    let theirs = bytes(DIG[0].1);
    let fault = |message: &[u8], key: &Key, now| verified(message, key, now).unwrap_err().fault;
    let other_secret = Key::new(key().name().clone(), Algorithm::HmacSha256, b"another");
    let other_name = Key::new(Name::root(), Algorithm::HmacSha256, SECRET);
    assert_eq!(fault(&theirs, &other_secret, NOW), Fault::BadSignature);
    assert_eq!(fault(&theirs, &other_name, NOW), Fault::BadKey);
    assert_eq!(fault(&theirs, &key_of(Algorithm::HmacSha512), NOW), Fault::BadKey);
    assert!(verified(&theirs, &key(), NOW + 300).is_ok() && verified(&theirs, &key(), NOW - 300).is_ok());
    assert_eq!(fault(&theirs, &key(), NOW + 301), Fault::BadTime);
    assert_eq!(fault(&theirs, &key(), NOW - 301), Fault::BadTime);
    assert_eq!(fault(&theirs, &other_secret, NOW + 999), Fault::BadSignature, "the secret first");
    assert!(verified(&message(1, 0), &key(), NOW).unwrap().is_none(), "unsigned");

    // The client learns of each by its own verifier.
    for (key, now, code) in [
        (&other_secret, NOW, Fault::BadSignature),
        (&other_name, NOW, Fault::BadKey),
        (&key(), NOW + 999, Fault::BadTime),
    ] {
        let mut request = message(7, 0);
        let mut verifier = sign_request(&mut request, &self::key(), NOW);
        let rejected = verified(&request, key, now).unwrap_err();
        assert_eq!(rejected.rcode(), Rcode::NOTAUTH);
        let mut response = message(7, 0x8000 | 9);
        rejected.sign(&mut response, now);
        assert_eq!(verifier.verify(&response, NOW), Err(Fault::Peer(code.code())));
    }
}

#[test]
fn a_cut_signature_is_refused_though_its_bytes_are_right() {
    let theirs = bytes(DIG[0].1);
    // MAC size and MAC stand 48 bytes before the end, RDLENGTH in front of the algorithm's name.
    let (length_at, size_at) = (theirs.len() - 61 - 2, theirs.len() - 6 - 32 - 2);
    for (keep, expected) in [
        (31, Fault::BadTruncation),
        (16, Fault::BadTruncation),
        (15, Fault::Malformed),
        (0, Fault::Malformed),
    ] {
        let mut cut = theirs.clone();
        cut.drain(size_at + 2 + keep..size_at + 2 + 32);
        cut[size_at + 1] = keep as u8;
        cut[length_at + 1] -= 32 - keep as u8;
        assert_eq!(verified(&cut, &key(), NOW).unwrap_err().fault, expected, "{keep}");
    }
}

#[test]
fn a_stream_is_verified_message_by_message_and_in_order() {
    let mut request = message(7, 0);
    let mut verifier = sign_request(&mut request, &key(), NOW);
    let mut signer = verified(&request, &key(), NOW).unwrap().unwrap().stream();
    let stream: Vec<Vec<u8>> = (0..4)
        .map(|number| {
            let (mut out, before) = (message(7, 0x8400 + number), 29);
            signer.sign(&mut out, NOW + 1);
            assert_eq!(out.len(), before + signer.room());
            out
        })
        .collect();
    for message in &stream {
        assert_eq!(verifier.verify(message, NOW + 2), Ok(29));
    }
    assert_eq!(verifier.finish(), Ok(()));
    for order in [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 1, 3]] {
        let mut again = message(7, 0);
        let mut verifier = sign_request(&mut again, &key(), NOW);
        let wrong = order.iter().any(|at| verifier.verify(&stream[*at], NOW) == Err(Fault::BadSignature));
        assert!(wrong, "{order:?}");
    }
}

#[test]
fn messages_between_signed_ones_may_be_unsigned_but_not_the_first_the_last_or_a_hundred() {
    // A server that signs the first message and each one in so many.
    let conversation = |count: usize, each: usize| -> Result<(), Fault> {
        let mut request = message(7, 0);
        let mut verifier = sign_request(&mut request, &key(), NOW);
        let verified = verified(&request, &key(), NOW).unwrap().unwrap();
        let mut mac = key().mac();
        mac.update_prior(&verified.mac);
        for number in 0..count {
            let mut out = message(7, 0x8400);
            mac.update(&out);
            if number % each == 0 {
                let made = response::seal(&mut out, &key(), mac, number == 0, NOW);
                mac = key().mac();
                mac.update_prior(&made);
            }
            verifier.verify(&out, NOW)?;
        }
        verifier.finish()
    };
    assert_eq!(conversation(1, 1), Ok(()));
    assert_eq!(conversation(7, 3), Ok(()));
    assert_eq!(conversation(201, 100), Ok(()));
    assert_eq!(conversation(6, 3), Err(Fault::Missing), "the last");
    assert_eq!(conversation(102, 101), Err(Fault::Missing), "a hundred in a row");
    let mut request = message(7, 0);
    let mut verifier = sign_request(&mut request, &key(), NOW);
    assert_eq!(verifier.verify(&message(7, 0x8400), NOW), Err(Fault::Missing), "the first");
}

#[test]
fn no_bytes_make_it_panic() {
    let theirs = bytes(DIG[0].1);
    let mut state = 7u64;
    for _ in 0..20_000 {
        let mut changed = theirs.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % changed.len();
            changed[at] = (state >> 24) as u8;
        }
        let _result = verified(&changed, &key(), NOW).is_ok();
        let mut request = message(7, 0);
        let mut verifier = sign_request(&mut request, &key(), NOW);
        assert!(verifier.verify(&changed, NOW).is_err());
    }
}
