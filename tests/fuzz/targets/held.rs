//! The kernel's messages of held packets: whatever bytes come in their place, reading ends, and takes nothing from behind them.
#![no_main]

use interdict::egress::read_held;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let found = read_held(data);
    assert!(found.len() * 16 <= data.len());
    // As one message of the right kind, its length as it is.
    if let (Ok(length), Some(_)) = (u32::try_from(data.len()), data.get(16..)) {
        let mut message = data.to_vec();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message[4..6].copy_from_slice(&(4u16 << 8).to_ne_bytes());
        assert!(read_held(&message).len() <= 1);
    }
});
