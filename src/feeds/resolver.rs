//! Owns the lists that other resolvers load: Unbound, dnsmasq, BIND and its kin by response policy zone, hosts files. Never decides.

use super::entry::Entry;
use super::format::{Lines, is_for_below, is_for_name};
use crate::policy::{Reach, Snapshot};

/// A zone that is not there, or where it stands inside of one, one that is resolved. A name that is blocked alone exists and has nothing but a text,
/// so that what is below it is resolved.
pub(super) fn unbound(entry: Entry<'_>, lines: &mut Lines) -> bool {
    let name = entry.name;
    match (entry.reach, entry.passes) {
        (Reach::Subtree, false) => lines.line(format_args!(" local-zone: \"{name}.\" always_nxdomain")),
        // What is let pass below a blocked name is the same, said of the other part.
        (Reach::Exact, false) | (Reach::Below, true) => {
            lines.line(format_args!(" local-zone: \"{name}.\" transparent"));
            lines.line(format_args!(" local-data: '{name}. 60 IN TXT \"blocked\"'"));
        }
        (Reach::Exact | Reach::Subtree, true) => {
            lines.line(format_args!(" local-zone: \"{name}.\" always_transparent"));
        }
        (Reach::Below, false) | (Reach::NameServer | Reach::NameServersBelow, _) => return false,
    }
    // A name that passes alone takes what is below it along.
    (entry.reach, entry.passes) != (Reach::Exact, true)
}

/// A domain that is known here and empty, or one that others are asked for; there is no word for a part of one. Where a part passes, all does.
pub(super) fn dnsmasq(entry: Entry<'_>, lines: &mut Lines) -> bool {
    let name = entry.name;
    match (entry.reach, entry.passes) {
        (Reach::Subtree, false) => lines.line(format_args!("local=/{name}/")),
        (_, true) => lines.line(format_args!("server=/{name}/#")),
        (_, false) => return false,
    }
    entry.reach == Reach::Subtree
}

/// The unspecified address for the name.
pub(super) fn hosts(entry: Entry<'_>, lines: &mut Lines) -> bool {
    let name = entry.name;
    lines.line(format_args!("0.0.0.0 {name}"));
    lines.line(format_args!(":: {name}"));
    true
}

/// The records of a name, and of its wildcard. A name alone gets NODATA, because names below it may live (RFC 8020).
pub(super) fn rpz(entry: Entry<'_>, lines: &mut Lines) -> bool {
    let name = entry.name;
    let target = match (entry.reach, entry.passes) {
        (_, true) => "rpz-passthru.",
        (Reach::Exact, false) => "*.",
        (_, false) => ".",
    };
    if is_for_name(entry) {
        lines.line(format_args!("{name} CNAME {target}"));
    }
    if is_for_below(entry) {
        lines.line(format_args!("*.{name} CNAME {target}"));
    }
    true
}

/// The apex of a response policy zone. Its serial is the policy's, so that equal lists have equal ones.
pub(super) fn rpz_head(snapshot: &Snapshot) -> String {
    let digest = snapshot.digest();
    let serial = digest.get(..8).and_then(|text| u32::from_str_radix(text, 16).ok()).unwrap_or(1).max(1);
    let ttl = snapshot.ttl();
    format!(
        "$TTL {ttl}\n@ SOA localhost. hostmaster.localhost. {serial} 3600 600 86400 {ttl}\n@ NS localhost.\n"
    )
}
