//! Owns the settings that live as long as a generation: groups, exceptions, sources, answers, the guard. `state`, the
//! one boot setting of `[policy]`, is read here too and handed up.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::value::{Growth, Percent, Span};
use super::{identity, local, record, source, transfer};
use crate::dns::Name;
use crate::document::{Item, Located, Section};
use crate::policy::{
    Action, Config, Destination, Ech, Enforce, Exception, Group, Mode, Otherwise, Outbound, Prefix,
    Rebinding, When,
};
use crate::reload::{CatalogOrigin, GuardConfig, Limits, Plan};
use crate::sources::TsigKey;

const MODES: &str = "enforce blocks and counts, shadow only counts, off does neither";
const ACTIONS: &str = "use one of nxdomain, nodata, refused, sinkhole, drop, tcp-only";
const PREFIXES: &str = "write prefixes such as \"10.20.0.0/16\"";
const NAMES: &str = "write domain names";
const OUTBOUND: &str =
    "resolved-only keeps clients from what they did not resolve, shadow only counts, off does neither";
const ECH: &str = "strip takes the keys for an encrypted ClientHello out of answers, keep leaves them";
const REACH: &str =
    "write networks, services, or both, such as \"10.0.0.0/8\", \"udp/123\" or \"192.0.2.7 tcp/22\"";

/// The plan, and the keys that transfers may be signed with.
pub(super) fn read(top: &mut Section<'_>) -> (Plan, Vec<TsigKey>) {
    let mut plan = Plan { policy: Config::default(), ..Plan::default() };
    {
        let mut access = top.section("access");
        if let Some(allow) = access.parsed_list::<Prefix>("allow", PREFIXES) {
            plan.policy.allow = values(allow);
        }
        if let Some(otherwise) = access.parsed::<Otherwise>("otherwise", "") {
            plan.policy.otherwise = otherwise.value;
        }
    }
    plan.policy.local = Arc::new(local::read(top));
    rebinding(&mut top.section("rebinding"), &mut plan.policy.rebinding);
    let mut policy = top.section("policy");
    answers(&mut policy, &mut plan.policy);
    if let Some(directory) = policy.string("blocklists") {
        plan.catalog = CatalogOrigin::Directory(directory.value.into());
    }
    plan.bundle = source::bundle(&mut policy);
    plan.policy.groups =
        policy.sections("group").into_iter().filter_map(|mut section| group(&mut section)).collect();
    plan.policy.exceptions =
        policy.sections("exception").into_iter().filter_map(|mut section| exception(&mut section)).collect();
    let keys = transfer::keys(&mut policy);
    for mut section in policy.sections("source") {
        let limits = limits(&mut section);
        let Some(source) = source::read(&mut section, &keys) else { continue };
        if limits != Limits::default() {
            plan.guard.own.insert(source.name.clone(), limits);
        }
        plan.sources.push(source);
    }
    {
        let mut section = top.section("guard");
        guard(&mut section, &mut plan.guard);
        record::approval(&mut section, &mut plan.approval);
    }
    record::history(&mut top.section("history"), &mut plan.history);
    (plan, keys)
}

fn values<T>(list: Vec<Located<T>>) -> Vec<T> {
    list.into_iter().map(|found| found.value).collect()
}

fn answers(policy: &mut Section<'_>, config: &mut Config) {
    // Read by the boot settings; known here so that it is no unknown key.
    policy.string("state");
    if let Some(action) = policy.parsed::<Action>("action", ACTIONS) {
        config.action = action.value;
    }
    if let Some(ttl) = policy.parsed::<Span>("ttl", "write a duration such as \"60s\"") {
        config.ttl = ttl.value.0.as_secs().min(86_400) as u32;
    }
    if let Some(contact) = policy.string("contact") {
        config.contact = contact.value;
    }
    if let Some(block) = policy.boolean("block_ds") {
        config.block_ds = block;
    }
    if let Some(zone) = policy.string("time_zone") {
        match TimeZone::get(&zone.value) {
            Ok(found) => config.time_zone = found,
            Err(_) => policy.problem(
                zone.place,
                format!("`{}` is not a time zone", zone.value),
                "name an IANA zone",
            ),
        }
    }
    let mut sinkhole = policy.section("sinkhole");
    if let Some(address) = sinkhole.parsed::<Ipv4Addr>("ipv4", "write an IPv4 address") {
        config.sinkhole_ipv4 = address.value;
    }
    if let Some(address) = sinkhole.parsed::<Ipv6Addr>("ipv6", "write an IPv6 address") {
        config.sinkhole_ipv6 = address.value;
    }
}

fn rebinding(section: &mut Section<'_>, config: &mut Rebinding) {
    config.refuse_private = section.boolean("refuse_private").unwrap_or(false);
    if let Some(zones) = section.parsed_list::<Name>("allow", NAMES) {
        config.allow = values(zones);
    }
    if let Some(prefixes) = section.parsed_list::<Prefix>("addresses", PREFIXES) {
        config.addresses = values(prefixes);
    }
    if !config.refuse_private && section.is_present() {
        section.warning(section.place(), "nothing is refused", "set `refuse_private = true`");
    }
}

fn group(section: &mut Section<'_>) -> Option<Group> {
    let place = section.place();
    let name = section.required("name");
    let clients = section.parsed_list::<Prefix>("clients", PREFIXES).map(values).unwrap_or_default();
    let identities = identity::identities(section);
    let mode = section.parsed::<Mode>("mode", MODES).map_or(Mode::Enforce, |mode| mode.value);
    let extended = section.boolean("extended").unwrap_or(false);
    let action = section.parsed::<Action>("action", ACTIONS).map(|action| action.value);
    let outbound = section.parsed::<Outbound>("egress", OUTBOUND).map_or(Outbound::Off, |word| word.value);
    let ech = section.parsed::<Ech>("ech", ECH).map_or(Ech::Keep, |word| word.value);
    let reach = section.parsed_list::<Destination>("reach", REACH).map(values).unwrap_or_default();
    if outbound == Outbound::Off && !reach.is_empty() {
        section.warning(place.clone(), "`reach` without `egress` changes nothing", OUTBOUND);
    }
    let enforce = section.items("enforce").map(|items| items.into_iter().filter_map(enforce).collect());
    let name = name?.value;
    Some(Group { name, clients, identities, enforce, mode, extended, action, outbound, reach, ech, place })
}

fn enforce(item: Item<'_>) -> Option<Enforce> {
    match item {
        Item::Text(text) => {
            Some(Enforce { id: text.value, mode: Mode::Enforce, extended: false, place: text.place })
        }
        Item::Section(mut section) => {
            let mode = section.parsed::<Mode>("mode", MODES).map_or(Mode::Enforce, |mode| mode.value);
            let extended = section.boolean("extended").unwrap_or(false);
            let id = section.required("id")?;
            Some(Enforce { id: id.value, mode, extended, place: id.place })
        }
    }
}

fn exception(section: &mut Section<'_>) -> Option<Exception> {
    const DATES: &str = "write a day such as \"2027-03-31\", or a time with its offset";
    let place = section.place();
    let id = section.required("id");
    let group = section.string("group").map(|group| group.value);
    let apps = section.strings("apps").map(values).unwrap_or_default();
    let names = section.parsed_list::<Name>("names", NAMES).map(values).unwrap_or_default();
    let from = section.parsed::<When>("from", DATES).map(|when| when.value);
    section.required("until");
    let until = section.parsed::<When>("until", DATES);
    let break_glass = section.boolean("break_glass").unwrap_or(false);
    let approved_by = section.required("approved_by");
    let reason = section.required("reason");
    Some(Exception {
        id: id?.value,
        group,
        apps,
        names,
        from,
        until: until?.value,
        break_glass,
        approved_by: approved_by?.value,
        reason: reason?.value,
        place,
    })
}

fn limits(section: &mut Section<'_>) -> Limits {
    let max_shrink = section.parsed::<Percent>("max_shrink", "write a share such as \"10%\"");
    let max_growth = section.parsed::<Growth>("max_growth", "write a share such as \"200%\"");
    Limits {
        max_shrink: max_shrink.map(|share| share.value.0),
        max_growth: max_growth.map(|share| share.value.0),
    }
}

fn guard(section: &mut Section<'_>, config: &mut GuardConfig) {
    let limits = limits(section);
    config.max_shrink = limits.max_shrink.unwrap_or(config.max_shrink);
    config.max_growth = limits.max_growth.unwrap_or(config.max_growth);
    if let Some(names) = section.parsed_list::<Name>("must_block", NAMES) {
        config.must_block = values(names);
    }
    if let Some(names) = section.parsed_list::<Name>("must_resolve", NAMES) {
        config.must_resolve = values(names);
    }
    if let Some(names) = section.integer("most_asked", 0..10_001) {
        config.most_asked = names as usize;
    }
    if let Some(questions) = section.integer("most_asked_at_least", 1..1_000_000_001) {
        config.most_asked_at_least = questions;
    }
}
