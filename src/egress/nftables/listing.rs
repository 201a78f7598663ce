//! Owns the reading of what the kernel says is in the table, as `nft -j` prints it. Never asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What is in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Equal for tables that hold the same, but for numbers that count and elements that come and go.
    pub fingerprint: [u8; 32],
    /// Packets and bytes by counter.
    pub counters: BTreeMap<String, (u64, u64)>,
    /// Chains.
    pub chains: BTreeSet<String>,
    /// Addresses by set, of those whose elements come and go.
    pub elements: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// Reads what `nft -j list table` prints; `None` when it is none of its lists.
pub fn read_listing(text: &str) -> Option<Listing> {
    let mut whole: Value = serde_json::from_str(text).ok()?;
    let mut listing = Listing::default();
    let mut lines = Vec::new();
    for object in whole.get_mut("nftables")?.as_array_mut()? {
        let Some((kind, object)) = object.as_object_mut().and_then(|object| object.iter_mut().next()) else {
            continue;
        };
        let name = object["name"].as_str().unwrap_or_default().to_owned();
        let Some(fields) = object.as_object_mut() else { continue };
        // A number that the kernel gives out, and others after each restoration.
        fields.remove("handle");
        match kind.as_str() {
            "metainfo" => continue,
            "chain" => drop(listing.chains.insert(name)),
            "counter" => {
                let mut number = |key| fields.remove(key).and_then(|value| value.as_u64()).unwrap_or(0);
                let counted = (number("packets"), number("bytes"));
                listing.counters.insert(name, counted);
            }
            "set" if comes_and_goes(&name) => {
                let found = fields.remove("elem");
                let found = found.iter().flat_map(|found| found.as_array()).flatten().filter_map(address);
                listing.elements.insert(name, found.collect());
            }
            _ => {}
        }
        lines.push(format!("{kind} {}", Value::Object(std::mem::take(fields))));
    }
    // Rules of a chain come in their order, and that counts; all else does not.
    let mut digest = Sha256::new();
    let (rules, mut others): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| line.starts_with("rule "));
    others.sort();
    for line in others.iter().chain(&rules) {
        digest.update(line);
        digest.update("\n");
    }
    listing.fingerprint = digest.finalize().into();
    Some(listing)
}

/// True for sets whose elements change between generations.
fn comes_and_goes(name: &str) -> bool {
    [".learned.v4", ".learned.v6", ".spared.v4", ".spared.v6"].iter().any(|end| name.ends_with(end))
}

/// An element: an address, or one with the time for which it holds.
fn address(element: &Value) -> Option<IpAddr> {
    let plain = element.as_str().or_else(|| element["elem"]["val"].as_str());
    plain?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"{"nftables": [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "interdict", "handle": 2}},
        {"counter": {"family": "inet", "name": "count.default.tiktok.out", "table": "interdict", "handle": 4, "packets": 5, "bytes": 500}},
        {"set": {"family": "inet", "name": "set.any.v4", "table": "interdict", "type": "ipv4_addr", "handle": 1, "flags": ["interval"],
            "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "192.0.2.7"]}},
        {"set": {"family": "inet", "name": "set.tiktok.learned.v4", "table": "interdict", "type": "ipv4_addr", "handle": 2, "flags": ["timeout"],
            "elem": [{"elem": {"val": "192.0.2.9", "timeout": 300, "expires": 299}}]}},
        {"set": {"family": "inet", "name": "set.default.spared.v6", "table": "interdict", "type": "ipv6_addr", "handle": 3, "elem": ["2001:db8::1"]}},
        {"chain": {"family": "inet", "table": "interdict", "name": "look", "handle": 5}},
        {"rule": {"family": "inet", "table": "interdict", "chain": "look", "handle": 7, "expr": [{"goto": {"target": "out"}}]}},
        {"rule": {"family": "inet", "table": "interdict", "chain": "look", "handle": 8, "expr": [{"drop": null}]}}
    ]}"#;

    #[test]
    fn counters_chains_and_what_comes_and_goes_are_read() {
        let listing = read_listing(TABLE).unwrap();
        assert_eq!(
            listing.counters.into_iter().collect::<Vec<_>>(),
            [("count.default.tiktok.out".to_owned(), (5, 500))]
        );
        assert!(listing.chains.contains("look"));
        let elements: Vec<String> =
            listing.elements.iter().map(|(set, found)| format!("{set} {found:?}")).collect();
        assert_eq!(elements, ["set.default.spared.v6 {2001:db8::1}", "set.tiktok.learned.v4 {192.0.2.9}"]);
    }

    #[test]
    fn what_changes_by_itself_is_no_difference_and_all_else_is() {
        let of = |text: &str| read_listing(text).unwrap().fingerprint;
        for (from, to) in [
            ("\"packets\": 5, \"bytes\": 500", "\"packets\": 6, \"bytes\": 900"),
            ("\"handle\": 8", "\"handle\": 80"),
            ("\"expires\": 299", "\"expires\": 2"),
        ] {
            assert!(TABLE.contains(from));
            assert_eq!(of(TABLE), of(&TABLE.replace(from, to)), "{from}");
        }
        for (from, to) in [
            ("\"len\": 8", "\"len\": 9"),
            (", \"192.0.2.7\"", ""),
            ("{\"drop\": null}", "{\"accept\": null}"),
            ("\"name\": \"look\"", "\"name\": \"looks\""),
            ("\"target\": \"out\"", "\"target\": \"in\""),
        ] {
            assert!(TABLE.contains(from));
            assert_ne!(of(TABLE), of(&TABLE.replace(from, to)), "{from}");
        }
    }

    #[test]
    fn other_text_is_no_listing() {
        for text in ["", "{", "[]", "{\"nftables\": 1}", "null", "{\"nft\": []}"] {
            assert_eq!(read_listing(text), None, "{text}");
        }
        assert_eq!(read_listing("{\"nftables\": [1, {}, {\"set\": 3}]}").unwrap().chains.len(), 0);
    }
}
