//! Owns the rule: which names it meets and what is done then, in the vocabulary of response policy zones.
//! Never knows who a rule applies to; groups do.
//!
//! A rule is met by a **trigger**: the name in the question (*query name*), or a name in the answer's chain of CNAME,
//! DNAME, SVCB and HTTPS targets (*response name*), or the name of a server of a zone that they are in (*name server name*); rules about
//! addresses are in `address`. What follows is an **action**.
//! A rule without an action of its own takes the policy's.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::dns::{Name, RecordType};

/// One line of a list or one name of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The listed name.
    pub name: Name,
    /// Which names it meets.
    pub reach: Reach,
    /// What is done; `None` takes the group's or the policy's action. On the heap, as nearly no rule of a long list has one.
    pub action: Option<Box<Action>>,
    /// Line in the source, from 1.
    pub line: u32,
}

/// Which names a listed name meets. Comparison is on label boundaries and ignores case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Only names below it (`*.name` in a response policy zone).
    Below,
    /// Only the name itself.
    Exact,
    /// The name and everything below it.
    Subtree,
    /// No name that is asked for, but those in zones that a name server of the listed name serves (`name.rpz-nsdname`).
    NameServer,
    /// The same of name servers below it (`*.name.rpz-nsdname`).
    NameServersBelow,
}

impl Rule {
    /// True for about one rule in a thousand, by its name alone: a run of rules ends with it. Lists are compared run by run;
    /// wherever a line comes or goes, all runs but those around it stay what they were.
    #[inline]
    pub fn ends_run(&self) -> bool {
        /// One in this many; a power of two. Runs of a thousand rules are read and hashed within a millisecond.
        const LENGTH: u64 = 1024;
        let wire = self.name.as_wire();
        let word = |at: usize| {
            let bytes = wire.get(at..).and_then(<[u8]>::first_chunk::<8>);
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let mixed = [word(0), word(8), word(wire.len().saturating_sub(8))].into_iter();
        // Odd constants with well-mixed bits: the fractional part of the golden ratio, and of the square root of 3.
        let mixed = mixed.fold(wire.len() as u64, |mixed, word| {
            (mixed.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        (mixed ^ mixed >> 32).wrapping_mul(0xBB67_AE85_84CA_A73B) >> 40 & (LENGTH - 1) == 0
    }
}

impl Reach {
    /// Whether a name with `depth` labels in front of the listed one is met.
    #[inline]
    pub fn meets(self, depth: usize) -> bool {
        match self {
            Self::Below => depth > 0,
            Self::Exact => depth == 0,
            Self::Subtree => true,
            Self::NameServer | Self::NameServersBelow => false,
        }
    }

    /// The same of a name server's name.
    #[inline]
    pub fn meets_name_server(self, depth: usize) -> bool {
        match self {
            Self::Below | Self::Exact | Self::Subtree => false,
            Self::NameServer => depth == 0,
            Self::NameServersBelow => depth > 0,
        }
    }

    /// True of rules about the servers of zones.
    pub fn is_about_name_servers(self) -> bool {
        matches!(self, Self::NameServer | Self::NameServersBelow)
    }
}

/// What is done with a query that meets a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// No reply at all.
    Drop,
    /// Records of the list's own.
    Local(Vec<LocalRecord>),
    /// The name exists, the type does not.
    Nodata,
    /// The name does not exist.
    Nxdomain,
    /// Resolve as if no later rule were met.
    Passthru,
    /// Answer with a CNAME to another name and that name's records. Where the other name begins with `*`, the question's
    /// name stands in its place.
    Redirect(Name),
    /// RCODE 5.
    Refused,
    /// The operator's own address for A and AAAA, NODATA for other types.
    Sinkhole,
    /// A truncated reply over UDP, so that the client asks again over TCP.
    TcpOnly,
}

/// What is made of the actions that a list names, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Override {
    /// Its rules are only rehearsed.
    Disabled,
    /// They are left as given.
    #[default]
    Given,
    /// Every rule, whatever it names, does this.
    Imposed(Action),
}

/// A record of a list's own, answered for the name that met the rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalRecord {
    /// TYPE.
    pub record_type: RecordType,
    /// TTL in seconds; `None` takes the policy's.
    pub ttl: Option<u32>,
    /// RDATA in uncompressed wire form.
    pub rdata: Box<[u8]>,
}

/// The kinds of action, as settings, metric labels and logs name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ActionKind {
    /// See [`Action::Drop`].
    Drop,
    /// See [`Action::Local`].
    Local,
    /// See [`Action::Nodata`].
    Nodata,
    /// See [`Action::Nxdomain`].
    Nxdomain,
    /// See [`Action::Passthru`].
    Passthru,
    /// See [`Action::Redirect`].
    Redirect,
    /// See [`Action::Refused`].
    Refused,
    /// See [`Action::Sinkhole`].
    Sinkhole,
    /// See [`Action::TcpOnly`].
    TcpOnly,
}

impl LocalRecord {
    /// True when a question for `asked` gets this record.
    pub fn answers(&self, asked: RecordType) -> bool {
        self.record_type == asked || asked == RecordType::ANY
    }
}

impl Action {
    /// The kind.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Drop => ActionKind::Drop,
            Self::Local(_) => ActionKind::Local,
            Self::Nodata => ActionKind::Nodata,
            Self::Nxdomain => ActionKind::Nxdomain,
            Self::Passthru => ActionKind::Passthru,
            Self::Redirect(_) => ActionKind::Redirect,
            Self::Refused => ActionKind::Refused,
            Self::Sinkhole => ActionKind::Sinkhole,
            Self::TcpOnly => ActionKind::TcpOnly,
        }
    }
}

impl ActionKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Drop,
        Self::Local,
        Self::Nodata,
        Self::Nxdomain,
        Self::Passthru,
        Self::Redirect,
        Self::Refused,
        Self::Sinkhole,
        Self::TcpOnly,
    ];

    /// The word used in settings, labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Local => "local",
            Self::Nodata => "nodata",
            Self::Nxdomain => "nxdomain",
            Self::Passthru => "passthru",
            Self::Redirect => "redirect",
            Self::Refused => "refused",
            Self::Sinkhole => "sinkhole",
            Self::TcpOnly => "tcp-only",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = &'static str;

    /// The actions a setting may name: those that need nothing else written.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "drop" => Self::Drop,
            "nodata" => Self::Nodata,
            "nxdomain" => Self::Nxdomain,
            "refused" => Self::Refused,
            "sinkhole" => Self::Sinkhole,
            "tcp-only" => Self::TcpOnly,
            _ => return Err("not an action"),
        })
    }
}

impl FromStr for Override {
    type Err = &'static str;

    /// As a response policy zone's `policy` is written for BIND.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "disabled" => Self::Disabled,
            "given" => Self::Given,
            "passthru" => Self::Imposed(Action::Passthru),
            "drop" | "nodata" | "nxdomain" | "tcp-only" => Self::Imposed(text.parse()?),
            _ => {
                let target = text.strip_prefix("cname ").map(str::trim).ok_or("not an override")?;
                let target = target.parse().map_err(|_| "`cname` needs a domain name")?;
                Self::Imposed(Action::Redirect(target))
            }
        })
    }
}

impl LocalRecord {
    /// An A record.
    pub fn ipv4(address: Ipv4Addr, ttl: Option<u32>) -> Self {
        Self { record_type: RecordType::A, ttl, rdata: address.octets().into() }
    }

    /// An AAAA record.
    pub fn ipv6(address: Ipv6Addr, ttl: Option<u32>) -> Self {
        Self { record_type: RecordType::AAAA, ttl, rdata: address.octets().into() }
    }
}
