//! Owns the writing of a path or an address with parameters, for the pages, the provider that people sign in at, and the command line that asks the same
//! interface. Reads none.

/// A path with parameters, behind those that it has.
pub fn link(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut whole = path.to_owned();
    for (key, value) in pairs {
        whole.push(if whole.contains('?') { '&' } else { '?' });
        encode(key, &mut whole);
        whole.push('=');
        encode(value, &mut whole);
    }
    whole
}

/// A text in which nothing stands for anything else.
pub(super) fn encoded(text: &str) -> String {
    let mut whole = String::new();
    encode(text, &mut whole);
    whole
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_hold_what_was_meant() {
        assert_eq!(
            link("/explain", &[("name", "a&b=<é>"), ("on", "")]),
            "/explain?name=a%26b%3D%3C%C3%A9%3E&on="
        );
        assert_eq!(link("/explain?a=b", &[("c", "?")]), "/explain?a=b&c=%3F");
    }
}
