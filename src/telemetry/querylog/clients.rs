//! Owns how much of a client a log shows: its address, its network, a digest, or nothing. Never writes.

use std::net::IpAddr;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::dns::write_address;
use crate::policy::hexadecimal;

/// How a client's address is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clients {
    /// Whole. The default: a block that cannot be traced to a device cannot be followed up.
    #[default]
    Full,
    /// By a keyed digest whose key lives for a day and is never written: equal clients of a day are equal, and nobody can tell who they
    /// are.
    Hmac,
    /// Not at all.
    None,
    /// Its /24 or /56.
    Prefix,
}

/// Shows clients by digests, with a key of the day.
#[derive(Debug)]
pub struct Pseudonyms {
    key: [u8; KEY],
    /// The day of the key; `None` before the first.
    day: Option<i64>,
}

/// A block of SHA-256, as HMAC wants keys (RFC 2104 section 2).
const KEY: usize = 64;

impl Default for Pseudonyms {
    fn default() -> Self {
        Self { key: [0; KEY], day: None }
    }
}

impl Pseudonyms {
    /// What stands for `client` on the day of `time_ms`; `None` when the system gives no key.
    pub(super) fn of(&mut self, client: IpAddr, time_ms: i64) -> Option<String> {
        const DAY: i64 = 86_400_000;
        self.of_day(client, time_ms.div_euclid(DAY))
    }

    /// What stands for `client` on a day, whose number rises from day to day; `None` when the system gives no key.
    pub fn of_day(&mut self, client: IpAddr, day: i64) -> Option<String> {
        // Records of several threads come in no exact order: those from before midnight keep to the key that is there.
        if self.day.is_none_or(|known| day > known) {
            getrandom::fill(&mut self.key).ok()?;
            self.day = Some(day);
        }
        let pad = |byte: u8| self.key.map(|of_key| of_key ^ byte);
        let address = match client {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(address).finalize();
        let outer = Sha256::new().chain_update(pad(0x5C)).chain_update(inner).finalize();
        Some(hexadecimal(outer.first_chunk::<8>()?))
    }
}

impl FromStr for Clients {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "full" => Ok(Self::Full),
            "none" => Ok(Self::None),
            "prefix" => Ok(Self::Prefix),
            "hmac" => Ok(Self::Hmac),
            _ => Err("use one of full, prefix, hmac, none"),
        }
    }
}

impl Clients {
    /// What is kept of an address: all of it, the first address of its network, or nothing.
    pub fn kept(self, client: IpAddr) -> Option<IpAddr> {
        match (self, client) {
            (Self::Full, _) => Some(client),
            // Whoever keeps addresses keeps none that are to be told by a digest.
            (Self::Hmac | Self::None, _) => None,
            (Self::Prefix, IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                Some(IpAddr::from([a, b, c, 0]))
            }
            (Self::Prefix, IpAddr::V6(address)) => {
                Some(IpAddr::from((u128::from(address) & !(u128::MAX >> 56)).to_be_bytes()))
            }
        }
    }

    /// A client as logs and reports show it; `None` when they do not.
    pub fn show(self, client: IpAddr) -> Option<String> {
        let mut out = String::new();
        self.write(client, &mut out).then_some(out)
    }

    /// Writes the same behind `out`; false when there is nothing to be shown.
    pub(super) fn write(self, client: IpAddr, out: &mut String) -> bool {
        let Some(kept) = self.kept(client) else { return false };
        // Writing to memory does not fail.
        let _written = write_address(kept, out).is_ok();
        match (self, kept) {
            (Self::Prefix, IpAddr::V4(_)) => out.push_str("/24"),
            (Self::Prefix, IpAddr::V6(_)) => out.push_str("/56"),
            _ => {}
        }
        true
    }

    /// What may be shown of a client that was written down as `shown`, when more of clients was told.
    pub fn narrowed(self, shown: &str) -> Option<String> {
        match (self, shown.parse()) {
            (Self::Full, _) => Some(shown.to_owned()),
            (Self::None, _) => None,
            (Self::Hmac | Self::Prefix, Ok(address)) => self.show(address),
            // A network, which is more than a digest.
            (Self::Hmac, Err(_)) if shown.contains('/') => None,
            (Self::Hmac | Self::Prefix, Err(_)) => Some(shown.to_owned()),
        }
    }

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Hmac => "hmac",
            Self::None => "none",
            Self::Prefix => "prefix",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_a_client_is_narrowed_and_never_widened() {
        let all = ["10.20.0.7", "2001:db8:0:1234::7", "10.20.0.0/24", "0123456789abcdef"];
        let narrowed = |clients: Clients| all.map(|shown| clients.narrowed(shown).unwrap_or_default());
        assert_eq!(narrowed(Clients::Full), all);
        assert_eq!(
            narrowed(Clients::Prefix),
            ["10.20.0.0/24", "2001:db8:0:1200::/56", "10.20.0.0/24", "0123456789abcdef"]
        );
        assert_eq!(narrowed(Clients::Hmac), ["", "", "", "0123456789abcdef"]);
        assert_eq!(narrowed(Clients::None), [""; 4]);
    }

    #[test]
    fn a_digest_stays_for_a_day_and_tells_clients_apart() {
        let mut pseudonyms = Pseudonyms::default();
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let noon = 1_698_667_200_000;
        let first = pseudonyms.of(one, noon).unwrap();
        assert_eq!(pseudonyms.of(one, noon + 1000).unwrap(), first);
        assert_ne!(pseudonyms.of(other, noon).unwrap(), first);
        let next = pseudonyms.of(one, noon + 86_400_000).unwrap();
        assert_ne!(next, first, "the next day");
        assert_eq!(pseudonyms.of(one, noon).unwrap(), next, "late, and no third key");
        assert_ne!(Pseudonyms::default().of(one, noon).unwrap(), first, "another start");
    }
}
