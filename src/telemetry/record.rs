//! Owns the record of one query for the log: ids only, and never text but the name that was asked and the reply's bytes.

use std::net::IpAddr;
use std::num::NonZero;
use std::str::FromStr;

use super::reply::Reply;
use crate::dns::{CanonicalName, RecordType};
use crate::policy::{Cause, IdentityNumber};

/// One query worth a line in the log, while its name and its reply stand where they were handed over.
pub type Record<'r> = Entry<&'r CanonicalName, Reply<'r>>;

/// The same with whatever stands for its name and its reply meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Entry<N, R> {
    /// When it was answered: wall time in milliseconds since 1970.
    pub time_ms: i64,
    /// Who asked.
    pub client: IpAddr,
    /// Who that is beside the address.
    pub identity: IdentityNumber,
    /// How it came: `udp`, `dot`, `doh`, `doq`, `tcp`; of a connection that nobody asked a question for, `proxy` or [`Record::EGRESS`].
    pub transport: &'static str,
    /// What was asked.
    pub name: N,
    /// QTYPE.
    pub record_type: RecordType,
    /// What the policy said.
    pub decision: Decision,
    /// Why; ids of [`Entry::generation`]. `None` when no rule was met.
    pub cause: Option<Cause>,
    /// The generation that decided.
    pub generation: u64,
    /// Microseconds from the query to its reply, where it waited for others to answer; what waited less than can be said waited one.
    pub took_us: Option<NonZero<u32>>,
    /// What was answered; `None` when nothing was, and of connections.
    pub reply: Option<R>,
}

impl<N, R> Entry<N, R> {
    /// The same with another name and another reply.
    pub fn with<M, S>(&self, name: M, reply: Option<S>) -> Entry<M, S> {
        Entry {
            time_ms: self.time_ms,
            client: self.client,
            identity: self.identity,
            transport: self.transport,
            name,
            record_type: self.record_type,
            decision: self.decision,
            cause: self.cause,
            generation: self.generation,
            took_us: self.took_us,
            reply,
        }
    }
}

impl Record<'_> {
    /// The transport of a connection that the kernel held: its name is that of the address.
    pub const EGRESS: &'static str = "egress";

    /// When it was asked: wall time in milliseconds since 1970.
    pub(super) fn asked_ms(&self) -> i64 {
        self.time_ms.saturating_sub(self.took_us.map_or(0, |took| i64::from(took.get() / 1000)))
    }
}

/// What the policy said, as the log shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// No rule was met.
    Allowed,
    /// Blocked.
    Blocked,
    /// Let pass by an exception or a passthru rule.
    Permitted,
    /// No rule was met, but the answer leads inside.
    Refused,
    /// Would have been blocked.
    Shadow,
}

impl Decision {
    /// True when the client did not get what it asked for.
    pub fn is_denial(self) -> bool {
        matches!(self, Self::Blocked | Self::Refused)
    }

    /// All.
    pub const ALL: [Self; 5] = [Self::Allowed, Self::Blocked, Self::Permitted, Self::Refused, Self::Shadow];

    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::Permitted => "permitted",
            Self::Refused => "refused",
            Self::Shadow => "shadow",
        }
    }
}

impl FromStr for Decision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|decision| decision.as_str() == text);
        found.ok_or_else(|| format!("use one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

#[cfg(test)]
impl Record<'static> {
    /// A blocked query for `www.wechat.com`, for tests to change.
    pub(crate) fn example() -> Self {
        use std::sync::LazyLock;
        static NAME: LazyLock<CanonicalName> =
            LazyLock::new(|| CanonicalName::read(b"\x03www\x06wechat\x03com\0").unwrap());
        Self {
            time_ms: 1_698_638_400_123,
            client: [10, 20, 0, 7].into(),
            identity: IdentityNumber::default(),
            transport: "udp",
            name: &NAME,
            record_type: RecordType::A,
            decision: Decision::Blocked,
            cause: None,
            generation: 7,
            took_us: None,
            reply: None,
        }
    }
}
