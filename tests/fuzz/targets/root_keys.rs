//! The file of the root's keys, whole and as keys behind the right beginning: what is taken from it is written again the same.
#![no_main]

use interdict::resolve::rewritten;
use libfuzzer_sys::fuzz_target;

const KEY: &str = ". 172800 IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ== ; ";

fuzz_target!(|text: &str| {
    let known = format!("{KEY}{text}\n; end\n");
    let aged = format!("{KEY}state=valid since=2026-01-01T00:00:00Z aged=1 from=root\n{text}\n; end\n");
    for file in [text, &known, &aged] {
        if let Some(again) = rewritten(file) {
            assert_eq!(rewritten(&again).as_ref(), Some(&again));
            // A file that was cut is none.
            assert_eq!(rewritten(&again[..again.len() - 1]), None);
        }
    }
});
