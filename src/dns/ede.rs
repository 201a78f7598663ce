//! Owns extended DNS errors (RFC 8914): the codes this product sends, their option in wire form, and the code in a message.
//! Never decides which one fits; the verdict or the failing stage does.

use super::message::{Message, Record, Records};
use super::types::Rcode;

/// An INFO-CODE of RFC 8914 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ExtendedError {
    /// 0: none of the others.
    Other = 0,
    /// 3: the answer is older than its TTL, because fresh ones could not be had.
    StaleAnswer = 3,
    /// 4: the answer was made up by policy.
    ForgedAnswer = 4,
    /// 6: the answer is not what its zone signed.
    DnssecBogus = 6,
    /// 7: every signature of it has ended.
    SignatureExpired = 7,
    /// 8: no signature of it has begun.
    SignatureNotYetValid = 8,
    /// 9: the zone has none of the keys that the zone above announces.
    DnskeyMissing = 9,
    /// 10: it should be signed, and is not.
    RrsigsMissing = 10,
    /// 12: it says that something does not exist, and does not prove it.
    NsecMissing = 12,
    /// 15: blocked by the operator's own policy or by an order addressed to it.
    Blocked = 15,
    /// 16: blocked by an external requirement on the operator.
    Censored = 16,
    /// 17: blocked as asked for by the client.
    Filtered = 17,
    /// 18: the client may not ask this server.
    Prohibited = 18,
    /// 19: the answer says that there is no such name, and is older than its TTL.
    StaleNxdomain = 19,
    /// 20: the server does not answer this kind of question, and refuses to look further.
    NotAuthoritative = 20,
    /// 21: the operation is not supported.
    NotSupported = 21,
    /// 22: no upstream could be reached.
    NoReachableAuthority = 22,
    /// 23: the network failed.
    NetworkError = 23,
}

/// EDNS option code of extended errors.
const OPTION: u16 = 15;

impl ExtendedError {
    /// Appends the option: code, length, INFO-CODE, EXTRA-TEXT (cut at 200 bytes on a character boundary, so that the
    /// whole reply stays well below 512 bytes).
    pub fn write(self, text: &str, out: &mut Vec<u8>) {
        let mut end = text.len().min(200);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or("");
        out.extend_from_slice(&OPTION.to_be_bytes());
        out.extend_from_slice(&(2 + text.len() as u16).to_be_bytes());
        out.extend_from_slice(&(self as u16).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }

    /// The option without text, in wire form, of an INFO-CODE.
    #[inline]
    pub fn bare_option(code: u16) -> [u8; 6] {
        let ([a, b], [c, d]) = (OPTION.to_be_bytes(), code.to_be_bytes());
        [a, b, 0, 2, c, d]
    }

    /// The option in wire form.
    pub fn option(self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(text, &mut out);
        out
    }
}

impl Message<'_> {
    /// The response code with the upper bits that an OPT record holds (RFC 6891 section 6.1.3), and the INFO-CODE of the first extended error: of one
    /// look for that record, among those that were not looked at yet.
    pub fn rcode_and_error(self, left: Records<'_>) -> (Rcode, Option<u16>) {
        let opt = left.opt();
        let upper = opt.as_ref().map_or(0, |opt| (opt.ttl >> 24) as u16);
        (Rcode(upper << 4 | self.flags().rcode().0), opt.and_then(|opt| self.extended_error(&opt)))
    }

    fn extended_error(self, opt: &Record) -> Option<u16> {
        let mut rest = self.bytes().get(opt.rdata.clone())?;
        loop {
            let (&[c1, c2, l1, l2], behind) = rest.split_first_chunk()?;
            let (value, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes([l1, l2])))?;
            if u16::from_be_bytes([c1, c2]) == OPTION {
                return value.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Edns;

    #[test]
    fn the_first_error_of_a_message_is_found_behind_other_options() {
        let message = |options: &[u8]| {
            let question = b"\0\x07\x81\x83\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01";
            [&question[..], &Edns::fixed(1232, 0, false, options.len() as u16), options].concat()
        };
        let code = |options: &[u8]| {
            let bytes = message(options);
            let message = Message::new(&bytes).unwrap();
            message.rcode_and_error(message.records()).1
        };
        assert_eq!(code(b"\0\x0A\0\x02\x01\x02\0\x0F\0\x04\0\x11no\0\x0F\0\x02\0\x04"), Some(17));
        for none in [&b""[..], b"\0\x0A\0\0", b"\0\x0F\0\x01\0", b"\0\x0F\0\x09\0\x11", b"\0\x0F\0"] {
            assert_eq!(code(none), None, "{none:?}");
        }
    }

    #[test]
    fn the_option_is_code_length_info_text() {
        assert_eq!(ExtendedError::Blocked.option("no"), b"\0\x0F\0\x04\0\x0Fno");
        assert_eq!(ExtendedError::bare_option(15).as_slice(), ExtendedError::Blocked.option(""));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let option = ExtendedError::Blocked.option(&"é".repeat(150));
        assert!(option.len() <= 206 && std::str::from_utf8(&option[6..]).is_ok());
    }
}
