//! Owns the tokens that may change state: kept and compared as digests. Never logs one.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::problem::{Place, Problem};
use crate::sources::{CONFIG_FILE, Digest, read_file};

/// Digests of the tokens that are good.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    digests: Vec<(String, String)>,
}

/// File in the state directory that holds the token of the machine's own command line.
pub const LOCAL_TOKEN: &str = "token";

impl Tokens {
    /// Reads a file of `name sha256-of-the-token` lines; `#` begins a comment. Returns every problem found.
    pub fn read(path: &Path) -> (Self, Vec<Problem>) {
        let raw = match read_file(path, CONFIG_FILE) {
            Ok(raw) => raw,
            Err(error) => return (Self::default(), vec![error.problem(path)]),
        };
        let text = match raw.text() {
            Ok(text) => text,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let mut tokens = Self::default();
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or("").trim();
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (None, ..) => {}
                (Some(name), Some(digest), None)
                    if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) =>
                {
                    tokens.digests.push((name.to_owned(), digest.to_ascii_lowercase()));
                }
                _ => problems.push(Problem::error(
                    Place::line(&raw.name, number),
                    "not a name and a SHA-256 digest",
                    "make one with: printf %s TOKEN | sha256sum",
                )),
            }
        }
        (tokens, problems)
    }

    /// Makes a token for the machine's own command line and writes it to `directory`, readable by its owner only.
    pub fn add_local(&mut self, directory: &Path) -> io::Result<PathBuf> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let token = Digest::of(&bytes).to_string();
        std::fs::create_dir_all(directory)?;
        let path = directory.join(LOCAL_TOKEN);
        let aside = directory.join("token.new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
        file.write_all(token.as_bytes())?;
        std::fs::rename(&aside, &path)?;
        self.digests.push(("local".to_owned(), Digest::of(token.as_bytes()).to_string()));
        Ok(path)
    }

    /// Whose token this is.
    pub fn owner(&self, token: &str) -> Option<&str> {
        // Digests are compared, so that timing tells nothing of the token.
        let digest = Digest::of(token.as_bytes()).to_string();
        self.digests.iter().find(|(_, known)| *known == digest).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_their_digest_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, format!("# who\nops {}\nbad line here\n", Digest::of(b"secret"))).unwrap();
        let (tokens, problems) = Tokens::read(&path);
        assert_eq!(problems.len(), 1);
        assert_eq!(tokens.owner("secret"), Some("ops"));
        assert_eq!(tokens.owner("Secret"), None);
        let mut tokens = tokens;
        let local = read_file(&tokens.add_local(folder.path()).unwrap(), 100).unwrap();
        let local = local.text().unwrap().to_owned();
        assert_eq!(tokens.owner(&local), Some("local"));
    }
}
