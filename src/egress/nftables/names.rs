//! Owns what things are called in the kernel's table, and which counter counts what. Never writes a script.

use crate::egress::plan::{Group, Part, Plan};
use crate::policy::Mode;

/// Which way a packet goes, as seen from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::egress) enum Way {
    /// From what is banned to a client.
    In,
    /// From a client to what is banned.
    Out,
}

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::egress) struct Counted {
    pub(in crate::egress) app: String,
    pub(in crate::egress) group: String,
    pub(in crate::egress) direction: &'static str,
    pub(in crate::egress) mode: &'static str,
}

impl Way {
    pub(in crate::egress) const ALL: [Self; 2] = [Self::Out, Self::In];

    /// The word in labels and names.
    pub(in crate::egress) fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// The counter, and the chain, of one part for one group and one way.
pub(super) fn held(group: &Group, part: &Part, way: Way) -> String {
    format!("{}.{}.{}", group.ident, part.ident, way.as_str())
}

/// Each counter's name and what it counts.
pub(in crate::egress) fn counters(plan: &Plan) -> Vec<(String, Counted)> {
    let mut counters = Vec::new();
    for group in &plan.groups {
        for (part, mode) in &group.holds {
            let Some(part) = plan.parts.get(*part) else { continue };
            for way in Way::ALL {
                let counted = Counted {
                    app: part.app.clone(),
                    group: group.name.clone(),
                    direction: way.as_str(),
                    mode: mode_word(*mode),
                };
                counters.push((counter(group, part, way), counted));
            }
        }
    }
    counters
}

/// Names begin with a letter there.
pub(super) fn counter(group: &Group, part: &Part, way: Way) -> String {
    format!("count.{}", held(group, part, way))
}

fn mode_word(mode: Mode) -> &'static str {
    if mode == Mode::Enforce { "enforce" } else { "shadow" }
}
