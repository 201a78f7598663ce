//! Owns the reference that whoever was denied something is shown: what finds that in the log. Never says who it was, nor what.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::dns::CanonicalName;

/// What a page says of a denial, written `GENERATION-TIME-NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The generation that denied it.
    pub generation: u64,
    /// When the page was shown: wall time in milliseconds since 1970. The query is older by as long as the client kept its answer.
    pub time_ms: i64,
    /// What is left of the name: enough to find its lines among those of an hour.
    pub name: u16,
}

/// What is wrong with a text that should be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reference, such as 7-19a1b2c3d4e-5f60")]
pub struct NoReference;

impl Reference {
    /// Of a denial at that time.
    pub fn of(generation: u64, at: Timestamp, name: &CanonicalName) -> Self {
        Self { generation, time_ms: at.as_millisecond(), name: residue(name) }
    }

    /// When the page was shown.
    pub fn time(&self) -> Timestamp {
        // What is read is within its bounds.
        Timestamp::from_millisecond(self.time_ms).unwrap_or(Timestamp::MAX)
    }

    /// True when it may be about that name.
    pub fn may_be_of(&self, name: &CanonicalName) -> bool {
        self.name == residue(name)
    }
}

/// FNV-1a of 32 bits, folded: references of one release are read by another, as a hash of the language's would not be.
fn residue(name: &CanonicalName) -> u16 {
    let hash = name
        .as_wire()
        .iter()
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) as u16 ^ hash as u16
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}-{:04x}", self.generation, self.time_ms, self.name)
    }
}

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let mut parts = text.trim().splitn(3, '-');
        let mut next = || parts.next().ok_or(NoReference);
        let (generation, time, name) = (next()?, next()?, next()?);
        Ok(Self {
            generation: generation.parse().map_err(|_| NoReference)?,
            time_ms: i64::from_str_radix(time, 16)
                .ok()
                .filter(|time| Timestamp::from_millisecond(*time).is_ok())
                .ok_or(NoReference)?,
            name: u16::from_str_radix(name, 16).map_err(|_| NoReference)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_and_finds_its_name() {
        let name = |wire: &[u8]| CanonicalName::read(wire).unwrap();
        let (tiktok, wechat) = (name(b"\x06tiktok\x03com\0"), name(b"\x06wechat\x03com\0"));
        let at = "2026-11-30T20:15:00.123Z".parse().unwrap();
        let reference = Reference::of(7, at, &tiktok);
        // Written down so that it stays what it is.
        assert_eq!(reference.to_string(), "7-1a22e18b21b-ae49");
        assert_eq!(reference.to_string().parse(), Ok(reference));
        assert!(reference.may_be_of(&tiktok) && !reference.may_be_of(&wechat));
        for wrong in [
            "",
            "7",
            "7-19a",
            "7-19a-",
            "x-19a-1",
            "7-y-1",
            "7-19a-12345",
            "7-19a-1-2",
            "-1-19a-1",
            "7-7fffffffffffffff-1",
        ] {
            assert_eq!(wrong.parse::<Reference>(), Err(NoReference), "{wrong}");
        }
    }
}
