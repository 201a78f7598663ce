//! Words of the protocol: bytes in, bytes out. Owns names, questions, the walk over a message, EDNS, extended errors,
//! the writing of replies, and of records for people. Never reads a socket, a clock or the policy, and never panics on foreign bytes.
#![warn(clippy::indexing_slicing)]

mod canonical;
mod cookie;
mod ede;
mod edns;
mod framing;
mod lifetime;
mod message;
mod name;
mod nat64;
mod presentation;
mod question;
mod rdata;
mod reply;
mod serial;
mod service;
pub mod tsig;
mod types;

pub use canonical::CanonicalName;
pub use cookie::{COOKIE, Cookies, Shown};
pub use ede::ExtendedError;
pub use edns::{Edns, OPT_FIXED, Requested, append_option, padded_query};
pub use framing::framed;
pub use lifetime::{aged, lifetime};
pub use message::{Message, Record, Records, Section, write_counts};
pub use name::{Name, NameError};
pub use nat64::Nat64;
pub use presentation::{ADDRESS_TEXT, put_address, write_address};
pub use question::{Malformed, Query, Unanswerable, write_query};
pub use reply::{Full, ReplyWriter, Soa};
pub use serial::is_newer_serial;
pub use service::{Parameters, without_ech};
pub use types::{Class, Flags, OPCODE_NOTIFY, Rcode, RecordType};

/// The largest message any transport carries (RFC 1035 4.2.2).
pub const MAX_MESSAGE: usize = 65_535;

/// The largest name in wire form (RFC 1035 2.3.4).
pub const MAX_NAME: usize = 255;

/// The fixed header of every message (RFC 1035 4.1.1).
pub const HEADER: usize = 12;
