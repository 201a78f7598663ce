//! DNS over QUIC (RFC 9250), a query a stream, and over HTTP/3 (RFC 9114), a request a stream; each answered when its answer is ready. Owns
//! connections up to their first stream (accept), and what a stream carries (exchange, requests). Beside `resolve`, the door of `quinn`, which speaks QUIC itself.

mod accept;
mod exchange;
mod requests;

pub(super) use accept::{Port, serve};
