//! Owns the users of an explicit proxy: a file of names and passwords' hashes, as `htpasswd` writes it, and whether a name and a password are in it. The
//! doors of `bcrypt` and `sha_crypt`. Never keeps a password, and never logs one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha_crypt::{PasswordHashRef, PasswordVerifier, ShaCrypt};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::config::Config;
use super::metrics::Shown;
use crate::clock::{Clock, Moment};
use crate::net::{Attempts, Login};
use crate::problem::{Place, Problem};
use crate::sources::{CONFIG_FILE, read_file};

/// Who may use a proxy by name.
#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    clock: Clock,
    known: Mutex<Known>,
    attempts: Attempts,
    /// Hashes are slow by design: two at a time, so that whoever tries passwords takes no more than that from those who have connections.
    hashing: Semaphore,
    /// What the digests below are made with: nobody else can make one.
    secret: [u8; 32],
}

#[derive(Debug)]
struct Known {
    read: Option<Moment>,
    hashes: Arc<HashMap<String, String>>,
    /// Names and passwords that were looked at, as digests with the hash that they were held against, and whether they fitted.
    seen: HashMap<[u8; 32], bool>,
}

/// Time for which the file counts as it was read: a line taken out counts within it.
const FRESH: Duration = Duration::from_secs(1);
/// Names and passwords that are remembered. Beyond it all are looked at again.
const SEEN: usize = 10_000;
/// Most rounds of a hash: a quarter of a second. More would make a password's check a burden to everybody.
const BCRYPT_COST: u32 = 14;
const SHA_ROUNDS: u32 = 1_000_000;
/// Held against when a name is unknown, so that it takes as long as one that is known.
const NOBODY: &str = "$2y$10$abcdefghijklmnopqrstuuCGrIBtV80dgJSSNc.JT/12NiDunCIZu";

/// Everything that is wrong with the files of users.
pub fn problems(configs: &[Config]) -> Vec<Problem> {
    configs.iter().filter_map(|config| config.users.as_deref()).flat_map(|path| lines(path).1).collect()
}

impl Users {
    /// Those of a file, which is read again when it is asked for.
    pub(super) fn of(path: PathBuf, clock: Clock) -> Self {
        let mut secret = [0; 32];
        // Without randomness digests could be made by others, who see none of them.
        let _weaker = getrandom::fill(&mut secret).is_err();
        let known = Known { read: None, hashes: Arc::default(), seen: HashMap::new() };
        let known = Mutex::new(known);
        Self { path, clock, known, attempts: Attempts::default(), hashing: Semaphore::new(2), secret }
    }

    /// Whether a client at `from` has shown a user's password. What was looked at once is known; an address that has failed often is no longer looked at.
    pub(super) async fn check(self: &Arc<Self>, login: Login, from: IpAddr) -> Shown {
        let stale = self.lock().read.is_none_or(|read| self.clock.now().since(read) >= FRESH);
        if stale {
            let this = Arc::clone(self);
            let _read = tokio::task::spawn_blocking(move || this.read()).await.is_ok();
        }
        if let Some(shown) = self.recall(&login) {
            return shown;
        }
        let Ok(_place) = self.hashing.acquire().await else { return Shown::Limited };
        // Others with the same may have been looked at meanwhile: a browser opens many connections at once.
        if let Some(shown) = self.recall(&login) {
            return shown;
        }
        if self.attempts.may_try(from, self.clock.now()).is_err() {
            return Shown::Limited;
        }
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || this.look(&login, from)).await.unwrap_or(Shown::Wrong)
    }

    /// What came of the same name and password before.
    fn recall(&self, login: &Login) -> Option<Shown> {
        let known = self.lock();
        let seen = known.seen.get(&self.digest(login, known.hashes.get(&login.name)));
        seen.map(|fits| if *fits { Shown::Right } else { Shown::Wrong })
    }

    fn look(&self, login: &Login, from: IpAddr) -> Shown {
        let hash = self.lock().hashes.get(&login.name).cloned();
        let fits = holds(hash.as_deref().unwrap_or(NOBODY), &login.password) && hash.is_some();
        if !fits {
            self.attempts.failed(from, self.clock.now());
        }
        let digest = self.digest(login, hash.as_ref());
        let mut known = self.lock();
        if known.seen.len() >= SEEN {
            known.seen.clear();
        }
        known.seen.insert(digest, fits);
        if fits { Shown::Right } else { Shown::Wrong }
    }

    fn digest(&self, login: &Login, hash: Option<&String>) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.secret);
        for part in [login.name.as_bytes(), &login.password, hash.map_or(&[][..], |hash| hash.as_bytes())] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// Reads the file. One that cannot be read knows nobody.
    fn read(&self) {
        let (hashes, problems) = lines(&self.path);
        let mut known = self.lock();
        if *known.hashes != hashes {
            for problem in &problems {
                tracing::error!(%problem, "the file of users");
            }
            known.hashes = Arc::new(hashes);
        }
        known.read = Some(self.clock.now());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names with their hashes, and what is wrong.
fn lines(path: &Path) -> (HashMap<String, String>, Vec<Problem>) {
    let raw = match read_file(path, CONFIG_FILE) {
        Ok(raw) => raw,
        Err(error) => return (HashMap::new(), vec![error.problem(path)]),
    };
    let text = match raw.text() {
        Ok(text) => text,
        Err(problem) => return (HashMap::new(), vec![problem]),
    };
    let (mut hashes, mut problems) = (HashMap::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut complain = |what: String, hint: &str| {
            problems.push(Problem::error(Place::line(&raw.name, number), what, hint));
        };
        let Some((name, hash)) = line.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            complain("not a name, a colon and a hash".to_owned(), "write lines with: htpasswd -B FILE NAME");
            continue;
        };
        if let Err(what) = is_hash(hash) {
            complain(format!("`{name}`: {what}"), "make one with htpasswd -B, or with openssl passwd -6");
        } else if hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
            complain(format!("`{name}` is there twice"), "take one of the lines out");
        }
    }
    (hashes, problems)
}

/// Whether a text is a hash of a kind that resists guessing.
fn is_hash(text: &str) -> Result<(), &'static str> {
    let rest = match text.get(..3) {
        Some("$2a" | "$2b" | "$2y") => {
            let cost = text.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
            let is_whole = text.len() == 60 && bcrypt::HashParts::from_str(text).is_ok();
            return match cost.filter(|_| is_whole) {
                Some(..=BCRYPT_COST) => Ok(()),
                Some(_) => Err("its cost is above 14: a check would take seconds"),
                None => Err("a hash of bcrypt that is cut off"),
            };
        }
        Some("$5$" | "$6$") => text.get(3..).unwrap_or(""),
        _ => return Err("not a hash of bcrypt ($2y$), SHA-256 ($5$) or SHA-512 ($6$)"),
    };
    let rounds = rest.split('$').next().and_then(|part| part.strip_prefix("rounds="));
    if rounds.is_some_and(|rounds| rounds.parse::<u32>().is_ok_and(|rounds| rounds > SHA_ROUNDS)) {
        return Err("it has more than a million rounds: a check would take seconds");
    }
    let length = if text.starts_with("$5$") { 43 } else { 86 };
    let digest = rest.split('$').next_back().unwrap_or("");
    let is_whole = digest.len() == length && PasswordHashRef::new(text).is_ok();
    if is_whole { Ok(()) } else { Err("a hash of SHA that is cut off") }
}

/// Whether a password is the one of a hash. Both libraries compare in constant time.
fn holds(hash: &str, password: &[u8]) -> bool {
    if hash.starts_with("$2") {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    PasswordHashRef::new(hash).is_ok_and(|hash| ShaCrypt::default().verify_password(password, hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of `s3cret`, as htpasswd -B and openssl passwd -5 and -6 make them.
    const SHA512: &str =
        "$6$saltsalt$As4wrv0kZlfch1du9WeH7qhskyLriQWySXrZzynnvi46nFnNxjdpl6ksRegrrKexvhIa/Iny8S8uF3fVWTMuC1";
    const SHA256: &str = "$5$saltsalt$i1q2ZQzc.tl/BQ6CHiENAcVDvEY6nJ1OWlWXKh94b1.";
    const BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG";

    fn login(name: &str, password: &str) -> Login {
        Login::new(name.as_bytes(), password.as_bytes()).unwrap()
    }

    fn users(text: &str) -> (tempfile::TempDir, Clock, Arc<Users>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        std::fs::write(&path, text).unwrap();
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        (folder, clock.clone(), Arc::new(Users::of(path, clock)))
    }

    #[tokio::test]
    async fn passwords_fit_their_own_hash_of_whatever_kind_and_a_changed_line_counts() {
        let (folder, clock, users) = users(&format!("# who\nada:{BCRYPT}\nben:{SHA512}\ncleo:{SHA256}\n"));
        let from = IpAddr::from([192, 0, 2, 1]);
        for name in ["ada", "ben", "cleo"] {
            for (password, shown) in [
                ("s3cret", Shown::Right),
                ("s3cret", Shown::Right),
                ("S3cret", Shown::Wrong),
                ("", Shown::Wrong),
            ] {
                assert_eq!(users.check(login(name, password), from).await, shown, "{name} {password}");
            }
        }
        assert_eq!(users.check(login("dora", "s3cret"), from).await, Shown::Wrong);
        std::fs::write(folder.path().join("users"), format!("ada:{SHA512}\n")).unwrap();
        clock.advance(FRESH);
        assert_eq!(users.check(login("ben", "s3cret"), from).await, Shown::Wrong, "taken out");
        assert_eq!(users.check(login("ada", "s3cret"), from).await, Shown::Right);
        std::fs::remove_file(folder.path().join("users")).unwrap();
        clock.advance(FRESH);
        assert_eq!(users.check(login("ada", "s3cret"), from).await, Shown::Wrong, "nobody is known");
    }

    #[tokio::test]
    async fn an_address_that_guesses_is_no_longer_looked_at_and_keeps_nobody_out_who_is_known() {
        let (_folder, _, users) = users(&format!("ada:{BCRYPT}\nben:{SHA512}\n"));
        let [from, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        assert_eq!(users.check(login("ada", "s3cret"), from).await, Shown::Right);
        for _ in 0..50 {
            assert_eq!(
                users.check(login("ben", "stale"), from).await,
                Shown::Wrong,
                "one mistake, however often"
            );
        }
        for guess in 0..9 {
            assert_eq!(users.check(login("ben", &guess.to_string()), from).await, Shown::Wrong);
        }
        assert_eq!(users.check(login("ben", "s3cret"), from).await, Shown::Limited);
        assert_eq!(users.check(login("ada", "s3cret"), from).await, Shown::Right);
        assert_eq!(users.check(login("ben", "s3cret"), other).await, Shown::Right);
    }

    #[test]
    fn weak_and_broken_hashes_are_told_by_line() {
        let text = format!(
            "ada:{BCRYPT}\nmd5:$apr1$x$y\nplain:s3cret\nnothing\n:{BCRYPT}\nada:{BCRYPT}\nslow:{}\ncut:{}\nrounds:$6$rounds=9999999$abc${}\n",
            BCRYPT.replacen("$04$", "$20$", 1),
            SHA512.get(..40).unwrap(),
            "x".repeat(86)
        );
        let (folder, _, _) = users(&text);
        let (hashes, problems) = lines(&folder.path().join("users"));
        assert_eq!(hashes.len(), 1);
        assert_eq!(
            problems.iter().map(|problem| problem.place.line).collect::<Vec<_>>(),
            [2, 3, 4, 5, 6, 7, 8, 9]
        );
    }
}
