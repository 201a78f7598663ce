//! Owns the protocol's numbers: record types, classes, response codes, header flags.
//! Never lists a number this product does not act upon; unknown ones pass through as they are.

use std::fmt;
use std::str::FromStr;

/// A record type (IANA DNS parameters).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub u16);

/// A class (RFC 1035 3.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(pub u16);

/// A response code, as the four header bits hold it (RFC 1035 4.1.1); `BADVERS` needs the OPT record's upper bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(pub u16);

/// The sixteen flag bits of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

macro_rules! record_types {
    ($($name:ident = $number:literal,)*) => {
        #[allow(missing_docs, reason = "the names are IANA's own")]
        impl RecordType {
            $(pub const $name: Self = Self($number);)*

            /// Its name; `None` for one that is not listed here.
            pub fn mnemonic(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }

            fn named(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self($number)),)* _ => None }
            }
        }
    };
}

record_types! {
    A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, HINFO = 13, MX = 15, TXT = 16, RP = 17, AFSDB = 18, AAAA = 28,
    SRV = 33, NAPTR = 35, KX = 36, DNAME = 39, OPT = 41, DS = 43, RRSIG = 46, NSEC = 47, DNSKEY = 48, NSEC3 = 50,
    TLSA = 52, SVCB = 64, HTTPS = 65, TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254,
    ANY = 255, CAA = 257,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        Self::named(&upper)
            .or_else(|| upper.strip_prefix("TYPE")?.parse().ok().map(Self))
            .ok_or_else(|| format!("`{text}` is not a record type"))
    }
}

impl Class {
    /// The Internet.
    pub const IN: Self = Self(1);
    /// Chaosnet, where servers describe themselves (`version.bind`).
    pub const CH: Self = Self(3);
    /// Any class.
    pub const ANY: Self = Self(255);
}

impl Rcode {
    /// No error condition.
    pub const NOERROR: Self = Self(0);
    /// The server could not interpret the query.
    pub const FORMERR: Self = Self(1);
    /// The server could not process the query.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// The kind of query is not supported.
    pub const NOTIMP: Self = Self(4);
    /// The server refuses for policy reasons.
    pub const REFUSED: Self = Self(5);
    /// The server is not authoritative for the zone, or does not take a signature (RFC 8945 section 5.2).
    pub const NOTAUTH: Self = Self(9);
    /// The EDNS version is not supported (RFC 6891 9).
    pub const BADVERS: Self = Self(16);
}

/// The opcode of NOTIFY, in its place among the flags (RFC 1996 section 3.1).
pub const OPCODE_NOTIFY: u16 = 4 << 11;

impl Flags {
    /// The message is a response.
    pub const QR: u16 = 0x8000;
    /// The answer is authoritative.
    pub const AA: u16 = 0x0400;
    /// The message was truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// The answer was validated (RFC 4035 3.2.3).
    pub const AD: u16 = 0x0020;
    /// Checking is disabled (RFC 4035 3.2.2).
    pub const CD: u16 = 0x0010;
    /// The bits of the opcode.
    pub const OPCODE: u16 = 0x7800;
    /// The bits of the response code.
    pub const RCODE: u16 = 0x000F;

    /// True when every bit of `mask` is set.
    #[inline]
    pub fn has(self, mask: u16) -> bool {
        self.0 & mask == mask
    }

    /// The lower four bits of the response code.
    #[inline]
    pub fn rcode(self) -> Rcode {
        Rcode(self.0 & Self::RCODE)
    }
}
