//! Owns what the front ends and the data plane say to each other about one query. Plain values; no behaviour.

use std::net::IpAddr;

use crate::policy::IdentityNumber;

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's address; IPv4-mapped IPv6 addresses already turned into IPv4.
    pub address: IpAddr,
    /// How the query came.
    pub transport: Transport,
    /// Who it is beside its address.
    pub identity: IdentityNumber,
}

/// How a query came and its reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Requests of HTTPS (RFC 8484).
    Doh,
    /// A stream of QUIC for each query (RFC 9250).
    Doq,
    /// A stream of length-prefixed messages inside of TLS (RFC 7858).
    Dot,
    /// A stream of length-prefixed messages.
    Tcp,
    /// One datagram each way; replies are cut at the client's size.
    Udp,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing will be sent.
    Drop,
    /// The sink made by `later` will be called once, from another thread, or dropped when there is no reply.
    Later,
    /// The reply is in the buffer; its length in bytes.
    Reply(usize),
}

/// Sends one finished reply; dropped without a call when there will be none.
pub type Sink = Box<dyn FnOnce(&[u8]) + Send>;

impl Outcome {
    /// The reply in its buffer, if there is one.
    pub fn of(self, buffer: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Reply(length) => buffer.get(..length),
            Self::Drop | Self::Later => None,
        }
    }
}

impl Asker {
    /// Somebody known by nothing but its address.
    pub const fn at(address: IpAddr, transport: Transport) -> Self {
        Self { address, transport, identity: IdentityNumber::NONE }
    }
}

impl Transport {
    /// True when the client's address is proved, and replies of any size fit: whatever is not UDP.
    pub fn is_connected(self) -> bool {
        self != Self::Udp
    }

    /// The word in labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Doh => "doh",
            Self::Doq => "doq",
            Self::Dot => "dot",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
