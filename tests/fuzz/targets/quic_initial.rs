//! QUIC's first packets: any datagrams, and frames behind a seal that fits.
#![no_main]

use interdict::proxy::peek::{Initials, Look};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut initials = Initials::default();
    for datagram in data.chunks(1200) {
        if !matches!(initials.push(datagram), Look::More(_)) {
            break;
        }
    }
    // Without the seal, which no chance opens.
    let _whatever = Initials::frames(data);
});
