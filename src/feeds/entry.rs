//! Owns one line's worth of a policy: a name, how far it reaches, and whether it is blocked or let pass. Never renders.

use crate::dns::CanonicalName;
use crate::policy::Reach;

/// What is said of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'n> {
    /// The name as text, without the last dot: letters, digits, `-`, `_` and dots.
    pub(super) name: &'n str,
    pub(super) reach: Reach,
    /// It is let pass, and not blocked.
    pub(super) passes: bool,
}

/// A name whose last label comes first, so that what is below another name stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Reversed(Box<[u8]>);

impl Reversed {
    /// `None` for a name that not every format can carry: with other bytes than hosts' names have.
    pub(super) fn of(name: &CanonicalName) -> Option<Self> {
        let mut bytes = Vec::with_capacity(name.as_wire().len());
        for label in (0..name.label_count()).rev().map(|at| name.label(at)) {
            if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return None;
            }
            bytes.extend_from_slice(label);
            bytes.push(0);
        }
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// True when it stands below `other`, or is it.
    pub(super) fn is_at_or_below(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The names between it and `other`, which is above it.
    pub(super) fn between(&self, other: &Self) -> impl Iterator<Item = Self> {
        let ends = self.0.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
        let inner = ends.filter(move |end| *end > other.0.len() && *end < self.0.len());
        inner.filter_map(|end| Some(Self(self.0.get(..end)?.into())))
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let labels = self.0.split(|byte| *byte == 0).filter(|label| !label.is_empty()).rev();
        labels.map(String::from_utf8_lossy).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;

    fn reversed(name: &str) -> Option<Reversed> {
        Reversed::of(&CanonicalName::from(&name.parse::<Name>().unwrap()))
    }

    #[test]
    fn names_stand_behind_those_above_them_and_odd_ones_nowhere() {
        let [com, chat, www] = ["com", "wechat.com", "a.www.wechat.com"].map(|name| reversed(name).unwrap());
        assert!(com < chat && chat < www);
        assert!(www.is_at_or_below(&chat) && !reversed("xwechat.com").unwrap().is_at_or_below(&chat));
        assert_eq!(www.text(), "a.www.wechat.com");
        assert_eq!(www.between(&chat).collect::<Vec<_>>(), [reversed("www.wechat.com").unwrap()]);
        for odd in [r"a\032b.example", r#"a\".example"#, r"a\;b.example", "*.example", "."] {
            assert_eq!(reversed(odd), None, "{odd}");
        }
    }
}
