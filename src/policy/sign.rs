//! Owns the sign: a name that an app asks for by itself while it is installed, whoever looks at the screen. Reports read signs; never
//! decides a query, and is no rule.

use std::fmt;
use std::str::FromStr;

use crate::dns::Name;

/// Names that an app asks for by itself: one name, all below one (`*.geo.example`), or those whose first label begins or ends in a certain way
/// (`frontier*.example`, `*long.example`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sign {
    /// How the first label begins and ends; `None` when it is written out.
    around: Option<(String, String)>,
    /// All of the name, or what follows the first label, in small letters.
    rest: String,
}

impl Sign {
    /// True when `name`, in small letters and without a dot at its end, is one of these names.
    pub fn meets(&self, name: &str) -> bool {
        let Some((before, after)) = &self.around else { return name == self.rest };
        let front = name.strip_suffix(self.rest.as_str()).and_then(|front| front.strip_suffix('.'));
        let Some(front) = front else { return false };
        if before.is_empty() && after.is_empty() {
            return !front.is_empty();
        }
        // One label, with something or nothing where the star stands.
        let between = front.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
        between.is_some_and(|between| !between.contains('.'))
    }
}

impl FromStr for Sign {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write a name, with at most one `*`, in its first label";
        let text = text.to_ascii_lowercase();
        let is_name =
            |name: &str| name.parse::<Name>().is_ok() && !name.contains('*') && !name.ends_with('.');
        let Some((before, rest)) = text.split_once('*') else {
            return if is_name(&text) { Ok(Self { around: None, rest: text }) } else { Err(WRONG) };
        };
        let (after, rest) = rest.split_once('.').ok_or(WRONG)?;
        let is_sound = is_name(rest) && rest.contains('.') && !before.contains('.');
        let is_label = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_sound || !is_label(before) || !is_label(after) {
            return Err(WRONG);
        }
        Ok(Self { around: Some((before.to_owned(), after.to_owned())), rest: rest.to_owned() })
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.around {
            Some((before, after)) => write!(f, "{before}*{after}.{}", self.rest),
            None => f.write_str(&self.rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_meets_the_names_it_says_and_no_others() {
        let meets = |sign: &str, name: &str| sign.parse::<Sign>().unwrap().meets(name);
        assert!(
            meets("log.tiktokv.com", "log.tiktokv.com") && !meets("log.tiktokv.com", "a.log.tiktokv.com")
        );
        assert!(meets("frontier*.tiktokv.com", "frontier16-normal.tiktokv.com"));
        assert!(meets("frontier*.tiktokv.com", "frontier.tiktokv.com"));
        assert!(!meets("frontier*.tiktokv.com", "frontier.a.tiktokv.com"));
        assert!(!meets("frontier*.tiktokv.com", "xfrontier.tiktokv.com"));
        assert!(!meets("log*.tiktokv.com", "log.xtiktokv.com"));
        assert!(meets("*long.weixin.qq.com", "szlong.weixin.qq.com"));
        assert!(!meets("*long.weixin.qq.com", "long.a.weixin.qq.com"));
        assert!(meets("*.geo.kaspersky.com", "a.b.geo.kaspersky.com"));
        assert!(!meets("*.geo.kaspersky.com", "geo.kaspersky.com"));
        assert!(!meets("a*a.example.com", "a.example.com"), "no letter serves twice");
        for wrong in ["", "*", "*.com", "a.*.example.com", "a*b*.example.com", "*..com", "a b*.example.com"] {
            assert!(wrong.parse::<Sign>().is_err(), "{wrong}");
        }
        assert_eq!("FRONTIER*.tiktokv.com".parse::<Sign>().unwrap().to_string(), "frontier*.tiktokv.com");
    }
}
