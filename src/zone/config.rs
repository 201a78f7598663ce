//! Owns what an operator says about the zone: its name, whose policy it holds, where it is served, to whom. Never opens a
//! socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::dns::Name;
use crate::policy::Prefix;
use crate::sources::TsigKey;

/// Settings of the zone; without them there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The zone's name. Default `rpz.interdict`: in no tree that anybody delegates, and short, as every listed name has to fit
    /// in front of it.
    pub name: Name,
    /// Where it is served, over UDP and TCP. Default 127.0.0.1:5300: a resolver on this host, until an operator says otherwise.
    pub listen: Vec<SocketAddr>,
    /// The group whose enforced rules it holds. Default `default`: what counts for everybody who is in no other group.
    pub group: String,
    /// Who may transfer it. Default loopback: a list of bans and of exceptions to them is nobody else's business.
    pub allow: Vec<Prefix>,
    /// The key that every request must be signed with. Default none.
    pub tsig: Option<TsigKey>,
    /// Secondaries that are told of a new serial. Default none: they learn of it by their own refresh.
    pub notify: Vec<SocketAddr>,
    /// Differences to earlier versions that are kept for incremental transfer. Default 20, and never fewer: a secondary that
    /// was away over the changes of a bad day still need not fetch everything.
    pub history: usize,
}

impl Config {
    /// Fewest differences that are kept.
    pub const SHORTEST_HISTORY: usize = 20;
    /// Most differences that are kept: each costs memory, and a secondary that is further behind fetches everything.
    pub const LONGEST_HISTORY: usize = 10_000;

    /// True when the address may transfer the zone.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow.iter().any(|prefix| prefix.holds(address))
    }
}

impl Default for Config {
    fn default() -> Self {
        let name = Name::from_wire(b"\x03rpz\x09interdict\0").unwrap_or_else(|_| Name::root());
        Self {
            name,
            listen: vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 5300)],
            group: "default".to_owned(),
            allow: ["127.0.0.0/8", "::1/128"].iter().filter_map(|prefix| prefix.parse().ok()).collect(),
            tsig: None,
            notify: Vec::new(),
            history: Self::SHORTEST_HISTORY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_may_transfer_by_default() {
        let config = Config::default();
        assert_eq!(config.name.to_string(), "rpz.interdict");
        for (address, admitted) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true)]
                .into_iter()
                .chain([("10.0.0.1", false), ("::2", false), ("128.0.0.0", false)])
        {
            assert_eq!(config.admits(address.parse().unwrap()), admitted, "{address}");
        }
    }
}
