//! The beginning of TLS: whatever is found needs no byte behind it, and a look that wants more says truly how much.
#![no_main]

use interdict::proxy::peek::{Look, read_client_hello};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let framed = [&[22, 3, 1][..], &(data.len().min(16_384) as u16).to_be_bytes(), data].concat();
    for bytes in [data, &framed] {
        match read_client_hello(bytes) {
            Look::More(needed) => {
                assert!(needed > bytes.len());
                let mut longer = bytes.to_vec();
                longer.resize(needed - 1, 0);
                assert!(!matches!(read_client_hello(&longer), Look::Found(_)));
            }
            Look::Found(found) => {
                let longer = [bytes, &[0; 9]].concat();
                assert_eq!(read_client_hello(&longer), Look::Found(found));
            }
            Look::Malformed(_) | Look::Other | Look::TooBig => {}
        }
    }
});
