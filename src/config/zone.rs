//! Owns the keys of `[zone]`: the policy served as a response policy zone. Never opens a socket.

use std::net::SocketAddr;

use super::transfer;
use crate::dns::Name;
use crate::document::Section;
use crate::policy::Prefix;
use crate::reload::Plan;
use crate::sources::TsigKey;
use crate::zone::Config;

/// Longest name that leaves room for most of what is listed.
const LONGEST_NAME: usize = 100;
/// More would be a list of its own.
const MOST_SECONDARIES: usize = 1000;

/// The zone; `None` without the table.
pub(super) fn read(section: &mut Section<'_>, plan: &Plan, keys: &[TsigKey]) -> Option<Config> {
    const ADDRESSES: &str = "write an address and port such as \"127.0.0.1:5300\"";
    if !section.is_present() {
        return None;
    }
    let mut config = Config::default();
    if let Some(name) = section.parsed::<Name>("name", "write the zone's name, such as \"rpz.interdict.\"") {
        if name.value.label_count() == 0 || name.value.as_wire().len() > LONGEST_NAME {
            let what = format!("`name` is \"{}\"", name.value);
            let hint = format!(
                "write a short name: of the 255 bytes that listed names have, it takes its own; at most {LONGEST_NAME}"
            );
            section.problem(name.place, what, hint);
        } else {
            config.name = name.value;
        }
    }
    if let Some(listen) = section.parsed_list::<SocketAddr>("listen", ADDRESSES) {
        if section.strings("listen").is_some_and(|all| all.is_empty()) {
            section.problem(section.place(), "`listen` names no address", "leave the table out for no zone");
        }
        config.listen = listen.into_iter().map(|address| address.value).collect();
    }
    if let Some(group) = section.string("group") {
        let known = |name: &str| plan.policy.groups.iter().any(|group| group.name == name);
        if group.value != config.group && !known(&group.value) {
            let what = format!("the zone is for the group `{}`, which is not known", group.value);
            section.problem(group.place, what, "name a [[policy.group]], or \"default\"");
        } else {
            config.group = group.value;
        }
    }
    if let Some(allow) = section.parsed_list::<Prefix>("allow", "write prefixes such as \"10.20.0.0/16\"") {
        config.allow = allow.into_iter().map(|prefix| prefix.value).collect();
    }
    if let Some(secondaries) =
        section.parsed_list::<SocketAddr>("notify", "write an address and port such as \"10.0.0.53:53\"")
    {
        if let Some(surplus) = secondaries.get(MOST_SECONDARIES) {
            let what = format!("`notify` names more than {MOST_SECONDARIES} secondaries");
            section.problem(surplus.place.clone(), what, "let one secondary notify the others");
        }
        config.notify = secondaries.into_iter().map(|address| address.value).collect();
        config.notify.sort();
        config.notify.dedup();
    }
    config.tsig = transfer::named(section, keys);
    let history = Config::SHORTEST_HISTORY as u64..Config::LONGEST_HISTORY as u64 + 1;
    if let Some(history) = section.integer("history", history) {
        config.history = history as usize;
    }
    Some(config)
}
