//! A list's bytes in every syntax: the first byte chooses it. Each rule's line exists.
#![no_main]

use interdict::formats::{Format, MOST_PROBLEMS, Options, parse};
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 5] = [Format::Adblock, Format::Dnsmasq, Format::Domains, Format::Hosts, Format::Rpz];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let format = FORMATS[usize::from(*choice) % FORMATS.len()];
    let options = Options { subdomains: choice & 0x80 != 0, zone: None };
    let parsed = parse(format, "list", &[text], &options);
    assert!(parsed.problems.len() <= MOST_PROBLEMS + 1);
    for rule in &parsed.rules {
        assert!(u64::from(rule.line) <= parsed.lines, "{rule:?}");
    }
});
