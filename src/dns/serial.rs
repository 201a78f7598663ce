//! Owns the arithmetic of zones' serials, which go round (RFC 1982). Never knows whose they are.

/// True when `serial` comes after `other` (RFC 1982 section 3.2). Neither of two that are half the circle apart comes after the
/// other.
pub fn is_newer_serial(serial: u32, other: u32) -> bool {
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
            assert!(is_newer_serial(newer, older) && !is_newer_serial(older, newer), "{newer} {older}");
        }
        assert!(!is_newer_serial(5, 5));
        assert!(!is_newer_serial(0x8000_0000, 0) && !is_newer_serial(0, 0x8000_0000));
    }
}
