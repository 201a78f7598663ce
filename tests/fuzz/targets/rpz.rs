//! A response policy zone's text: what it lists about addresses is met by just those addresses once it is compiled.
#![no_main]

use std::net::IpAddr;
use std::sync::Arc;

use interdict::formats::{Format, Options, parse};
use interdict::policy::{Catalog, Draft, Labels, Rulebook, SourceRules, Verdict, Whose, compile};
use interdict::problem::Place;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let zone = (choice & 1 == 1).then(|| "rpz.example".parse().expect("a name"));
    let parsed = parse(Format::Rpz, "zone", &[text], &Options { subdomains: false, zone });
    let listed: Vec<(Whose, IpAddr)> = parsed
        .addresses
        .iter()
        .map(|rule| {
            assert!(u64::from(rule.line) <= parsed.lines, "{rule:?}");
            let first = rule.prefix.to_string();
            (rule.whose, first.split('/').next().and_then(|first| first.parse().ok()).expect("an address"))
        })
        .collect();
    let source = SourceRules {
        name: "zone".to_owned(),
        app: None,
        instrument: None,
        file: "zone".to_owned(),
        rules: parsed.rules,
        addresses: parsed.addresses,
        disabled: choice & 2 == 2,
    };
    let book = Arc::new(Rulebook::new(Catalog::default(), vec![source]));
    let draft = Draft { book, places: vec![Place::default()], ..Draft::default() };
    let on = "2026-01-01T00:00:00Z".parse().expect("a moment");
    let Ok(compiled) = compile(draft, on, 1, &Labels::default()) else { return };
    let snapshot = compiled.snapshot;
    for (whose, address) in listed {
        match whose {
            Whose::Client => assert!(snapshot.client(address).is_ruled(), "{address}"),
            Whose::NameServer => {
                assert!(snapshot.screens_name_servers(0));
                let verdict = snapshot.decide_name_servers(0, &[], &[address], None);
                assert!(choice & 2 == 2 || verdict != Verdict::Allow, "{address}");
            }
            Whose::Answer => {
                assert!(snapshot.screens_addresses(0));
                let verdict = snapshot.decide_addresses(0, [address].into_iter(), None);
                // A rehearsed passthru is nothing.
                assert!(choice & 2 == 2 || verdict != Verdict::Allow, "{address}");
            }
        }
    }
});
