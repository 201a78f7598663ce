//! Owns what a zone's SOA record says to those who copy the zone (RFC 1035 section 3.3.13), and the arithmetic of serials
//! (RFC 1982). Never acts upon it.

use std::time::Duration;

/// Version and times of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Its version.
    pub serial: u32,
    /// Time between two looks.
    pub refresh: Duration,
    /// Time between two looks while the primary does not answer.
    pub retry: Duration,
    /// Time without a look after which its owner no longer stands for it.
    pub expire: Duration,
}

impl Soa {
    /// SERIAL, REFRESH, RETRY and EXPIRE, in this order.
    pub(super) fn of_fields(fields: [u32; 4]) -> Self {
        let [serial, refresh, retry, expire] = fields;
        let seconds = |number| Duration::from_secs(u64::from(number));
        Self { serial, refresh: seconds(refresh), retry: seconds(retry), expire: seconds(expire) }
    }
}

/// True when `serial` comes after `other`. Neither of two that are half the circle apart comes after the other.
pub(super) fn is_newer(serial: u32, other: u32) -> bool {
    let ahead = serial.wrapping_sub(other);
    ahead != 0 && ahead < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_go_round() {
        for (newer, older) in [(1, 0), (44, 0), (100, 44), (0, u32::MAX), (7, 0xFFFF_FFF0), (0x7FFF_FFFF, 0)]
        {
            assert!(is_newer(newer, older) && !is_newer(older, newer), "{newer} {older}");
        }
        assert!(!is_newer(5, 5));
        assert!(!is_newer(0x8000_0000, 0) && !is_newer(0, 0x8000_0000));
    }
}
