//! An operator's configuration, and a catalog file of the operator's own.
#![no_main]

use interdict::policy::Catalog;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (_, problems) = interdict::config::read("interdict.toml", text);
    for problem in problems {
        assert!(!problem.what.is_empty());
    }
    for file in ["apps/a.toml", "instruments/a.toml", "bypass.toml", "never.toml", "default.toml"] {
        let _catalog = Catalog::read([(file, text)]);
    }
});
