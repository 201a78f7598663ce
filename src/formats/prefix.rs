//! Owns the notation in which response policy zones write addresses as names: `24.0.2.0.192.rpz-ip`,
//! `48.zz.db8.2001.rpz-client-ip` (draft-vixie-dnsop-dns-rpz section 4.1.1). Never knows what is done about them.

use std::net::{IpAddr, Ipv6Addr};

use crate::policy::Prefix;

/// The prefix that the labels in front of the trigger's own say: its length, then the address from its last part to its
/// first; `zz` stands for `::`. Fails with what is wrong.
pub(super) fn read(labels: &str) -> Result<Prefix, &'static str> {
    let mut parts = labels.split('.');
    let length = parts.next().and_then(|length| decimal(length, 128)).ok_or("not a prefix length")?;
    if length == 0 {
        return Err("the rule would meet every address");
    }
    let parts: Vec<&str> = parts.rev().collect();
    let elided = |part: &&str| part.eq_ignore_ascii_case("zz");
    let address = match parts.as_slice() {
        [a, b, c, d] if !parts.iter().any(elided) => {
            let [Some(a), Some(b), Some(c), Some(d)] = [a, b, c, d].map(|part| decimal(part, 255)) else {
                return Err("not an IPv4 address from its last number to its first");
            };
            IpAddr::from([a, b, c, d])
        }
        _ => IpAddr::V6(ipv6(&parts).ok_or("not an address from its last part to its first")?),
    };
    match (address, address.to_canonical(), length.checked_sub(96)) {
        // What is written as IPv6 and means IPv4.
        (IpAddr::V6(_), IpAddr::V4(mapped), Some(length)) => Prefix::new(mapped.into(), length),
        _ => Prefix::new(address, length),
    }
}

/// The words of an address, the first first, as RFC 5952 writes them with `zz` for `::`.
fn ipv6(words: &[&str]) -> Option<Ipv6Addr> {
    let mut colons = String::new();
    for (at, word) in words.iter().enumerate() {
        let is_word = (1..=4).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if word.eq_ignore_ascii_case("zz") {
            colons.push_str(if at == 0 { "::" } else { ":" });
        } else if is_word {
            colons.push_str(word);
            if at + 1 < words.len() {
                colons.push(':');
            }
        } else {
            return None;
        }
    }
    colons.parse().ok()
}

/// A number without leading zeros.
fn decimal(text: &str, most: u8) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|number| plain && *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_read_backwards() {
        for (labels, prefix) in [
            ("32.1.2.0.192", "192.0.2.1/32"),
            ("24.0.2.0.192", "192.0.2.0/24"),
            ("8.0.0.0.10", "10.0.0.0/8"),
            ("128.57.zz.1.0.db8.2001", "2001:db8:0:1::57/128"),
            ("48.zz.db8.2001", "2001:db8::/48"),
            ("128.1.ZZ", "::1/128"),
            ("16.zz.FE80", "fe80::/16"),
            ("128.8.7.6.5.4.3.2.1", "1:2:3:4:5:6:7:8/128"),
            ("128.4.zz.2.1.0", "0:1:2::4/128"),
            ("120.100.c000.ffff.zz", "192.0.1.0/24"),
        ] {
            assert_eq!(read(labels).map(|prefix| prefix.to_string()), Ok(prefix.to_owned()), "{labels}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for labels in [
            "",
            "32",
            "0.0.0.0.0",
            "33.1.2.0.192",
            "24.1.2.0.192",
            "032.1.2.0.192",
            "32.01.2.0.192",
            "32.1.2.0.256",
            "32.1.2.0",
            "32.1.2.0.192.7",
            "129.1.zz",
            "64.1.zz",
            "128.1.zz.2.zz.3",
            "128.zz.1.2.3.4.5.6.7.8",
            "128.1.2.3.4.5.6.7.8.9",
            "128.12345.zz",
            "128.x.zz",
            "128.1..zz",
            "+8.0.0.0.10",
            "*.1.2.0.192",
        ] {
            assert!(read(labels).is_err(), "{labels}");
        }
    }
}
