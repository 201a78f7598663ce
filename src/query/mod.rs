//! DATA PLANE: request, engine (THE PATH), admit, special, sinkhole, pending.

use std::net::IpAddr;

/// Answers queries for one listening thread or one connection. Not shared: each has its own.
#[derive(Debug, Default)]
pub struct Worker {}

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's address; IPv4-mapped IPv6 addresses already turned into IPv4.
    pub address: IpAddr,
    /// How the query came.
    pub transport: Transport,
}

/// How a query came and its reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// One datagram each way; replies are cut at the client's size.
    Udp,
    /// A stream of length-prefixed messages.
    Tcp,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing will be sent.
    Drop,
    /// The sink made by `later` will be called once, from another thread.
    Later,
    /// The reply is in the buffer; its length in bytes.
    Reply(usize),
}

/// Sends one finished reply; dropped without a call when there will be none.
pub type Sink = Box<dyn FnOnce(&[u8]) + Send>;

impl Worker {
    /// Loads the policy and reads the clock, once for the queries up to [`Worker::end_batch`].
    pub fn begin_batch(&mut self) {}

    /// Answers one query into `reply`. `later` makes the sink; it is called only when the answer must be fetched.
    pub fn handle(
        &mut self,
        packet: &[u8],
        from: Asker,
        reply: &mut [u8],
        later: impl FnOnce() -> Sink,
    ) -> Outcome {
        let _unused = (packet, from, reply, later);
        Outcome::Drop
    }

    /// Accounts for the batch.
    pub fn end_batch(&mut self) {}
}
