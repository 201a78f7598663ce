//! Owns the verdict: what the policy says of one name or address for one group, and its cause. A plain value that reply, log,
//! metric, page and explanation read. Never looks anything up by itself.

/// What the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No rule is met.
    Allow,
    /// A name whose negative answer keeps devices on this resolver; answered so for everybody.
    Canary {
        /// Labels of the name in front of the canary's.
        depth: u8,
    },
    /// Blocked.
    Deny(Cause),
    /// Allowed by an exception or a passthru rule; later names of the answer are not screened.
    Permit(Cause),
    /// Would be blocked; counted and logged, and answered as if it were allowed.
    Shadow(Cause),
}

/// Why. Ids only; the snapshot that gave the verdict turns them into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cause {
    /// The rule that was met; its number among those with this trigger.
    pub rule: u32,
    /// The kind of that rule: its list, its reach and its action.
    pub kind: u32,
    /// The group of the client.
    pub group: u16,
    /// Which of the group's enforcements made the rule count.
    pub enforcement: u16,
    /// What met the rule.
    pub trigger: Trigger,
    /// Labels in front of the listed name in the name that met the rule; zero when it is the listed name itself.
    pub depth: u8,
    /// True when the rule leaves names below the listed one alone, so that NXDOMAIN would claim too much (RFC 8020).
    pub exact: bool,
}

/// What met a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trigger {
    /// The client's own address.
    ClientAddress,
    /// A connection to an address, without a question.
    Egress,
    /// The address of a name server, of a zone that the question's name or one of the answer's is in.
    NameServerAddress,
    /// The name of such a server.
    NameServerName,
    /// The name in the question.
    QueryName,
    /// An A or AAAA record in the answer.
    ResponseAddress,
    /// A CNAME, DNAME, SVCB or HTTPS target in the answer.
    ResponseName,
}

impl Cause {
    /// True when NXDOMAIN claims no more than the rule says: names below the question's name are denied too (RFC 8020).
    /// What an answer led to says nothing of names below the one that was asked; who asks is denied all of them.
    pub fn speaks_for_subtree(&self) -> bool {
        match self.trigger {
            Trigger::ClientAddress => true,
            Trigger::QueryName => !self.exact,
            Trigger::Egress
            | Trigger::NameServerAddress
            | Trigger::NameServerName
            | Trigger::ResponseAddress
            | Trigger::ResponseName => false,
        }
    }
}

impl Trigger {
    /// The word used in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientAddress => "client-address",
            Self::Egress => "egress",
            Self::NameServerAddress => "name-server-address",
            Self::NameServerName => "name-server-name",
            Self::QueryName => "query-name",
            Self::ResponseAddress => "response-address",
            Self::ResponseName => "response-name",
        }
    }
}
