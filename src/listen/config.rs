//! Owns the limits of connections, with their defaults and the reason for each. Plain values.

use std::time::Duration;

/// Limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections at once. Default 10,000: an idle one costs some 10 KiB with TLS, so that all together hold 100 MB.
    pub connections: usize,
    /// Connections at once from one address, or one /64 of IPv6. Default 1000, so that no client takes all places, and many
    /// devices behind one address, or a forwarder, still find theirs.
    pub connections_of_client: usize,
    /// Time without a query after which a connection is closed, and within which a message must come whole; also what clients
    /// are told when they ask (RFC 7828). Default 10 s (RFC 7766 6.2.3 asks for "a few seconds"); inside of TLS 30 s, as a new
    /// handshake costs more than the memory.
    pub idle: Duration,
    /// Time after which a connection is closed whatever it does. Default an hour, so that no client holds a place for ever; it simply
    /// connects again.
    pub lifetime: Duration,
    /// Queries of one connection that may wait for their replies. Default 100; reading stops until some are answered.
    pub pipeline: usize,
    /// Time within which a client must take a reply. Default 5 s.
    pub write: Duration,
    /// Time within which a handshake must be done. Default 5 s: two lost packets on a slow line.
    pub handshake: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_of_client: 1000,
            idle: Duration::from_secs(10),
            lifetime: Duration::from_secs(3600),
            pipeline: 100,
            write: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// The defaults inside of TLS.
    pub fn encrypted() -> Self {
        Self { idle: Duration::from_secs(30), ..Self::default() }
    }
}
