//! The file on disk, versioned; composes each room's own `Config`. Owns the keys and their meaning; defaults and their
//! reasons are the rooms'. Never opens a socket or a list.

mod admin;
mod boot;
mod egress;
mod identity;
mod limits;
mod listener;
mod local;
mod oidc;
mod policy;
mod proxy;
mod querylog;
mod record;
mod report;
mod source;
mod transfer;
mod upstream;
mod value;
mod zone;

use crate::document;
use crate::policy::Outbound;
use crate::problem::Problem;
use crate::reload::Plan;

pub use boot::Boot;

/// Everything a configuration file says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What lives as long as the process.
    pub boot: Boot,
    /// What lives as long as a generation.
    pub plan: Plan,
}

/// Reads a configuration, version 1. Returns what it could make of it and every problem found; the settings may be used
/// only when none of the problems is an error.
pub fn read(file: &str, text: &str) -> (Settings, Vec<Problem>) {
    document::read(file, text, |top| {
        let (boot, (plan, keys)) = (boot::read(top), policy::read(top));
        let guarded = plan.policy.groups.iter().filter(|group| group.outbound != Outbound::Off);
        for group in guarded.filter(|_| boot.egress.is_none()) {
            let what =
                format!("group `{}` says `egress`, and there is no packet filter to hold it", group.name);
            top.problem(group.place.clone(), what, "set nftables = true under [egress]");
        }
        let zone = zone::read(&mut top.section("zone"), &plan, &keys);
        Settings { boot: Boot { zone, ..boot }, plan }
    })
}
