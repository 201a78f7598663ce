//! DNS over HTTPS (RFC 8484), by HTTP/2 and HTTP/1.1: who may come and for how long (connection), what a request asks for and what
//! a reply looks like (request), which HTTP/3 shares. Never parses more of a query than its length.

mod accept;
mod http1;
mod http2;
mod request;

pub(super) use accept::{Place, serve};
pub use request::{Asked, asked};
pub(super) use request::{answer, is_known, refusal};
