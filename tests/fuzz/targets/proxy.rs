//! The PROXY header, as bytes and behind the right beginning: whatever is taken ends within the bytes, and the bytes behind it do not count.
#![no_main]

use interdict::net::read_proxied;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let begun = [b"\r\n\r\n\0\r\nQUIT\n\x21", data].concat();
    for bytes in [data, &begun] {
        if let Ok(found) = read_proxied(bytes) {
            assert!((16..=bytes.len()).contains(&found.length));
            assert_eq!(read_proxied(&bytes[..found.length]), Ok(found));
        }
    }
});
