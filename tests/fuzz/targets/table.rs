//! What the kernel's packet filter says of the table: whatever bytes come in its place, reading ends, and reads the same again.
#![no_main]

use interdict::egress::{read_listing, read_pairs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for text in [text.to_string(), format!("{{\"nftables\": [{text}]}}")] {
        assert!(read_pairs(&text).len() <= text.len());
        let listing = read_listing(&text);
        assert_eq!(listing, read_listing(&text));
        if let Some(listing) = listing {
            assert!(listing.chains.len() + listing.counters.len() <= text.len());
        }
    }
});
