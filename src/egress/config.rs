//! Owns what an operator says about egress: whether the kernel holds the policy's addresses, where, and what is never held. Never touches the
//! kernel.

use std::path::PathBuf;
use std::time::Duration;

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
    /// Whether groups that ban anything may not reach public encrypted resolvers, or anybody at port 853. Default yes: an app whose names
    /// are blocked asks those next.
    pub bypass: bool,
    /// This network's own resolvers, which others may ask in private, and which may ask public ones. Default none but the upstreams.
    pub resolvers: Vec<Prefix>,
    /// Networks that are never held, in addition to what the catalog says is shared. Default none.
    pub shared: Vec<Prefix>,
    /// The group of the kernel's log that held packets are sent to, for the query log. Default none.
    pub nflog_group: Option<u16>,
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
            bypass: true,
            resolvers: Vec::new(),
            shared: Vec::new(),
            nflog_group: None,
            program: PathBuf::from("/usr/sbin/nft"),
        }
    }
}
