//! SOCKS version 5: the messages of a client; what is found ends within the bytes.
#![no_main]

use interdict::proxy::peek::{Look, read_greeting, read_login, read_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match read_greeting(data) {
        Look::Found(found) => assert!(found.length <= data.len()),
        Look::More(needed) => assert!(needed > data.len()),
        Look::Malformed(_) | Look::Other | Look::TooBig => {}
    }
    match read_login(data) {
        Look::Found(found) => {
            assert!(found.length <= data.len());
            assert_eq!(read_login(&data[..found.length]), Look::Found(found));
        }
        Look::More(needed) => assert!(needed > data.len()),
        Look::Malformed(_) | Look::Other | Look::TooBig => {}
    }
    match read_request(data) {
        Look::Found(found) => assert!(found.length <= data.len()),
        Look::More(needed) => assert!(needed > data.len()),
        Look::Malformed(_) | Look::Other | Look::TooBig => {}
    }
});
