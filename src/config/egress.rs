//! Owns the keys of `[egress]`: what DNS cannot hold back, in the kernel. Never touches the kernel.

use std::time::Duration;

use super::value::Span;
use crate::document::Section;
use crate::egress::{AtStop, Config, Hook, Without};
use crate::policy::Prefix;

/// Shortest time between two rounds of questions.
const SHORTEST: Duration = Duration::from_secs(1);

/// Longest time that a permission outlives its answer.
const LONGEST_GRACE: Duration = Duration::from_secs(86_400);

/// The settings; `None` unless `nftables` is on.
pub(super) fn read(section: &mut Section<'_>) -> Option<Config> {
    const PREFIXES: &str = "write addresses or prefixes such as \"10.0.0.53\" or \"198.51.100.0/24\"";
    let is_on = section.boolean("nftables").unwrap_or(false);
    let mut config = Config::default();
    if let Some(hooks) = section.strings("hooks") {
        config.hooks.clear();
        for hook in &hooks {
            match [Hook::Forward, Hook::Output].into_iter().find(|known| known.as_str() == hook.value) {
                Some(known) => config.hooks.push(known),
                None => section.problem(
                    hook.place.clone(),
                    format!("there is no hook `{}`", hook.value),
                    "use \"forward\" for what this host forwards, \"output\" for what it sends itself",
                ),
            }
        }
        config.hooks.sort();
        config.hooks.dedup();
        if hooks.is_empty() {
            let hint = "name \"forward\", \"output\" or both; for no table at all leave `nftables` out";
            section.problem(section.place(), "`hooks` names none", hint);
        }
    }
    if let Some(word) = section.string("at_stop") {
        match word.value.as_str() {
            "keep" => config.at_stop = AtStop::Keep,
            "remove" => config.at_stop = AtStop::Remove,
            other => {
                let what = format!("`at_stop` is \"{other}\"");
                section.problem(word.place, what, "use \"keep\" or \"remove\"");
            }
        }
    }
    let hint = "write a duration such as \"15m\", or \"0\" for never";
    if let Some(span) = section.parsed::<Span>("resolve", hint) {
        let every = span.value.0;
        if !every.is_zero() && every < SHORTEST {
            let what = "`resolve` is less than a second";
            section.problem(span.place, what, "upstreams would be asked without end");
        } else {
            config.resolve = (!every.is_zero()).then_some(every);
        }
    }
    config.bypass = section.boolean("bypass").unwrap_or(config.bypass);
    let mut prefixes = |key| {
        let found = section.parsed_list::<Prefix>(key, PREFIXES);
        found.into_iter().flatten().map(|prefix| prefix.value).collect()
    };
    config.resolvers = prefixes("resolvers");
    config.shared = prefixes("shared");
    config.nflog_group = section.integer("nflog_group", 0..65_536).map(|group| group as u16);
    permissions(section, &mut config);
    if let Some(program) = section.string("program") {
        config.program = program.value.into();
    }
    is_on.then_some(config)
}

/// What groups may connect to that are held to what they resolved.
fn permissions(section: &mut Section<'_>, config: &mut Config) {
    let hint = "write a duration such as \"2m\"";
    if let Some(span) = section.parsed::<Span>("grace", hint) {
        if span.value.0 > LONGEST_GRACE {
            section.problem(span.place, "`grace` is more than a day", hint);
        } else {
            config.grace = span.value.0;
        }
    }
    if let Some(pairs) = section.integer("pairs", 1..10_000_001) {
        config.pairs = pairs as usize;
    }
    config.dual_stack = section.boolean("dual_stack").unwrap_or(config.dual_stack);
    for (key, place) in [("when_full", &mut config.when_full), ("on_failure", &mut config.on_failure)] {
        let hint = "closed has the answer fail, open lets it go and opens the way";
        if let Some(word) = section.parsed::<Without>(key, hint) {
            *place = word.value;
        }
    }
}
