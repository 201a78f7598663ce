//! Owns the words of the block page, in English, in French, and in what an operator adds by a file; and which of them a reader is shown. Never
//! knows a page.

use std::collections::BTreeMap;
use std::path::Path;

use crate::document;
use crate::problem::{Place, Problem};
use crate::sources::{CONFIG_FILE, read_file};

/// The words of one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Words {
    /// Its tag (RFC 5646), in small letters: `en`, `pt-br`.
    pub(super) language: String,
    texts: BTreeMap<&'static str, String>,
}

/// Every text of a page, with its words in English and French.
const TEXTS: [(&str, &str, &str); 21] = [
    ("name", "English", "Français"),
    ("blocked", "Blocked", "Accès bloqué"),
    (
        "why",
        "This network does not allow what you asked for. Nothing is wrong with your device.",
        "Ce réseau n’autorise pas ce que vous avez demandé. Votre appareil n’est pas en cause.",
    ),
    ("asked", "Asked for", "Adresse demandée"),
    ("app", "App", "Application"),
    ("instrument", "Act", "Acte"),
    ("authority", "Authority", "Autorité"),
    ("citation", "Where it is written", "Où c’est écrit"),
    ("since", "In force since", "En vigueur depuis"),
    ("contact", "Whom to ask", "À qui s’adresser"),
    ("reference", "Reference", "Numéro de référence"),
    (
        "ask",
        "If you need it for your work, give the reference to whoever runs this network.",
        "Si vous en avez besoin pour votre travail, donnez ce numéro à l’équipe responsable du réseau.",
    ),
    ("free", "Not blocked", "Accès non bloqué"),
    (
        "free_why",
        "Nothing in force blocks this name. Your device may remember an older answer: try again in a minute.",
        "Rien de ce qui est en vigueur ne bloque ce nom. Votre appareil garde peut-être une ancienne réponse : réessayez dans une minute.",
    ),
    ("not_connected", "Not connected", "Connexion non établie"),
    (
        "unreachable",
        "The server has no address, or it does not answer.",
        "Le serveur n’a pas d’adresse ou ne répond pas.",
    ),
    (
        "mismatched",
        "The name that was asked for does not lead to the address that was connected to.",
        "Le nom demandé ne mène pas à l’adresse à laquelle l’appareil s’est connecté.",
    ),
    (
        "inside",
        "This proxy does not connect to that address and port.",
        "Ce serveur mandataire ne se connecte pas à cette adresse et à ce port.",
    ),
    (
        "unidentified",
        "This network asks for your name and password, or your device’s certificate, and knows neither of what it was shown.",
        "Ce réseau demande votre nom et votre mot de passe, ou le certificat de votre appareil, et ne reconnaît pas ce qui lui a été présenté.",
    ),
    (
        "attempts",
        "Too many wrong passwords came from your address. Wait five minutes, then try again.",
        "Trop de mots de passe erronés sont venus de votre adresse. Attendez cinq minutes, puis réessayez.",
    ),
    ("not_understood", "The request cannot be read.", "La demande n’a pas pu être lue."),
];
/// Texts that came later: a file without them is whole, and has them in English.
const LATER: [&str; 2] = ["unidentified", "attempts"];
/// Longest text of a file, in bytes: the whole page stays below 10 KiB.
const LONGEST: usize = 300;

impl Words {
    /// English and French.
    pub(in crate::proxy) fn built_in() -> Vec<Self> {
        let (english, french) =
            TEXTS.map(|(key, english, french)| ((key, english), (key, french))).into_iter().unzip();
        let of = |language: &str, texts: Vec<(&'static str, &str)>| Self {
            language: language.to_owned(),
            texts: texts.into_iter().map(|(key, text)| (key, text.to_owned())).collect(),
        };
        vec![of("en", english), of("fr", french)]
    }

    /// Whether both are of one language.
    pub(in crate::proxy) fn is_of(&self, other: &Self) -> bool {
        self.language == other.language
    }

    /// The words for a text.
    pub(super) fn say(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    /// The words to show to whoever sends `accepts` (`Accept-Language`, RFC 9110 section 12.5.4), or asks for one language by its tag. The first
    /// of `all` for who says nothing that is there.
    pub(super) fn chosen<'w>(all: &'w [Self], asked: Option<&str>, accepts: &str) -> Option<&'w Self> {
        let known = |tag: &str| {
            let tag = tag.to_ascii_lowercase();
            let primary = |tag: &str| tag.split('-').next().unwrap_or("").to_owned();
            let exact = all.iter().find(|words| words.language == tag);
            exact.or_else(|| all.iter().find(|words| primary(&words.language) == primary(&tag)))
        };
        let mut best: Option<(u32, &Self)> = None;
        // A browser sends a handful; whoever sends more has said enough.
        for part in accepts.split(',').take(16) {
            let (tag, weight) = part.split_once(';').unwrap_or((part, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
            let weight = (weight.unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u32;
            let Some(words) = known(tag.trim()).filter(|_| weight > 0) else { continue };
            // Of two that are wanted as much, the first.
            if best.is_none_or(|(most, _)| weight > most) {
                best = Some((weight, words));
            }
        }
        asked.and_then(known).or(best.map(|(_, words)| words)).or(all.first())
    }
}

/// Reads the words of one language from a file: `language`, and every text.
pub(in crate::proxy) fn read_words(path: &Path) -> Result<Words, Vec<Problem>> {
    let raw = read_file(path, CONFIG_FILE).map_err(|error| vec![error.problem(path)])?;
    let text = raw.text().map_err(|problem| vec![problem])?;
    let (words, problems) = document::read(&raw.name, &text, |top| {
        let language = top.required("language").map(|written| written.value.to_ascii_lowercase());
        let mut texts = BTreeMap::new();
        for (key, english, _) in TEXTS {
            let written = if LATER.contains(&key) { top.string(key) } else { top.required(key) };
            let Some(written) = written else {
                texts.insert(key, english.to_owned());
                continue;
            };
            if written.value.is_empty() || written.value.len() > LONGEST {
                let what = format!("`{key}` has {} bytes", written.value.len());
                let hint = format!("write up to {LONGEST} bytes that say: {english}");
                top.problem(written.place, what, hint);
            }
            texts.insert(key, written.value);
        }
        Words { language: language.unwrap_or_default(), texts }
    });
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let is_tag = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= 35
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if is_tag(&words.language) {
        return Ok(words);
    }
    let what = format!("`language` is \"{}\"", words.language);
    Err(vec![Problem::error(Place::file(&raw.name), what, "write a tag such as \"de\" or \"pt-br\"")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_the_language_that_fits_best() {
        let all = Words::built_in();
        let chosen = |asked, accepts| {
            Words::chosen(&all, asked, accepts).map(|words| words.language.as_str()).unwrap()
        };
        for (accepts, expected) in [
            ("", "en"),
            ("fr", "fr"),
            ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
            ("en;q=0.5, fr-CH;q=0.9", "fr"),
            ("de, fr;q=0.1", "fr"),
            ("fr;q=0, en;q=0.1", "en"),
            ("de", "en"),
            ("*;q=0.5", "en"),
            ("fr;q=nonsense", "en"),
            (";;,,q=;-", "en"),
        ] {
            assert_eq!(chosen(None, accepts), expected, "{accepts}");
        }
        assert_eq!((chosen(Some("FR"), "en"), chosen(Some("xx"), "fr")), ("fr", "fr"));
    }

    #[test]
    fn a_language_comes_by_a_file_with_every_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("de.toml");
        let lines: String =
            TEXTS.iter().map(|(key, english, _)| format!("{key} = \"{english} (de)\"\n")).collect();
        std::fs::write(&path, format!("language = \"DE\"\n{lines}")).unwrap();
        let words = read_words(&path).unwrap();
        assert_eq!((words.language.as_str(), words.say("blocked")), ("de", "Blocked (de)"));
        let wrong = [
            (format!("language = \"de\"\n{}", lines.replace("free = ", "fre = ")), "free"),
            (format!("language = \"d e\"\n{lines}"), "d e"),
            (format!("language = \"de\"\n{}", lines.replace("Blocked (de)", &"x".repeat(301))), "301"),
            ("<html>".to_owned(), ""),
        ];
        for (text, named) in wrong {
            std::fs::write(&path, text).unwrap();
            let problems = read_words(&path).unwrap_err();
            assert!(
                problems.iter().any(|problem| problem.to_string().contains(named)),
                "{named}: {problems:?}"
            );
        }
        assert!(read_words(&folder.path().join("missing")).is_err());
    }
}
