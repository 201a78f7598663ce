//! Owns a name and a password as HTTP carries them in a field (Basic, RFC 7617). The door of `base64` for them. Never checks one, and never shows
//! a password.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A name and a password that somebody has shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name: UTF-8 without control characters, at least one.
    pub name: String,
    /// The password's bytes.
    pub password: Vec<u8>,
}

/// Longest name and longest password in bytes, as in SOCKS (RFC 1929).
const LONGEST: usize = 255;

impl Login {
    /// A name and a password as they came; `None` when the name is none.
    pub fn new(name: &[u8], password: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        let fits = (1..=LONGEST).contains(&name.len()) && password.len() <= LONGEST;
        let is_name = fits && !name.chars().any(char::is_control);
        is_name.then(|| Self { name: name.to_owned(), password: password.to_vec() })
    }

    /// From the value of the field Authorization or Proxy-Authorization; `None` when it is of another scheme, or malformed.
    pub fn basic(value: &str) -> Option<Self> {
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 4 * LONGEST {
            return None;
        }
        let decoded = STANDARD.decode(encoded.trim_matches(' ')).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (name, password) = decoded.split_at_checked(colon)?;
        Self::new(name, password.get(1..)?)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_first_colon_and_what_is_none_is_refused() {
        let login = |value: &str| Login::basic(value).map(|login| (login.name, login.password));
        let is = |name: &str, password: &[u8]| Some((name.to_owned(), password.to_vec()));
        // Those of RFC 7617, sections 2 and 2.1.
        assert_eq!(login("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), is("Aladdin", b"open sesame"));
        assert_eq!(login("bAsIc  dGVzdDoxMjPCow=="), is("test", "123£".as_bytes()));
        assert_eq!(login("Basic YTpiOmM="), is("a", b"b:c"));
        assert_eq!(login("Basic YTo="), is("a", b""));
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Bearer YTpi",
            "Basic YTpi=",
            "Basic OmI=",
            "Basic YQ==",
            "Basic /zpi",
            "Basic CTpi",
        ] {
            assert_eq!(login(wrong), None, "{wrong}");
        }
        let long = STANDARD.encode(format!("a:{}", "x".repeat(LONGEST + 1)));
        assert_eq!(login(&format!("Basic {long}")), None);
        assert!(!format!("{:?}", Login::basic("Basic YTpzZWNyZXQ=").unwrap()).contains("secret"));
    }
}
