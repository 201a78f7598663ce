//! Zones from their primaries: AXFR (RFC 5936) and IXFR (RFC 1995) over TCP or TLS (XoT, RFC 9103), signed with TSIG
//! (RFC 8945) where a key is configured. Owns the way from an address to the whole zone as text that `formats` reads:
//! request, connection, the reading of the stream, differences applied to the zone at hand. Never keeps a zone, never
//! judges its rules, never asks over UDP.
//!
//! The text is canonical: `$ORIGIN`, the SOA record, then one record a line, sorted. Whichever way a version of a zone
//! came, its text is the same on every host, and a difference is lines taken out and lines put in. It is in pieces, so that a
//! difference costs what it changes.

mod address;
mod config;
mod connection;
mod exchange;
mod record;
mod refused;
mod soa;
mod stream;
mod zone;

pub use address::{ZoneAddress, ZoneAddressError};
pub use config::{Secret, Transfer, TsigKey};
pub(super) use exchange::{Asked, fetch};
pub use soa::Soa;
pub use stream::{Differences, Fault, Reader, Received, Request};
pub(super) use zone::head;
