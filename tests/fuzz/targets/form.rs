//! What browsers send the operators' interface beside a path: whatever stands in it, nobody's server is taken for ours, a cookie is found as it was sent or
//! not at all, and what is escaped holds no markup.
#![no_main]

use interdict::admin::fields;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let (host, rest) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let read = fields::read(host, rest);
    if read.is_ours {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        assert!(!bare.trim_end_matches('.').ends_with(".example"), "{host}");
    }
    if let Some(session) = read.session {
        assert!(rest.contains(&session));
    }
    assert!(["en", "fr"].contains(&read.language));
});
