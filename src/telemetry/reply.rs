//! Owns what a record keeps of a reply: its first bytes, as many as most replies have, in memory of the record's own. Never reads them.

use std::fmt;

/// What was answered, and who said so.
#[derive(Clone)]
pub struct Reply {
    bytes: [u8; Self::MOST],
    length: u16,
    origin: Origin,
    is_cut: bool,
}

/// The same of a reply that goes out, so that what is handed on at once is not copied before.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'r> {
    bytes: &'r [u8],
    origin: Origin,
    is_cut: bool,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    /// Kept, and fresh.
    Cache,
    /// The policy's own, whatever would have been answered.
    Policy,
    /// This resolver itself: the operator's records, names of its own, failures.
    Resolver,
    /// Kept past its TTL.
    Stale,
    /// Asked for because of the query.
    Upstream,
}

impl Reply {
    /// Bytes kept: what the smallest of all limits lets through (RFC 1035 section 2.3.4), and nine of ten replies need no more. A query's thread copies
    /// this much and takes no memory for it.
    pub const MOST: usize = 512;

    /// The beginning of a finished reply.
    pub fn new(message: &[u8], origin: Origin) -> Self {
        let Sent { bytes: sent, origin, is_cut } = Sent::new(message, origin);
        let mut bytes = [0; Self::MOST];
        bytes.iter_mut().zip(sent).for_each(|(to, from)| *to = *from);
        Self { bytes, length: sent.len() as u16, origin, is_cut }
    }

    /// Becomes one that was kept before, whose bytes `fill` puts there.
    pub(super) fn keep_over(
        &mut self,
        length: u16,
        origin: Origin,
        is_cut: bool,
        fill: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Option<()> {
        (self.length, self.origin, self.is_cut) = (length, origin, is_cut);
        fill(&mut self.bytes)
    }

    /// What is kept of its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }

    /// True when it was longer.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl<'r> Sent<'r> {
    /// The beginning of a finished reply.
    pub fn new(message: &'r [u8], origin: Origin) -> Self {
        let kept = message.get(..Reply::MOST);
        Self { bytes: kept.unwrap_or(message), origin, is_cut: message.len() > Reply::MOST }
    }

    /// What is kept of its bytes.
    pub(super) fn bytes(self) -> &'r [u8] {
        self.bytes
    }

    /// True when it was longer.
    pub(super) fn is_cut(self) -> bool {
        self.is_cut
    }

    /// Where it comes from.
    pub(super) fn origin(self) -> Origin {
        self.origin
    }
}

/// A reply, wherever its bytes are.
pub trait AsSent {
    /// What is kept of it.
    fn as_sent(&self) -> Sent<'_>;
}

impl AsSent for Reply {
    fn as_sent(&self) -> Sent<'_> {
        Sent { bytes: self.bytes(), origin: self.origin, is_cut: self.is_cut }
    }
}

impl AsSent for Sent<'_> {
    fn as_sent(&self) -> Sent<'_> {
        *self
    }
}

impl Origin {
    /// All of them, each where its number says.
    pub(super) const ALL: [Self; 5] =
        [Self::Cache, Self::Policy, Self::Resolver, Self::Stale, Self::Upstream];

    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Policy => "policy",
            Self::Resolver => "resolver",
            Self::Stale => "stale",
            Self::Upstream => "upstream",
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("length", &self.length)
            .field("origin", &self.origin)
            .field("is_cut", &self.is_cut)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reply_is_cut_and_says_so() {
        let whole = Reply::new(&[7; Reply::MOST], Origin::Cache);
        assert_eq!((whole.bytes(), whole.is_cut()), (&[7; Reply::MOST][..], false));
        let cut = Reply::new(&[7; Reply::MOST + 1], Origin::Cache);
        assert_eq!((cut.bytes().len(), cut.is_cut()), (Reply::MOST, true));
        assert_eq!(Reply::new(b"", Origin::Cache).bytes(), b"");
    }
}
