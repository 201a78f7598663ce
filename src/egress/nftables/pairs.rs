//! Owns the reading of the pairs that the kernel says are in its table, as `nft -j` prints them. Never asks for them.

use std::net::IpAddr;

use serde_json::Value;

/// The pairs in what `nft -j list table` prints: client, address, and the seconds for which each still holds. What has no end, or is no pair, is
/// left out. An address that is open to all of its family has an unspecified client.
pub fn read_pairs(text: &str) -> Vec<(IpAddr, IpAddr, u64)> {
    let Ok(whole) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let sets = whole["nftables"].as_array().into_iter().flatten().map(|object| &object["set"]);
    let sets = sets.filter(|set| set["name"].as_str().is_some_and(|name| name.contains('.')));
    let elements =
        sets.flat_map(|set| set["elem"].as_array().into_iter().flatten()).map(|element| &element["elem"]);
    elements.filter_map(pair).collect()
}

fn pair(element: &Value) -> Option<(IpAddr, IpAddr, u64)> {
    let seconds = element["expires"].as_u64()?;
    let parse = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    let (client, address) = match &element["val"] {
        Value::String(address) => {
            let address: IpAddr = address.parse().ok()?;
            let anybody = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            (anybody, address)
        }
        pair => {
            let [client, address] = pair["concat"].as_array()?.as_slice() else { return None };
            (parse(client)?, parse(address)?)
        }
    };
    (client.is_ipv4() == address.is_ipv4()).then_some((client, address, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"{"nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {"set": {"name": "pairs.v4", "elem": [{"concat": ["0.0.0.1", "0.0.0.0"]},
            {"elem": {"val": {"concat": ["10.0.0.1", "192.0.2.1"]}, "timeout": 300, "expires": 299}},
            {"elem": {"val": {"concat": ["10.0.0.1", "2001:db8::1"]}, "expires": 1}},
            {"elem": {"val": {"concat": ["10.0.0.1"]}, "expires": 1}}]}},
        {"set": {"name": "across.v6", "elem": ["::", {"elem": {"val": "2001:db8::1", "timeout": 300, "expires": 7}}]}},
        {"set": {"name": "open", "elem": [{"elem": {"val": "ipv4", "expires": 7}}]}},
        {"set": {"name": "pairs.v6", "elem": 3}}, 7
    ]}"#;

    #[test]
    fn pairs_are_read_with_what_is_left_of_them() {
        let found: Vec<String> =
            read_pairs(TABLE).iter().map(|(a, b, left)| format!("{a} {b} {left}")).collect();
        assert_eq!(found, ["10.0.0.1 192.0.2.1 299", ":: 2001:db8::1 7"]);
        for text in ["", "null", "[]", "{\"nftables\": 1}", "{\"nftables\": [{\"set\": []}]}"] {
            assert!(read_pairs(text).is_empty(), "{text}");
        }
    }
}
