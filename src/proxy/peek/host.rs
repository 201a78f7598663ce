//! Owns the host that a client says it wants, a name or an address, and the port behind it, in the one form that policy is asked about. Never
//! takes a spelling that others read as something else.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::dns::{CanonicalName, MAX_NAME};

/// Whom a client wants.
#[derive(Clone)]
pub enum Host {
    /// The machine at an address.
    Address(IpAddr),
    /// Whatever has this name.
    Name(Box<CanonicalName>),
}

/// A host, and the port if one is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: Option<u16>,
}

impl Host {
    /// A name, or an IPv4 address in four decimal numbers. `None` for what is neither: labels that are empty or too long, signs that names
    /// of hosts have not, and numbers that some take for an address (`0x7f.1`).
    pub fn read(text: &[u8]) -> Option<Self> {
        if let Some(address) = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let text = text.strip_suffix(b".").unwrap_or(text);
        let last = text.rsplit(|byte| *byte == b'.').next()?;
        let is_number =
            last.iter().all(u8::is_ascii_digit) || last.starts_with(b"0x") || last.starts_with(b"0X");
        if text.len() + 2 > MAX_NAME || is_number {
            return None;
        }
        let mut wire = [0; MAX_NAME];
        let mut at = 0;
        for label in text.split(|byte| *byte == b'.') {
            let fits = (1..=63).contains(&label.len());
            if !fits || !label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            {
                return None;
            }
            *wire.get_mut(at)? = label.len() as u8;
            wire.get_mut(at + 1..at + 1 + label.len())?.copy_from_slice(label);
            at += 1 + label.len();
        }
        CanonicalName::read(wire.get(..=at)?).map(|name| Self::Name(Box::new(name)))
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&CanonicalName> {
        match self {
            Self::Address(_) => None,
            Self::Name(name) => Some(name),
        }
    }
}

impl Authority {
    /// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
    pub fn read(text: &[u8]) -> Option<Self> {
        let (host, port) = match text.strip_prefix(b"[") {
            Some(rest) => {
                let end = rest.iter().position(|byte| *byte == b']')?;
                let (address, rest) = rest.split_at_checked(end)?;
                let address: Ipv6Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
                let port = match rest.get(1..)? {
                    [] => None,
                    rest => Some(rest.strip_prefix(b":")?),
                };
                (Host::Address(IpAddr::V6(address).to_canonical()), port)
            }
            None => match text.iter().position(|byte| *byte == b':') {
                Some(at) => (Host::read(text.get(..at)?)?, Some(text.get(at + 1..)?)),
                None => (Host::read(text)?, None),
            },
        };
        // `host:` is allowed, and says nothing (RFC 3986 section 3.2.3).
        let port = match port.filter(|port| !port.is_empty()) {
            Some(port) if port.iter().all(u8::is_ascii_digit) && port.len() <= 5 => {
                Some(std::str::from_utf8(port).ok()?.parse().ok().filter(|port| *port != 0)?)
            }
            Some(_) => return None,
            None => None,
        };
        Some(Self { host, port })
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(one), Self::Address(two)) => one == two,
            (Self::Name(one), Self::Name(two)) => one.as_wire() == two.as_wire(),
            _ => false,
        }
    }
}

impl Eq for Host {}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form() {
        let said =
            |text: &str| Authority::read(text.as_bytes()).map(|found| (found.host.to_string(), found.port));
        let name = |text: &str, port| Some((text.to_owned(), port));
        assert_eq!(said("WWW.TikTok.com"), said("www.tiktok.com."));
        assert_eq!(said("a_b.example:8443").unwrap().1, Some(8443));
        assert_eq!(said("192.0.2.7:80"), name("192.0.2.7", Some(80)));
        assert_eq!(said("[2001:db8::7]:443"), name("2001:db8::7", Some(443)));
        assert_eq!(said("[2001:db8::7]"), name("2001:db8::7", None));
        assert_eq!(said("[::ffff:192.0.2.7]"), name("192.0.2.7", None));
        assert_eq!(said("example.com:").unwrap().1, None);
        for wrong in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "user@a",
            "a:0",
            "a:65536",
            "a:-1",
            "a:+1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "2001:db8::7",
            "0x7f.1",
            "127.1",
            "2130706433",
            "1.2.3.4.5",
            "a\0b",
            "a%2e",
            "é.example",
        ] {
            assert_eq!(said(wrong), None, "{wrong}");
        }
        assert!(said(&format!("{}.a", "x".repeat(64))).is_none());
        assert!(said(&["x".repeat(63).as_str(); 4].join(".")).is_none());
    }
}
