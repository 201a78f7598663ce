//! Owns what ties a provider's answer to the browser and the moment that asked: state, nonce and the PKCE verifier, all made from one random cookie and this
//! process's secret, so that nothing has to be kept of the many that begin and do not come back. Never speaks to anybody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::{Clock, Moment};
use crate::policy::hexadecimal;
use crate::sources::Digest;

/// One attempt to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// What the browser keeps.
    pub(super) cookie: String,
    /// What the provider sends back by the browser (RFC 6749 section 10.12).
    pub(super) state: String,
    /// What the ID token must hold (OpenID Connect Core section 3.1.2.1).
    pub(super) nonce: String,
    /// What shows that the same server exchanges the code that asked for it (RFC 7636 section 4.1).
    pub(super) verifier: String,
}

/// All attempts.
#[derive(Debug)]
pub(super) struct Attempts {
    clock: Clock,
    secret: String,
    /// Those that came back, until they would be too old anyway.
    used: Mutex<HashMap<String, Moment>>,
}

/// Time to sign in at the provider: to find a telephone and type a code.
const LONGEST: Duration = Duration::from_secs(600);
/// Attempts that are remembered as used. Failed ones are counted by address, so that nobody makes many; beyond it the oldest is forgotten, whose code
/// the provider takes only once too.
const USED: usize = 4096;

impl Attempts {
    /// None yet.
    pub(super) fn new(clock: Clock) -> Self {
        let secret = random().unwrap_or_default();
        Self { clock, secret, used: Mutex::default() }
    }

    /// A new one; `None` when the system gives no randomness.
    pub(super) fn begin(&self) -> Option<Attempt> {
        let random = random()?;
        (!self.secret.is_empty()).then(|| self.of(format!("{:016x}{random}", self.clock.now().nanoseconds())))
    }

    /// The one of that cookie, if `state` is its own, it is not too old, and it did not come back before.
    pub(super) fn come_back(&self, cookie: &str, state: &str) -> Option<Attempt> {
        let is_whole = cookie.len() == 16 + 64 && cookie.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_whole || self.secret.is_empty() {
            return None;
        }
        let began = u64::from_str_radix(cookie.get(..16)?, 16).ok()?;
        let began = Moment::START.plus(Duration::from_nanos(began));
        let now = self.clock.now();
        let attempt = self.of(cookie.to_owned());
        // Digests are compared, so that timing tells nothing.
        let is_own = Digest::of(attempt.state.as_bytes()) == Digest::of(state.as_bytes());
        if !is_own || began > now || now.since(began) >= LONGEST {
            return None;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, began| now.since(*began) < LONGEST);
        if used.len() >= USED {
            let oldest = used.iter().min_by_key(|(_, began)| **began).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| used.remove(&oldest));
        }
        used.insert(attempt.state.clone(), began).is_none().then_some(attempt)
    }

    fn of(&self, cookie: String) -> Attempt {
        let part = |what: &str| {
            let inner = Digest::of(format!("{what} {cookie}").as_bytes());
            Digest::of(format!("{} {inner}", self.secret).as_bytes()).to_string()
        };
        let (state, nonce, verifier) = (part("state"), part("nonce"), part("verifier"));
        Attempt { cookie, state, nonce, verifier }
    }
}

impl Attempt {
    /// What the provider is told beforehand of the verifier (RFC 7636 section 4.2, S256).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Digest::of(self.verifier.as_bytes()).bytes())
    }
}

fn random() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(hexadecimal(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts() -> (Clock, Attempts) {
        let clock = Clock::manual("2026-11-20T12:00:00Z".parse().unwrap());
        (clock.clone(), Attempts::new(clock))
    }

    #[test]
    fn an_answer_counts_once_for_the_browser_that_asked_and_not_for_long() {
        let (clock, attempts) = attempts();
        let [one, other] = [(); 2].map(|()| attempts.begin().unwrap());
        assert_ne!(one.state, other.state);
        assert!(![&one.nonce, &one.verifier, &one.cookie].contains(&&one.state));
        assert_eq!(attempts.come_back(&other.cookie, &one.state), None, "another browser");
        assert_eq!(attempts.come_back("", &one.state), None);
        assert_eq!(attempts.come_back(&one.cookie, &one.state), Some(one.clone()));
        assert_eq!(attempts.come_back(&one.cookie, &one.state), None, "again");
        clock.advance(LONGEST);
        assert_eq!(attempts.come_back(&other.cookie, &other.state), None, "too late");
        let (_, elsewhere) = self::attempts();
        let foreign = elsewhere.begin().unwrap();
        assert_eq!(attempts.come_back(&foreign.cookie, &foreign.state), None, "another process");
    }

    #[test]
    fn a_browser_cannot_make_its_attempt_younger() {
        let (clock, attempts) = attempts();
        let begun = attempts.begin().unwrap();
        clock.advance(LONGEST);
        let younger = format!("{:016x}{}", clock.now().nanoseconds(), begun.cookie.get(16..).unwrap());
        assert_eq!(attempts.come_back(&younger, &begun.state), None);
    }

    #[test]
    fn memory_of_those_that_came_back_is_bounded() {
        let (clock, attempts) = attempts();
        for _ in 0..USED + 10 {
            let begun = attempts.begin().unwrap();
            assert!(attempts.come_back(&begun.cookie, &begun.state).is_some());
            clock.advance(Duration::from_millis(1));
        }
        assert!(attempts.used.lock().unwrap().len() <= USED);
    }

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        let attempt = Attempt { cookie: String::new(), state: String::new(), nonce: String::new(), verifier };
        assert_eq!(attempt.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
