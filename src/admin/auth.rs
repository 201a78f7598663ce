//! Owns the tokens that may change state: kept and compared as digests. Never logs one.

use std::io;
use std::path::{Path, PathBuf};

use crate::problem::{Place, Problem};
use crate::sources::{CONFIG_FILE, Digest, read_file, write_whole};

/// Who may change state: the lines of a file, and the machine's own command line.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    file: Option<PathBuf>,
    local: Option<String>,
}

/// File in the state directory that holds the token of the machine's own command line.
pub const LOCAL_TOKEN: &str = "token";

/// A line of the tokens file: whose, and the SHA-256 of the token in lower-case hexadecimal.
type Line = (String, String);

impl Tokens {
    /// Tokens of `file`, one `name sha256-of-the-token` a line; `#` begins a comment. The file is read again whenever a
    /// token is shown, so that a line taken out counts at once.
    pub fn of(file: Option<PathBuf>) -> Self {
        Self { file, local: None }
    }

    /// Everything that is wrong with the file.
    pub fn problems(&self) -> Vec<Problem> {
        self.lines().1
    }

    fn lines(&self) -> (Vec<Line>, Vec<Problem>) {
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
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (None, ..) => {}
                (Some(name), Some(digest), None)
                    if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) =>
                {
                    lines.push((name.to_owned(), digest.to_ascii_lowercase()));
                }
                _ => problems.push(Problem::error(
                    Place::line(&raw.name, number),
                    "not a name and a SHA-256 digest",
                    "make one with: printf %s TOKEN | sha256sum",
                )),
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

    /// Whose token this is. Reads the file: not for a thread that must not wait.
    pub fn owner(&self, token: &str) -> Option<String> {
        // Digests are compared, so that timing tells nothing of the token.
        let digest = Digest::of(token.as_bytes()).to_string();
        if self.local.as_ref() == Some(&digest) {
            return Some("local".to_owned());
        }
        self.lines().0.into_iter().find(|(_, known)| *known == digest).map(|(name, _)| name)
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
        assert_eq!(tokens.owner("secret").as_deref(), Some("ops"));
        assert_eq!(tokens.owner("Secret"), None);
        std::fs::write(&path, "# nobody\n").unwrap();
        assert_eq!(tokens.owner("secret"), None, "revoked");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(tokens.owner("secret"), None, "without the file nobody is known");
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
            assert_eq!(tokens.owner(&local).as_deref(), Some("local"));
            assert_eq!(read_file(&elsewhere, 100).unwrap().text().unwrap(), "precious");
            std::fs::write(&aside, "left by a cut-off start").unwrap();
        }
    }
}
