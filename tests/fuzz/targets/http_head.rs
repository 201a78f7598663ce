//! The head of a request, of HTTP/1 and of HTTP/2: what is found ends within the bytes, and what the origin gets says the same host again.
#![no_main]

use interdict::proxy::peek::{Look, read_http, read_http2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Look::Found(head) = read_http(data) {
        assert!(head.length <= data.len());
        assert_eq!(read_http(&data[..head.length]), Look::Found(head.clone()));
        assert!(head.login.as_ref().is_none_or(|login| !login.name.is_empty()));
        let sent = head.for_origin(&data[..head.length]);
        if head.form == interdict::proxy::peek::Form::Absolute {
            match read_http(&sent) {
                // One that named its host in the target alone.
                Look::Found(again) => assert!(
                    again.authority.is_none()
                        || again.authority == head.authority
                        || again.authority.map(|a| a.host) == head.authority.map(|a| a.host)
                ),
                other => assert_eq!(other, Look::TooBig),
            }
        }
    }
    let begun = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", data].concat();
    for bytes in [data, &begun] {
        if let Look::More(needed) = read_http2(bytes) {
            assert!(needed > bytes.len());
        }
    }
});
