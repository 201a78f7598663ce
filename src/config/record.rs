//! Owns the settings of what happens around a change: who must agree to it, and how much of the past and of what was asked
//! is kept.

use std::time::Duration;

use super::value::{Size, Span};
use crate::document::{Located, Section};
use crate::reload::{ApprovalConfig, Approver, HistoryConfig};
use crate::sources::Key;
use crate::telemetry;

const DURATION: &str = "write a duration such as \"24h\"";
const SIZE: &str = "write a size such as \"1GiB\", or \"0KiB\"";

/// The two-person rule's part of `[guard]`.
pub(super) fn approval(section: &mut Section<'_>, config: &mut ApprovalConfig) {
    let approvals = section.integer("approvals", 0..10);
    let written = section.strings("approvers").unwrap_or_default();
    for text in &written {
        if let Some(approver) = approver(section, text, config) {
            config.approvers.push(approver);
        }
    }
    if let Some(approvals) = approvals {
        config.approvals = approvals as usize;
    }
    if config.approvals > written.len() {
        section.problem(
            section.place(),
            format!(
                "`approvals` is {}, and {} could approve: no change could ever be published",
                config.approvals,
                match written.len() {
                    0 => "nobody".to_owned(),
                    1 => "only one key".to_owned(),
                    keys => format!("only {keys} keys"),
                }
            ),
            "name their minisign public keys in `approvers`",
        );
    }
    for (key, span) in
        [("approval_expiry", &mut config.expiry), ("break_glass_longest", &mut config.break_glass_longest)]
    {
        if let Some(found) = section.parsed::<Span>(key, DURATION) {
            if found.value.0 < Duration::from_secs(60) {
                section.problem(found.place, format!("`{key}` is shorter than a minute"), DURATION);
            }
            *span = found.value.0;
        }
    }
}

/// `RWQ… who`: a minisign public key, and whose it is.
fn approver(section: &Section<'_>, text: &Located<String>, config: &ApprovalConfig) -> Option<Approver> {
    let (key, name) = text.value.trim().split_once(char::is_whitespace).unwrap_or((&text.value, ""));
    let key: Key = match key.parse() {
        Ok(key) => key,
        Err(error) => {
            let hint = "write the line of minisign.pub that begins with RW, then a space and whose it is";
            section.problem(text.place.clone(), format!("`approvers` holds \"{key}\": {error}"), hint);
            return None;
        }
    };
    if config.approvers.iter().any(|known| known.key == key) {
        section.problem(
            text.place.clone(),
            format!("the key {key} stands twice in `approvers`"),
            "one person is one key; two keys of one person are not two persons",
        );
        return None;
    }
    let name = match name.trim() {
        "" => key.to_string().chars().take(12).collect(),
        name => name.to_owned(),
    };
    Some(Approver { key, name })
}

/// `[history]`.
pub(super) fn history(section: &mut Section<'_>, config: &mut HistoryConfig) {
    if let Some(keep) = section.integer("keep", 2..1001) {
        config.keep = keep as usize;
    }
    if let Some(span) = section.parsed::<Span>("keep_for", "write a duration such as \"30d\"") {
        config.keep_for = span.value.0;
    }
    for (key, bytes) in [("disk", &mut config.disk), ("memory", &mut config.memory)] {
        if let Some(size) = section.parsed::<Size>(key, SIZE) {
            *bytes = size.value.0;
        }
    }
}

/// `[last_day]`. What is kept of clients is by default what the query log keeps, if there is one.
pub(super) fn last_day(
    section: &mut Section<'_>,
    log: &telemetry::Config,
    config: &mut telemetry::LastDayConfig,
) {
    config.clients = log.clients().unwrap_or(config.clients);
    if let Some(names) = section.integer("names", 0..65_537) {
        config.names = names as usize;
    }
    const CLIENTS: &str = "use one of full, prefix, none";
    match section.parsed::<telemetry::Clients>("clients", CLIENTS) {
        Some(Located { value: telemetry::Clients::Hmac, place }) => {
            section.problem(place, "`clients` is \"hmac\": not supported yet", CLIENTS);
        }
        Some(clients) => config.clients = clients.value,
        None => {}
    }
}
