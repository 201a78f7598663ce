//! What a client says before anything is encrypted, read: client_hello, http, http2 (with hpack and huffman), quic (with keys), socks5, and host,
//! the one form that all names come in. Owns bytes in, a name out; bounded. Never waits, never sends, never decides.

mod bytes;
mod client_hello;
mod hello;
mod host;
mod hpack;
mod http;
mod http2;
mod huffman;
mod keys;
mod quic;
mod socks5;

pub use hello::ClientHello;
pub use host::{Authority, Host};
pub use http::{Form, Head};
pub use quic::Initials;
pub use socks5::{Greeting, Request, Shown};

pub use client_hello::read as read_client_hello;
pub use http::read as read_http;
pub use http2::read as read_http2;
pub use socks5::{read_greeting, read_login, read_request};

/// What a look at the beginning of a stream finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// What was looked for.
    Found(T),
    /// It begins as what was looked for, and then breaks its rules: nothing can be said of it, and others may read it otherwise.
    Malformed(&'static str),
    /// Too little to say; a look at fewer bytes than this, counted from the beginning, finds no more.
    More(usize),
    /// Something else.
    Other,
    /// More than is read.
    TooBig,
}

/// Bytes of a beginning that are read, at most: hellos with post-quantum key shares take 2 KiB, heads of HTTP with cookies 8 KiB, and servers
/// refuse what is above 16 KiB themselves.
pub const MOST: usize = 16 << 10;

impl<T> Look<T> {
    /// The same with another's find.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Look<U> {
        match self {
            Self::Found(found) => Look::Found(make(found)),
            Self::Malformed(what) => Look::Malformed(what),
            Self::More(bytes) => Look::More(bytes),
            Self::Other => Look::Other,
            Self::TooBig => Look::TooBig,
        }
    }
}
