//! A client's bytes: read as a question, and answered. Whatever is read is echoed byte for byte and reads back the same.
#![no_main]

use interdict::dns::{CanonicalName, Query, Rcode, ReplyWriter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let Ok(query) = Query::read(packet) else { return };
    let wire = query.name.as_wire();
    assert_eq!(CanonicalName::read(wire).as_ref().map(CanonicalName::as_wire), Some(wire));
    assert!(query.udp_limit(1232) >= 512);
    let mut buffer = [0; 1232];
    if let Ok(mut writer) = ReplyWriter::answer(&mut buffer, &query, Rcode::NXDOMAIN) {
        if let Some(edns) = query.edns {
            let _full = writer.opt(1232, Rcode::NXDOMAIN, edns.dnssec_ok, &[]).is_err();
        }
        let length = writer.finish();
        let reply = &buffer[..length];
        assert_eq!(&reply[..2], &packet[..2]);
        assert_eq!(&reply[12..query.question_end()], &packet[12..query.question_end()]);
    }
});
