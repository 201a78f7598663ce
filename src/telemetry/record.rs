//! Owns the record of one query for the log: fixed size, ids only. Never holds text but the name that was asked, and the
//! reply's bytes.

use std::net::IpAddr;

use super::reply::Reply;
use crate::dns::{CanonicalName, RecordType};
use crate::policy::{Cause, IdentityNumber};

/// One query worth a line in the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Wall time in milliseconds since 1970.
    pub time_ms: i64,
    /// Who asked.
    pub client: IpAddr,
    /// Who that is beside the address.
    pub identity: IdentityNumber,
    /// `udp`, `tcp`, `dot`, `doh`, `doq`, or [`Self::EGRESS`] for a connection that nobody asked a question for.
    pub transport: &'static str,
    /// What was asked.
    pub name: CanonicalName,
    /// QTYPE.
    pub record_type: RecordType,
    /// What the policy said.
    pub decision: Decision,
    /// Why; ids of [`Record::generation`]. `None` when no rule was met.
    pub cause: Option<Cause>,
    /// The generation that decided.
    pub generation: u64,
    /// What was answered; `None` when nothing was, and of connections.
    pub reply: Option<Reply>,
}

impl Record {
    /// The transport of a connection that the kernel held: its name is that of the address.
    pub const EGRESS: &'static str = "egress";
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of it is the reply's: a record that points to it would need memory on a query's thread. A writer's queue is 4096 of these, 4 MiB.
    #[test]
    fn a_record_stays_within_sixteen_cache_lines() {
        assert!(size_of::<Record>() <= 1024, "{}", size_of::<Record>());
    }
}
