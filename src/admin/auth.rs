//! Owns the tokens and the certificates' names that are known, each with what it may do: tokens are kept and compared as digests. Never logs
//! one.

use std::io;
use std::path::{Path, PathBuf};

use super::person::{Person, Roles};
use crate::problem::{Place, Problem};
use crate::sources::{CONFIG_FILE, Digest, read_file, write_whole};

/// Who may do what: the lines of a file, and the machine's own command line.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    file: Option<PathBuf>,
    local: Option<String>,
}

/// File in the state directory that holds the token of the machine's own command line.
pub const LOCAL_TOKEN: &str = "token";

/// What a line knows somebody by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// A name on a certificate that the listener's authority vouches for.
    Certificate(String),
    /// The SHA-256 of a token in lower-case hexadecimal.
    Digest(String),
}

/// How a certificate's name begins in the file.
const CERTIFICATE: &str = "certificate:";

impl Proof {
    fn read(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix(CERTIFICATE) {
            return (!name.is_empty()).then(|| Self::Certificate(name.to_owned()));
        }
        let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then(|| Self::Digest(text.to_ascii_lowercase()))
    }
}

impl Tokens {
    /// Tokens of `file`, one `name sha256-of-the-token roles` a line, or `name certificate:NAME roles`; `#` begins a comment. Without roles
    /// somebody may do everything, as before there were any. The file is read again whenever a token is shown, so that a line
    /// taken out counts at once.
    pub fn of(file: Option<PathBuf>) -> Self {
        Self { file, local: None }
    }

    /// Everything that is wrong with the file.
    pub fn problems(&self) -> Vec<Problem> {
        self.lines().1
    }

    fn lines(&self) -> (Vec<(Proof, Person)>, Vec<Problem>) {
        let Some(path) = &self.file else { return (Vec::new(), Vec::new()) };
        let raw = match read_file(path, CONFIG_FILE) {
            Ok(raw) => raw,
            Err(error) => return (Vec::new(), vec![error.problem(path)]),
        };
        let text = match raw.text() {
            Ok(text) => text,
            Err(problem) => return (Vec::new(), vec![problem]),
        };
        let mut lines = Vec::new();
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or("").trim();
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut complain = |what: &str, hint: &str| {
                problems.push(Problem::error(Place::line(&raw.name, number), what, hint));
            };
            let (name, proof, roles) = match words.as_slice() {
                [] => continue,
                [name, proof] => (name, Proof::read(proof), Ok(Roles::ALL)),
                [name, proof, roles] => (name, Proof::read(proof), roles.parse::<Roles>()),
                _ => (&"", None, Ok(Roles::default())),
            };
            match (proof, roles) {
                (Some(proof), Ok(roles)) => lines.push((proof, Person { name: (*name).to_owned(), roles })),
                (None, _) => complain(
                    "not a name, a SHA-256 digest or certificate:NAME, and roles",
                    "make a digest with: printf %s TOKEN | sha256sum",
                ),
                (Some(_), Err(hint)) => complain("not a role", hint),
            }
        }
        (lines, problems)
    }

    /// Makes a token for the machine's own command line and writes it to `directory`, readable by its owner only.
    pub fn add_local(&mut self, directory: &Path) -> io::Result<PathBuf> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let token = Digest::of(&bytes).to_string();
        std::fs::create_dir_all(directory)?;
        let path = directory.join(LOCAL_TOKEN);
        write_whole(&path, token.as_bytes(), 0o600)?;
        self.local = Some(Digest::of(token.as_bytes()).to_string());
        Ok(path)
    }

    /// What a token is known by, here and in a session.
    pub fn digest(token: &str) -> String {
        Digest::of(token.as_bytes()).to_string()
    }

    /// Whose token has this digest. Reads the file: not for a thread that must not wait.
    pub fn of_digest(&self, digest: &str) -> Option<Person> {
        // Digests are compared, so that timing tells nothing of the token.
        if self.local.as_deref() == Some(digest) {
            return Some(Person { name: "local".to_owned(), roles: Roles::ALL });
        }
        self.find(|proof| matches!(proof, Proof::Digest(known) if known == digest))
    }

    /// Whose certificate bears one of these names, the most telling first. Reads the file: not for a thread that must not wait.
    pub fn of_certificate(&self, names: &[String]) -> Option<Person> {
        names.iter().find_map(|name| {
            self.find(|proof| matches!(proof, Proof::Certificate(known) if known.eq_ignore_ascii_case(name)))
        })
    }

    fn find(&self, is_it: impl Fn(&Proof) -> bool) -> Option<Person> {
        self.lines().0.into_iter().find(|(proof, _)| is_it(proof)).map(|(_, person)| person)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tokens_are_known_by_their_digest_alone_and_only_while_they_stand_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, format!("# who\nops {}\nbad line here\n", Digest::of(b"secret"))).unwrap();
        let tokens = Tokens::of(Some(path.clone()));
        assert_eq!(tokens.problems().len(), 1);
        let owner = |token: &str| tokens.of_digest(&Tokens::digest(token)).map(|person| person.name);
        assert_eq!(owner("secret").as_deref(), Some("ops"));
        assert_eq!(owner("Secret"), None);
        std::fs::write(&path, "# nobody\n").unwrap();
        assert_eq!(owner("secret"), None, "revoked");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(owner("secret"), None, "without the file nobody is known");
    }

    #[test]
    fn a_line_says_what_its_owner_may_do_and_one_without_a_role_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let [old, viewer, both, feeds] = ["old", "viewer", "both", "feeds"].map(Tokens::digest);
        let text = format!(
            "old {old}\nview {viewer} viewer\nboth {both} operator,approver\nlaptop certificate:Laptop-7.example operator\n\
             bad {both} king\nworse {both} viewer now\nnone certificate:\nfirewall {feeds} feeds\nmixed {feeds} feeds,viewer\n"
        );
        std::fs::write(&path, text).unwrap();
        let tokens = Tokens::of(Some(path));
        let lines: Vec<u32> = tokens.problems().iter().map(|problem| problem.place.line).collect();
        assert_eq!(lines, [5, 6, 7, 9]);
        let words = |digest: &str| tokens.of_digest(digest).unwrap().roles.words();
        assert_eq!(words(&old), ["viewer", "operator", "approver"]);
        assert_eq!(words(&viewer), ["viewer"]);
        assert_eq!(words(&feeds), ["feeds"]);
        assert_eq!(words(&both), ["viewer", "operator", "approver"]);
        let of = |name: &str| tokens.of_certificate(&[name.to_owned()]).map(|person| person.name);
        assert_eq!(of("laptop-7.example").as_deref(), Some("laptop"));
        assert_eq!(of("laptop-8.example"), None);
    }

    #[test]
    fn the_local_token_is_its_owners_whatever_lay_there() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        let aside = folder.path().join("token.new");
        std::os::unix::fs::symlink(&elsewhere, &aside).unwrap();
        for _ in 0..2 {
            let mut tokens = Tokens::default();
            let path = tokens.add_local(folder.path()).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let local = read_file(&path, 100).unwrap().text().unwrap().into_owned();
            let owner = tokens.of_digest(&Tokens::digest(&local)).map(|person| person.name);
            assert_eq!(owner.as_deref(), Some("local"));
            assert_eq!(read_file(&elsewhere, 100).unwrap().text().unwrap(), "precious");
            std::fs::write(&aside, "left by a cut-off start").unwrap();
        }
    }
}
