//! Owns the address of a list on a server. Never connects to it.

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

/// An `https://` or `http://` address without credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

/// Why a text is no address of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A user's name or password stands in it.
    #[error("a name or password stands in it")]
    Credentials,
    /// Not an address at all.
    #[error("not an address")]
    Malformed,
    /// Another scheme.
    #[error("neither https:// nor http://")]
    Scheme,
}

impl Address {
    /// True when the way there is encrypted and the server proves who it is.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// The whole text, for the request.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address with `suffix` behind its path.
    pub fn with_suffix(&self, suffix: &str) -> Result<Self, AddressError> {
        match self.0.split_once('?') {
            Some((path, query)) => format!("{path}{suffix}?{query}").parse(),
            None => format!("{}{suffix}", self.0).parse(),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| AddressError::Malformed)?;
        let authority = uri.authority().ok_or(AddressError::Malformed)?.as_str();
        if authority.contains('@') {
            return Err(AddressError::Credentials);
        }
        match uri.scheme_str() {
            // The rest of the address is kept as written: servers compare paths byte by byte.
            Some(scheme @ ("http" | "https")) if !uri.host().unwrap_or("").is_empty() => {
                let rest = text.split_once("://").map_or("", |(_, rest)| rest);
                Ok(Self(format!("{scheme}://{}", rest.split('#').next().unwrap_or(rest))))
            }
            Some("http" | "https") => Err(AddressError::Malformed),
            _ => Err(AddressError::Scheme),
        }
    }
}

/// Without the query: what follows a question mark may be a secret of the subscriber.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('?') {
            Some((path, _)) => write!(f, "{path}?…"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_as_written_and_shown_without_their_query() {
        let address: Address = "HTTPS://Lists.example:8443/A/extra.rpz?token=x#top".parse().unwrap();
        assert_eq!(address.as_str(), "https://Lists.example:8443/A/extra.rpz?token=x");
        assert_eq!(address.to_string(), "https://Lists.example:8443/A/extra.rpz?…");
        assert_eq!(
            address.with_suffix(".minisig").unwrap().as_str(),
            "https://Lists.example:8443/A/extra.rpz.minisig?token=x"
        );
        assert!(address.is_secure() && !"http://a/b".parse::<Address>().unwrap().is_secure());
        for (text, why) in [
            ("https://me:secret@lists.example/a", AddressError::Credentials),
            ("axfr://server/zone", AddressError::Scheme),
            ("https:///path", AddressError::Malformed),
            ("https://a b/", AddressError::Malformed),
            ("/etc/list", AddressError::Malformed),
        ] {
            assert_eq!(text.parse::<Address>(), Err(why), "{text}");
        }
    }
}
