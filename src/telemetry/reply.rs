//! Owns what a record keeps of a reply: its first bytes, as many as most replies have. Never reads them.

/// The beginning of a reply, and who said so.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'r> {
    pub(super) bytes: &'r [u8],
    pub(super) origin: Origin,
    pub(super) is_cut: bool,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Kept, and fresh.
    Cache,
    /// The policy's own, whatever would have been answered.
    Policy,
    /// This resolver itself: the operator's records, names of its own, failures.
    Resolver,
    /// Kept past its TTL.
    Stale,
    /// Asked for because of the query: of the upstream with that number, where one answered.
    Upstream(Option<u16>),
}

impl<'r> Reply<'r> {
    /// Bytes kept: what the smallest of all limits lets through (RFC 1035 section 2.3.4), and nine of ten replies need no more. A query's thread copies
    /// this much at most.
    pub const MOST: usize = 512;

    /// The beginning of a finished reply.
    pub fn new(message: &'r [u8], origin: Origin) -> Self {
        let kept = message.get(..Self::MOST);
        Self {
            bytes: kept.unwrap_or(message),
            origin,
            is_cut: kept.is_some_and(|kept| kept.len() < message.len()),
        }
    }

    /// What is kept of its bytes.
    pub fn bytes(self) -> &'r [u8] {
        self.bytes
    }

    /// True when it was longer.
    pub fn is_cut(self) -> bool {
        self.is_cut
    }

    /// Where it comes from.
    pub fn origin(self) -> Origin {
        self.origin
    }

    /// The number of the upstream that answered, if one did.
    pub fn upstream(self) -> Option<u16> {
        match self.origin {
            Origin::Upstream(number) => number,
            Origin::Cache | Origin::Policy | Origin::Resolver | Origin::Stale => None,
        }
    }
}

impl Origin {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Policy => "policy",
            Self::Resolver => "resolver",
            Self::Stale => "stale",
            Self::Upstream(_) => "upstream",
        }
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
