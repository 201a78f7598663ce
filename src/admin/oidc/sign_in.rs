//! Owns the order in which somebody signs in at the provider: the way there, what comes back, the token it stands for, who that is and which roles it has; and what
//! is said when it fails. Never begins a session.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::attempt::{Attempt, Attempts};
use super::config::Config;
use super::metrics::Counts;
use super::provider::{Metadata, Provider};
use super::token::{Doubt, Wanted, believe};
use crate::admin::link::link;
use crate::admin::person::Person;
use crate::clock::Clock;
use crate::telemetry::{Collect, Sample};

/// Signing in at a provider.
#[derive(Debug)]
pub struct SignIn {
    config: Arc<Config>,
    clock: Clock,
    attempts: Attempts,
    provider: Provider,
    counts: Counts,
}

/// What a provider sends back by the browser.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::admin) struct Back<'a> {
    /// What the browser kept.
    pub(in crate::admin) cookie: &'a str,
    pub(in crate::admin) state: &'a str,
    pub(in crate::admin) code: &'a str,
    pub(in crate::admin) error: Option<&'a str>,
    pub(in crate::admin) issuer: Option<&'a str>,
}

/// Somebody who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Signed {
    pub(in crate::admin) person: Person,
    /// As the provider names it, and which provider: for the audit log.
    pub(in crate::admin) detail: Vec<String>,
}

/// Why nobody signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Failed {
    pub(in crate::admin) trouble: Trouble,
    /// What happened, in one line.
    pub(in crate::admin) what: String,
    /// What to do about it.
    pub(in crate::admin) hint: String,
    /// Who it is, where the provider vouched for somebody.
    pub(in crate::admin) who: Option<String>,
    /// Whether it is of a moment ago, and was said then.
    pub(super) is_known: bool,
}

/// The kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Trouble {
    /// The provider said no.
    Denied,
    /// The provider cannot be asked, or what it says makes no sense.
    Provider,
    /// Its token is not to be believed.
    Refused,
    /// Nothing that this person is gives a role.
    Role,
    /// Not what this browser asked for lately.
    Stale,
}

/// Characters of a name in history and audit log.
const NAME: usize = 100;

impl Trouble {
    /// Every kind.
    pub(in crate::admin) const ALL: [Self; 5] =
        [Self::Denied, Self::Provider, Self::Refused, Self::Role, Self::Stale];

    /// The word in labels and logs.
    pub(in crate::admin) fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Provider => "provider",
            Self::Refused => "refused",
            Self::Role => "role",
            Self::Stale => "stale",
        }
    }
}

impl Failed {
    pub(super) fn new(trouble: Trouble, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { trouble, what: what.into(), hint: hint.into(), who: None, is_known: false }
    }
}

impl SignIn {
    /// At the provider of these settings, which is not asked before somebody wants to sign in.
    pub fn new(config: Config, clock: Clock) -> Arc<Self> {
        let config = Arc::new(config);
        let provider = Provider::new(Arc::clone(&config), clock.clone());
        let (attempts, counts) = (Attempts::new(clock.clone()), Counts::default());
        Arc::new(Self { config, clock, attempts, provider, counts })
    }

    /// The settings.
    pub(in crate::admin) fn config(&self) -> &Config {
        &self.config
    }

    /// The provider's address to send a browser to, and the cookie that it keeps meanwhile. Blocks.
    pub(in crate::admin) fn begin(&self) -> Result<(String, String), Failed> {
        self.counted(self.provider.metadata().and_then(|metadata| {
            let none =
                || Failed::new(Trouble::Provider, "the system gives no randomness", "look at the machine");
            let attempt = self.attempts.begin().ok_or_else(none)?;
            Ok((self.there(&metadata, &attempt), attempt.cookie))
        }))
    }

    /// Whom the provider vouches for. Blocks.
    pub(in crate::admin) fn finish(&self, back: Back<'_>) -> Result<Signed, Failed> {
        let signed = self.counted(self.judged(back));
        if signed.is_ok() {
            self.counts.begun();
        }
        signed
    }

    fn counted<T>(&self, ended: Result<T, Failed>) -> Result<T, Failed> {
        if let Err(Failed { trouble, what, hint, who, is_known }) = &ended {
            self.counts.failed(*trouble);
            if *is_known {
                return ended;
            }
            tracing::warn!(result = trouble.as_str(), %what, %hint, ?who, "nobody signed in at the provider");
        }
        ended
    }

    fn there(&self, metadata: &Metadata, attempt: &Attempt) -> String {
        let Config { client, redirect, scopes, .. } = &*self.config;
        let (scope, challenge) = (scopes.join(" "), attempt.challenge());
        link(
            &metadata.authorization,
            &[
                ("response_type", "code"),
                ("client_id", client),
                ("redirect_uri", redirect),
                ("scope", &scope),
                ("state", &attempt.state),
                ("nonce", &attempt.nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        )
    }

    fn judged(&self, back: Back<'_>) -> Result<Signed, Failed> {
        let stale = || {
            let what = "the answer is not to what this browser asked for in the last ten minutes, or was used before";
            Failed::new(Trouble::Stale, what, "sign in again")
        };
        let attempt = self.attempts.come_back(back.cookie, back.state).ok_or_else(stale)?;
        let metadata = self.provider.metadata()?;
        // RFC 9207 section 2.4: an answer of another provider is none of this one.
        if back.issuer.map_or(metadata.names_itself, |issuer| issuer != self.config.issuer) {
            return Err(Failed::new(Trouble::Refused, "the answer names another issuer", "sign in again"));
        }
        if let Some(error) = back.error {
            let error: String = error.chars().take(80).filter(|c| !c.is_control()).collect();
            return Err(Failed::new(
                Trouble::Denied,
                format!("the provider said {error}"),
                "sign in again, or ask who runs it",
            ));
        }
        let token = self.provider.exchange(&metadata, back.code, &attempt)?;
        let claims = self.believed(&metadata, &token, &attempt)?;
        let (name, subject) = name(&claims);
        let detail = vec![format!("issuer {}", self.config.issuer), format!("subject {subject}")];
        match self.config.roles(&claims) {
            Some(roles) => Ok(Signed { person: Person { name, roles }, detail }),
            None => {
                let what =
                    format!("{name} has no role here: nothing in its `{}` gives one", self.config.claim);
                let hint =
                    "ask for a group that [admin.oidc] names; the provider must put it into the ID token";
                Err(Failed { who: Some(name), ..Failed::new(Trouble::Role, what, hint) })
            }
        }
    }

    fn believed(
        &self,
        metadata: &Metadata,
        token: &str,
        attempt: &Attempt,
    ) -> Result<Map<String, Value>, Failed> {
        let now: Timestamp = self.clock.wall();
        let wanted =
            Wanted { issuer: &self.config.issuer, client: &self.config.client, nonce: &attempt.nonce, now };
        let keys = self.provider.keys(metadata, false)?;
        let believed = match believe(token, &keys, wanted) {
            // The provider changed its keys.
            Err(Doubt::UnknownKey(_)) => believe(token, &*self.provider.keys(metadata, true)?, wanted),
            known => known,
        };
        believed.map_err(|doubt| {
            let what = match doubt {
                Doubt::Because(why) => format!("the ID token is not believed: {why}"),
                Doubt::UnknownKey(id) => {
                    format!("the ID token is signed by a key that the provider does not name: {id:?}")
                }
            };
            Failed::new(Trouble::Refused, what, "sign in again; if it stays so, look at the provider")
        })
    }
}

impl Collect for SignIn {
    fn collect(&self, samples: &mut Vec<Sample>) {
        self.counts.collect(samples);
    }
}

/// What somebody is called here, and by the provider. A mail address that the provider did not check is what anybody may have written.
fn name(claims: &Map<String, Value>) -> (String, String) {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or("");
    let plain = |text: &str| {
        text.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(NAME).collect::<String>()
    };
    let is_checked = claims.get("email_verified") == Some(&Value::Bool(true));
    let (mail, subject) = (plain(text("email")), plain(text("sub")));
    let called = if is_checked && !mail.is_empty() { &mail } else { &subject };
    (format!("oidc:{called}"), subject)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_is_called_by_what_the_provider_checked() {
        let called = |claims: Value| name(claims.as_object().unwrap()).0;
        assert_eq!(
            called(json!({ "sub": "7", "email": "a@gc.example", "email_verified": true })),
            "oidc:a@gc.example"
        );
        assert_eq!(called(json!({ "sub": "7", "email": "a@gc.example" })), "oidc:7");
        assert_eq!(
            called(json!({ "sub": "7", "email": "a@gc.example", "email_verified": "true" })),
            "oidc:7"
        );
        assert_eq!(called(json!({ "sub": "a b\n\u{7}c" })), "oidc:abc");
    }
}
