//! Owns the OPT pseudo-record (RFC 6891): reading a client's, and the fixed part of ours.
//! Never keeps options it does not act upon.

use super::types::RecordType;

/// Bytes of an OPT record without options: root owner, type, class, TTL, RDLENGTH.
pub const OPT_FIXED: usize = 11;

/// What a client's OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP payload the client can take, in bytes, as written (values under 512 mean 512).
    pub payload: u16,
    /// EDNS version; only 0 is known.
    pub version: u8,
    /// DO: DNSSEC records wanted (RFC 3225).
    pub dnssec_ok: bool,
}

impl Edns {
    /// Reads the class and TTL fields of an OPT record.
    #[inline]
    pub fn from_fields(class: u16, ttl: u32) -> Self {
        Self { payload: class, version: (ttl >> 16) as u8, dnssec_ok: ttl & 0x8000 != 0 }
    }

    /// The fixed part of an OPT record we send. `payload` is what we can receive, `extended` the upper eight bits of
    /// the response code, `options` the length of the options that follow.
    #[inline]
    pub fn fixed(payload: u16, extended: u8, dnssec_ok: bool, options: u16) -> [u8; OPT_FIXED] {
        let [type_high, type_low] = RecordType::OPT.0.to_be_bytes();
        let [payload_high, payload_low] = payload.to_be_bytes();
        let [options_high, options_low] = options.to_be_bytes();
        let flags = if dnssec_ok { 0x80 } else { 0 };
        [0, type_high, type_low, payload_high, payload_low, extended, 0, flags, 0, options_high, options_low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip() {
        let fixed = Edns::fixed(1232, 1, true, 6);
        assert_eq!(fixed, [0, 0, 41, 0x04, 0xD0, 1, 0, 0x80, 0, 0, 6]);
        let edns = Edns::from_fields(1232, 0x0102_8000);
        assert_eq!(edns, Edns { payload: 1232, version: 2, dnssec_ok: true });
    }
}
