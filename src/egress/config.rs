//! Owns what an operator says about egress: whether the kernel holds the policy's addresses, where, and what is never held. Never touches the
//! kernel.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::dns::Nat64;
use crate::policy::Prefix;

/// Settings of the kernel's table; without them there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which packets are looked at. Default those that are forwarded: a gateway's clients, and not the gateway itself.
    pub hooks: Vec<Hook>,
    /// What becomes of the table when the process stops. Default it stays: a restart must not open a gap.
    pub at_stop: AtStop,
    /// How often the banned names are resolved; `None` for never. Default 15 minutes: services move slowly, and an address holds for twice
    /// as long as this.
    pub resolve: Option<Duration>,
    /// The prefix of this network's translator (RFC 6052): an address of IPv4 is held as what stands for it there too. Default none.
    pub nat64: Option<Nat64>,
    /// Whether groups that ban anything may not reach public encrypted resolvers, or anybody at port 853. Default yes: an app whose names
    /// are blocked asks those next.
    pub bypass: bool,
    /// This network's own resolvers, which others may ask in private, and which may ask public ones. Default none but the upstreams.
    pub resolvers: Vec<Prefix>,
    /// Networks that are never held, in addition to what the catalog says is shared. Default none.
    pub shared: Vec<Prefix>,
    /// The group of the kernel's log that held packets are sent to, for the query log. Default none.
    pub nflog_group: Option<u16>,
    /// How long a client may begin connections to an address that it was answered, after the answer's own life. Default 2 minutes: programs
    /// keep what they resolved for a minute whatever its TTL says, and ask for it a moment before they use it.
    pub grace: Duration,
    /// Most pairs of a client and an address that it was answered. Default 131,072: a thousand clients with a hundred addresses each, in some
    /// 30 MiB of the kernel's memory and the process's.
    pub pairs: usize,
    /// What becomes of an answer when there is no room for its pairs. Default it fails: otherwise one client could open the way for all.
    pub when_full: Without,
    /// What becomes of an answer when the kernel refuses its pairs, or takes too long. Default it goes out: DNS outlives the packet filter.
    pub on_failure: Without,
    /// Whether an address that was answered over the other family is open to all clients of its own: the kernel cannot tell which of them
    /// asked. Default no: such a client falls back to the family that it asks over.
    pub dual_stack: bool,
    /// The program that talks to the kernel. Default `/usr/sbin/nft`, where distributions have it.
    pub program: PathBuf,
}

/// Packets that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Those that this host forwards.
    Forward,
    /// Those that it sends itself.
    Output,
}

/// What becomes of the table at a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtStop {
    /// It stays and holds.
    Keep,
    /// It goes.
    Remove,
}

/// What becomes of an answer that nothing can be permitted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// It fails.
    Closed,
    /// It goes out, and the way is opened as far as that can be done.
    Open,
}

impl FromStr for Without {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "closed" => Ok(Self::Closed),
            "open" => Ok(Self::Open),
            _ => Err("use \"closed\" or \"open\""),
        }
    }
}

impl Hook {
    /// The word in a configuration, and the kernel's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Output => "output",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hooks: vec![Hook::Forward],
            at_stop: AtStop::Keep,
            resolve: Some(Duration::from_secs(900)),
            nat64: None,
            bypass: true,
            resolvers: Vec::new(),
            shared: Vec::new(),
            nflog_group: None,
            grace: Duration::from_secs(120),
            pairs: 131_072,
            when_full: Without::Closed,
            on_failure: Without::Open,
            dual_stack: false,
            program: PathBuf::from("/usr/sbin/nft"),
        }
    }
}
