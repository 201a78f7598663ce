//! A primary's bytes: messages with their length in front, read as the response to AXFR or IXFR, verified as if signed, and
//! taken as a NOTIFY. What comes of them is a zone file that the list syntax reads to its last line.
#![no_main]

use interdict::dns::Name;
use interdict::dns::tsig::{Algorithm, Key, sign_request, verify_request};
use interdict::formats::{Format, Options, Text, parse};
use interdict::sources::{Received, Soa, TransferReader, TransferRequest};
use libfuzzer_sys::fuzz_target;

const HELD: &str = "$ORIGIN rpz.example.\n@ 60 SOA . . 7 1 1 1 1\n*.a 60 CNAME .\nold 60 CNAME .\n";
const ZONE: &[u8] = b"\x03rpz\x07example\0";
const ID: u16 = 7;
const CAP: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let Ok(zone) = Name::from_wire(ZONE) else { return };
    let second = std::time::Duration::from_secs(1);
    let soa = Soa { serial: 7, refresh: second, retry: second, expire: second };
    let request = TransferRequest { id: ID, zone: &zone, known: (choice & 1 == 1).then_some(&soa) };
    let key = Key::new(zone.clone(), Algorithm::HmacSha256, b"secret");
    let mut signed = request.message();
    let mut verifier = sign_request(&mut signed, &key, 0);
    assert!(verify_request(&signed, |_| Some(key.clone()), 0).is_ok_and(|found| found.is_some()));
    let mut reader = TransferReader::new(request, CAP);
    let (mut rest, mut message) = (rest, Vec::new());
    while let Some((&[high, low], after)) = rest.split_first_chunk::<2>() {
        let (piece, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes([high, low]))));
        rest = after;
        // Nobody guesses a signature.
        let verified = verifier.verify(piece, 0).is_ok_and(|length| length < piece.len());
        assert!(!verified);
        let _other = verify_request(piece, |_| Some(key.clone()), 0).is_ok();
        message.clear();
        // Past id and question, which hide what lies behind; as it is half of the time.
        if choice & 2 == 2 {
            message.extend_from_slice(&ID.to_be_bytes());
            message.extend_from_slice(&[0x84, 0, 0, 1, 0, piece.len() as u8 % 16, 0, 0, 0, 0]);
            message.extend_from_slice(ZONE);
            message.extend_from_slice(&[0, 252 - (choice & 1), 0, 1]);
        }
        message.extend_from_slice(piece);
        match reader.read(&message) {
            Ok(false) => {}
            Ok(true) => break,
            Err(fault) => return assert!(!fault.to_string().is_empty()),
        }
    }
    let text = match reader.finish() {
        None | Some(Received::Unchanged) => return,
        Some(Received::Whole(_, text)) => text,
        Some(Received::Changes(differences)) => {
            match differences.apply(&Text::whole(HELD.as_bytes().to_vec()), &zone) {
                Ok(text) => text,
                Err(_) => return,
            }
        }
    };
    let text = text.bytes();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    assert!(lines[0].starts_with(b"$ORIGIN ") && lines[1].starts_with(b"@ "), "{lines:?}");
    assert!(lines[2..lines.len() - 1].is_sorted_by(|one, other| one < other), "{lines:?}");
    let parsed = parse(Format::Rpz, "zone", &[&*text], &Options::default());
    assert_eq!(parsed.lines as usize, lines.len() - 1);
    assert!(parsed.zone.is_some_and(|zone| zone.serial.is_some()));
});
