//! Owns the serial: when it grows (RFC 1982), and what is kept of it across restarts. Never knows what was published, but for
//! its fingerprint.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dns::is_newer_serial;
use crate::sources::{FetchError, read_file, write_whole};

/// The last serial, and what it stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The zone's name.
    pub(super) name: String,
    pub(super) serial: u32,
    /// TTL of its records, in seconds.
    pub(super) ttl: u32,
    /// Fingerprint of its records.
    pub(super) fingerprint: String,
}

/// The file in the state directory.
const FILE: &str = "zone.json";
/// Far more than it holds.
const LARGEST: u64 = 64 << 10;
/// It holds no secret.
const MODE: u32 = 0o644;

impl Kept {
    /// What was kept; `None` when nothing was, or nothing that can be read.
    pub(super) fn read(state: &Path) -> Option<Self> {
        let raw = match read_file(&path(state), LARGEST) {
            Ok(raw) => raw,
            Err(FetchError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the zone's last serial cannot be read; it goes on from the clock");
                return None;
            }
        };
        serde_json::from_slice(&raw.bytes())
            .inspect_err(|error| {
                tracing::warn!(%error, "the zone's last serial is damaged; it goes on from the clock");
            })
            .ok()
    }

    /// Keeps it, whole or not at all.
    pub(super) fn write(&self, state: &Path) -> io::Result<()> {
        std::fs::create_dir_all(state)?;
        write_whole(&path(state), &serde_json::to_vec_pretty(self)?, MODE)
    }
}

fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

/// The serial after `before`: the time in seconds where that is greater, as it is unless content changes every second, so that
/// secondaries follow even when the state directory was lost; else one more.
pub(super) fn next(before: Option<u32>, now: Timestamp) -> u32 {
    let clock = now.as_second() as u32;
    match before {
        Some(before) if !is_newer_serial(clock, before) => before.wrapping_add(1),
        _ => clock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_grows_whatever_the_clock_says() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        assert_eq!(next(None, at(1_800_000_000)), 1_800_000_000);
        assert_eq!(next(Some(1_700_000_000), at(1_800_000_000)), 1_800_000_000);
        assert_eq!(next(Some(1_800_000_000), at(1_800_000_000)), 1_800_000_001);
        assert_eq!(next(Some(1_800_000_000), at(1_700_000_000)), 1_800_000_001, "a clock set back");
        assert_eq!(next(Some(u32::MAX), at(4_294_967_295)), 0, "past the last number");
        for before in [0, 1, 1 << 31, u32::MAX - 1, u32::MAX] {
            for seconds in [0, 1_764_000_000, 4_294_967_295] {
                assert!(is_newer_serial(next(Some(before), at(seconds)), before), "{before} at {seconds}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_damage_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept { name: "rpz.test".into(), serial: 7, ttl: 60, fingerprint: "ab".into() };
        assert_eq!(Kept::read(folder.path()), None);
        kept.write(folder.path()).unwrap();
        assert_eq!(Kept::read(folder.path()), Some(kept));
        std::fs::write(folder.path().join(FILE), "{\"name\": ").unwrap();
        assert_eq!(Kept::read(folder.path()), None);
    }
}
