//! Owns the lists that firewalls fetch by themselves: a name or a prefix a line, and nothing else. Never decides.

use super::entry::Entry;
use super::format::{Lines, is_for_below, is_for_name};
use crate::policy::Prefix;

/// `name` for itself, `*.name` for what is below.
pub(super) fn domain(entry: Entry<'_>, lines: &mut Lines) -> bool {
    let name = entry.name;
    if is_for_name(entry) {
        lines.line(format_args!("{name}"));
    }
    if is_for_below(entry) {
        lines.line(format_args!("*.{name}"));
    }
    true
}

/// A prefix a line.
pub(super) fn addresses(networks: &[Prefix], lines: &mut Lines) {
    for network in networks {
        lines.line(format_args!("{network}"));
    }
}
