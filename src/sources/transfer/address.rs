//! Owns the address of a zone on its primary: `axfr://primary[:port]/zone`, or `axfrs://` over TLS. Never connects to it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::dns::Name;

/// A zone and its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneAddress {
    /// Name or address of the primary, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the way there is encrypted (XoT).
    pub tls: bool,
    /// The zone.
    pub zone: Name,
}

/// Why a text is no address of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneAddressError {
    /// A user's name or password stands in it.
    #[error("a name or password stands in it")]
    Credentials,
    /// No host, or one that cannot be.
    #[error("no primary stands in it")]
    Host,
    /// Another scheme.
    #[error("neither axfr:// nor axfrs://")]
    Scheme,
    /// No zone, or one that cannot be.
    #[error("no zone stands behind the primary")]
    Zone,
}

/// Port of DNS over TCP.
const TCP: u16 = 53;
/// Port of DNS over TLS (RFC 7858 section 3.1).
const TLS: u16 = 853;

impl ZoneAddress {
    /// True for text of this kind, well-formed or not.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("axfr") || scheme.eq_ignore_ascii_case("axfrs")
        })
    }

    /// The primary's address, when it is written as one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for ZoneAddress {
    type Err = ZoneAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(ZoneAddressError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "axfr" => false,
            "axfrs" => true,
            _ => return Err(ZoneAddressError::Scheme),
        };
        let (primary, zone) = rest.split_once('/').ok_or(ZoneAddressError::Zone)?;
        if primary.contains('@') {
            return Err(ZoneAddressError::Credentials);
        }
        let (host, port) = split(primary).ok_or(ZoneAddressError::Host)?;
        let zone = zone.parse::<Name>().ok().filter(|zone| zone.label_count() > 0);
        let port = match port {
            None if tls => TLS,
            None => TCP,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(ZoneAddressError::Host)?,
        };
        Ok(Self { host, port, tls, zone: zone.ok_or(ZoneAddressError::Zone)? })
    }
}

/// Host and port. An IPv6 address stands in brackets.
fn split(primary: &str) -> Option<(String, Option<&str>)> {
    if let Some(rest) = primary.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let host = host.parse::<Ipv6Addr>().ok()?.to_string();
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    let (host, port) = match primary.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (primary, None),
    };
    let is_host =
        host.parse::<IpAddr>().is_ok() || host.parse::<Name>().is_ok_and(|name| name.label_count() > 0);
    is_host.then(|| (host.to_ascii_lowercase(), port))
}

impl fmt::Display for ZoneAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("axfrs", TLS) } else { ("axfr", TCP) };
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => write!(f, "{scheme}://[{address}]")?,
            Err(_) => write!(f, "{scheme}://{}", self.host)?,
        }
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_what_goes_without_saying() {
        for (text, shown) in [
            ("axfr://192.0.2.53/rpz.example", "axfr://192.0.2.53/rpz.example"),
            ("AXFR://NS1.example:53/RPZ.example.", "axfr://ns1.example/rpz.example"),
            ("axfrs://ns1.example/rpz.example", "axfrs://ns1.example/rpz.example"),
            ("axfrs://[2001:db8::0:1]:8853/rpz", "axfrs://[2001:db8::1]:8853/rpz"),
            ("axfr://[::1]/rpz", "axfr://[::1]/rpz"),
        ] {
            let address: ZoneAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
        assert_eq!("axfrs://a/b".parse::<ZoneAddress>().unwrap().port, 853);
    }

    #[test]
    fn what_is_no_address_says_why() {
        use ZoneAddressError as Error;
        for (text, error) in [
            ("https://a/b", Error::Scheme),
            ("axfr:a/b", Error::Scheme),
            ("axfr://a", Error::Zone),
            ("axfr://a/", Error::Zone),
            ("axfr://a/.", Error::Zone),
            ("axfr://a/b/c d", Error::Zone),
            ("axfr:///b", Error::Host),
            ("axfr://a:0/b", Error::Host),
            ("axfr://a:x/b", Error::Host),
            ("axfr://2001:db8::1/b", Error::Host),
            ("axfr://[::1/b", Error::Host),
            ("axfr://[::1]x/b", Error::Host),
            ("axfr://me:secret@a/b", Error::Credentials),
        ] {
            assert_eq!(text.parse::<ZoneAddress>(), Err(error), "{text}");
        }
        assert!(ZoneAddress::is_meant("AXFRS://") && !ZoneAddress::is_meant("axfr"));
    }
}
