//! Owns what the policy says of its rules, in the language of the page: how far a rule reaches, and whether it counts. Never says more than the policy
//! does; an id or a moment among its words stays as it is.

use std::borrow::Cow;

use crate::report::render::Language;

/// The policy's words in [`crate::policy::Explanation`], where they stand alone.
const WORDS: [(&str, &str); 15] = [
    ("address", "adresse"),
    ("below", "en dessous"),
    ("catalog", "catalogue"),
    ("client", "client"),
    ("counts", "compte"),
    ("decides", "décide"),
    ("enforce", "appliqué"),
    ("name", "nom"),
    ("name and below", "nom et en dessous"),
    ("name server", "serveur de noms"),
    ("name servers below", "serveurs de noms en dessous"),
    ("only rehearsed", "seulement à l’essai"),
    ("not enforced for this group", "pas appliqué pour ce groupe"),
    ("shadow", "à l’essai"),
    ("always answered negatively", "réponse toujours négative"),
];

/// What stands around ids and moments.
const AROUND: [(&str, &str); 8] = [
    ("counts ", "compte "),
    ("only rehearsed ", "seulement à l’essai "),
    ("under ", "en vertu de "),
    ("by exception ", "par l’exception "),
    (" no longer in force since ", " n’est plus en vigueur depuis "),
    (" enforces it only with `extended`", " ne l’applique qu’avec `extended`"),
    (" not yet in force, until ", " n’est pas encore en vigueur, jusqu’au "),
    (" is switched off", " est désactivé"),
];

/// What the policy said, as people say it.
pub(super) fn spoken(language: Language, said: &str) -> Cow<'_, str> {
    const PASSTHRU: &str = " (passthru)";
    if language == Language::En {
        return said.into();
    }
    let (alone, passthru) = said.strip_suffix(PASSTHRU).map_or((said, ""), |alone| (alone, PASSTHRU));
    if let Some((_, french)) = WORDS.iter().find(|(english, _)| *english == alone) {
        return format!("{french}{passthru}").into();
    }
    let mut out = said.to_owned();
    for (english, french) in AROUND {
        out = out.replace(english, french);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_moments_stay_as_they_are() {
        let french = |said| spoken(Language::Fr, said).into_owned();
        assert_eq!(french("decides (passthru)"), "décide (passthru)");
        assert_eq!(french("counts under ca-tiktok"), "compte en vertu de ca-tiktok");
        assert_eq!(french("only rehearsed by exception x"), "seulement à l’essai par l’exception x");
        assert_eq!(
            french("a not yet in force, until 2027-01-01; b is switched off"),
            "a n’est pas encore en vigueur, jusqu’au 2027-01-01; b est désactivé"
        );
        assert_eq!(french("a-source"), "a-source");
        assert_eq!(spoken(Language::En, "name and below"), "name and below");
    }

    /// A word that the policy is given later has its French here.
    #[test]
    fn every_reach_and_standing_of_the_policy_is_spoken() {
        const POLICY: &str = include_str!("../../policy/explain.rs");
        let spoken = |word: &str| {
            WORDS.iter().any(|(english, _)| *english == word)
                || AROUND.iter().any(|(english, _)| word.contains(english))
        };
        // What stands behind each arm of a match over `of`.
        let arms = |of: &'static str, begin: &'static str| {
            POLICY.split(of).skip(1).filter_map(move |arm| {
                let (variant, rest) = arm.split_once(begin)?;
                let is_arm = variant.chars().all(|letter| letter.is_alphanumeric() || "()".contains(letter));
                rest.split('"').next().filter(|_| is_arm)
            })
        };
        let reaches: Vec<&str> = arms("Reach::", " => \"").collect();
        let reasons: Vec<&str> = arms("IdleReason::", " => format!(\"{what}").collect();
        assert_eq!((reaches.len(), reasons.len()), (5, 4), "{reaches:?} {reasons:?}");
        for reach in reaches {
            assert!(spoken(reach), "{reach}");
        }
        for reason in reasons {
            assert!(spoken(&format!(" {}", reason.replace("{at}", ""))), "{reason}");
        }
    }
}
