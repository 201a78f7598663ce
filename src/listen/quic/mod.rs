//! DNS over QUIC (RFC 9250): a query a stream, each answered when its answer is ready. Owns connections up to their first stream (accept)
//! and what a stream carries (exchange). Beside `resolve`, the door of `quinn`, which speaks QUIC itself.

mod accept;
mod exchange;

pub(super) use accept::{Port, serve};
