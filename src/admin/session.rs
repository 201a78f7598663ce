//! Owns the sessions of browsers and how often somebody may try to begin one: both in memory, bounded, and gone with the process. A session's
//! secret is kept as a digest, and so is the token it began with. Never reads a cookie or a form.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::auth::Tokens;
use super::person::Person;
use crate::clock::{Clock, Moment};
use crate::net::Attempts;

/// All sessions.
#[derive(Debug)]
pub struct Sessions {
    clock: Clock,
    open: Mutex<HashMap<String, Session>>,
    attempts: Attempts,
    /// What forms' tokens are made with.
    secret: [u8; 32],
}

#[derive(Debug)]
struct Session {
    holder: Holder,
    longest: Duration,
    began: Moment,
    seen: Moment,
}

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Somebody whom the provider vouched for when it began, and for so long.
    Signed(Person, Duration),
    /// Whoever has the token of this digest, which is looked up each time: a line taken out of the file ends its sessions.
    Token(String),
}

/// Sessions at once. Beyond it the one that was idle longest ends: a department has a few dozen operators.
const SESSIONS: usize = 256;
/// A session ends after this time without a request: as long as a meeting.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// And after this in any case: a working day.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

impl Sessions {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        let (open, attempts) = Default::default();
        Self { clock, open, attempts, secret: random().unwrap_or_default() }
    }

    /// Begins a session; returns its secret, which only the browser keeps. `None` when the system gives no randomness.
    pub(super) fn begin(&self, holder: Holder) -> Option<String> {
        let longest = match &holder {
            Holder::Signed(_, longest) => LONGEST.min(*longest),
            Holder::Token(_) => LONGEST,
        };
        let secret = crate::policy::hexadecimal(&random()?);
        let now = self.clock.now();
        let mut open = lock(&self.open);
        open.retain(|_, session| session.lives(now));
        if open.len() >= SESSIONS {
            let idle = open.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| key.clone());
            idle.and_then(|idle| open.remove(&idle));
        }
        open.insert(Tokens::digest(&secret), Session { holder, longest, began: now, seen: now });
        Some(secret)
    }

    /// Whose a session is, while it lives.
    pub(super) fn holder_of(&self, secret: &str) -> Option<Holder> {
        let now = self.clock.now();
        let mut open = lock(&self.open);
        let session = open.get_mut(&Tokens::digest(secret)).filter(|session| session.lives(now))?;
        session.seen = now;
        Some(session.holder.clone())
    }

    /// Ends a session.
    pub fn end(&self, secret: &str) {
        lock(&self.open).remove(&Tokens::digest(secret));
    }

    /// What a form must send back that was made for whoever is known by `proof`: a session's secret, or a name on a certificate.
    pub fn form_token(&self, proof: &str) -> String {
        let proof = Tokens::digest(proof);
        Tokens::digest(&(crate::policy::hexadecimal(&self.secret) + &proof))
    }

    /// Whether that address may try to log in; otherwise how long it must wait.
    pub fn may_try(&self, address: IpAddr) -> Result<(), Duration> {
        self.attempts.may_try(address, self.clock.now())
    }

    /// Notes that that address failed to log in.
    pub fn failed(&self, address: IpAddr) {
        self.attempts.failed(address, self.clock.now());
    }
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    fn lives(&self, now: Moment) -> bool {
        now.since(self.seen) < IDLE && now.since(self.began) < self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> (Clock, Sessions) {
        let clock = Clock::manual("2026-11-20T12:00:00Z".parse().unwrap());
        (clock.clone(), Sessions::new(clock))
    }

    fn ops() -> Holder {
        Holder::Token("of ops".to_owned())
    }

    #[test]
    fn a_session_of_the_providers_ends_when_it_says_however_busy_it_is() {
        let (clock, sessions) = sessions();
        let person = || Person { name: "oidc:a".to_owned(), roles: Default::default() };
        let begin = |longest| sessions.begin(Holder::Signed(person(), longest)).unwrap();
        let (short, long) = (begin(Duration::from_secs(600)), begin(Duration::MAX));
        clock.advance(Duration::from_secs(599));
        assert!(sessions.holder_of(&short).is_some());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sessions.holder_of(&short), None);
        while clock.now().since(Moment::START) + Duration::from_secs(1000) < LONGEST {
            assert!(sessions.holder_of(&long).is_some());
            clock.advance(Duration::from_secs(1000));
        }
        clock.advance(Duration::from_secs(1000));
        assert_eq!(sessions.holder_of(&long), None, "a working day in any case");
    }

    #[test]
    fn a_session_ends_idle_and_after_a_day_of_work_and_when_it_is_told_to() {
        let (clock, sessions) = sessions();
        let secret = sessions.begin(ops()).unwrap();
        assert_eq!(secret.len(), 64);
        assert_eq!(sessions.holder_of("another"), None);
        for _ in 0..24 {
            assert_eq!(sessions.holder_of(&secret), Some(ops()));
            clock.advance(IDLE - Duration::from_secs(1));
        }
        assert!(sessions.holder_of(&secret).is_some());
        clock.advance(Duration::from_secs(60));
        assert_eq!(sessions.holder_of(&secret), None, "twelve hours are over");
        let secret = sessions.begin(ops()).unwrap();
        clock.advance(IDLE);
        assert_eq!(sessions.holder_of(&secret), None, "idle");
        let secret = sessions.begin(ops()).unwrap();
        sessions.end(&secret);
        assert_eq!(sessions.holder_of(&secret), None, "told to");
    }

    #[test]
    fn memory_is_bounded_and_the_idlest_goes_first() {
        let (clock, sessions) = sessions();
        let mut secrets = Vec::new();
        for _ in 0..=SESSIONS {
            secrets.push(sessions.begin(ops()).unwrap());
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(sessions.holder_of(&secrets[0]), None);
        assert!(sessions.holder_of(&secrets[1]).is_some());
    }

    #[test]
    fn a_forms_token_is_of_one_session() {
        let (_, sessions) = sessions();
        assert_eq!(sessions.form_token("a"), sessions.form_token("a"));
        assert_ne!(sessions.form_token("a"), sessions.form_token("b"));
        assert_ne!(sessions.form_token("a"), self::sessions().1.form_token("a"), "of another process");
    }
}
