//! Owns what the provider says of itself: its discovery document and its keys, fetched when somebody signs in, kept for an hour, asked again at most every half
//! minute; and the exchange of a code for a token. Blocks: one question at a time, each within bounds. Never judges a token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::attempt::Attempt;
use super::config::Config;
use super::sign_in::{Failed, Trouble};
use super::token::Keys;
use crate::clock::{Clock, Moment};
use crate::sources::{Exchange, exchange};

/// The provider.
#[derive(Debug)]
pub(super) struct Provider {
    config: Arc<Config>,
    clock: Clock,
    /// Held while it is asked: many who want to sign in ask once.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Moment, Arc<Metadata>)>,
    keys: Option<(Moment, Arc<Keys>)>,
    failed: Option<(Moment, Failed)>,
}

/// What a discovery document holds that counts here (OpenID Connect Discovery 1.0 section 3).
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) authorization: String,
    /// Whether answers name their issuer (RFC 9207).
    pub(super) names_itself: bool,
    token: String,
    keys: String,
    /// Whether the secret goes into the form instead of a field of the head.
    secret_in_form: bool,
}

/// Largest document: some have five kilobytes.
const DOCUMENT: u64 = 256 << 10;
/// Life of what was fetched: a key that the provider takes out is out here an hour later at most.
const LIFE: Duration = Duration::from_secs(3600);
/// Shortest time between two looks at the keys for one that nobody knows.
const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// Time for which a provider that failed is not asked again.
const RETRY: Duration = Duration::from_secs(2);

impl Provider {
    /// One that was not asked yet.
    pub(super) fn new(config: Arc<Config>, clock: Clock) -> Self {
        Self { config, clock, known: Mutex::default() }
    }

    /// What it says of itself.
    pub(super) fn metadata(&self) -> Result<Arc<Metadata>, Failed> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if let Some((_, metadata)) = known.metadata.as_ref().filter(|(at, _)| now.since(*at) < LIFE) {
            return Ok(Arc::clone(metadata));
        }
        let found = self.spared(&known).and_then(|()| self.discover());
        self.note(&mut known, &found);
        let metadata = Arc::new(found?);
        known.metadata = Some((self.clock.now(), Arc::clone(&metadata)));
        Ok(metadata)
    }

    /// Its keys; with `anew`, not those at hand, unless they were fetched just now.
    pub(super) fn keys(&self, metadata: &Metadata, anew: bool) -> Result<Arc<Keys>, Failed> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, life) = (self.clock.now(), if anew { KEYS_AGAIN } else { LIFE });
        if let Some((_, keys)) = known.keys.as_ref().filter(|(at, _)| now.since(*at) < life) {
            return Ok(Arc::clone(keys));
        }
        let found = self.spared(&known).and_then(|()| {
            let keys = Keys::read(&self.document(&metadata.keys)?);
            keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
                self.odd(&metadata.keys, "has no key for RS256 or ES256", "have it sign ID tokens by one")
            })
        });
        self.note(&mut known, &found);
        let keys = Arc::new(found?);
        known.keys = Some((self.clock.now(), Arc::clone(&keys)));
        Ok(keys)
    }

    /// The ID token that a code stands for (RFC 6749 section 4.1.3).
    pub(super) fn exchange(&self, metadata: &Metadata, code: &str, of: &Attempt) -> Result<String, Failed> {
        let Config { client, redirect, .. } = &*self.config;
        let secret = self.config.secret.as_ref().map(|secret| secret.read()).transpose();
        let secret = secret.map_err(|problem| Failed::new(Trouble::Provider, problem.what, problem.hint))?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", &of.verifier),
        ];
        let pair = secret.as_ref().filter(|_| !metadata.secret_in_form);
        let pair = pair.map(|secret| (encoded(client), encoded(secret)));
        if pair.is_none() {
            form.push(("client_id", client));
            form.extend(secret.as_deref().map(|secret| ("client_secret", secret)));
        }
        let basic = pair.as_ref().map(|(client, secret)| (client.as_str(), secret.as_str()));
        let (status, body) = self.ask(&metadata.token, Some(&form), basic)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = |name: &str| answer.get(name).and_then(Value::as_str);
        match (status, said("id_token")) {
            (200, Some(token)) => Ok(token.to_owned()),
            (200, None) => Err(self.odd(
                &metadata.token,
                "sent no ID token",
                "are its scopes right, `openid` among them?",
            )),
            (400 | 401, _) => {
                let error: String = said("error").unwrap_or("no reason").chars().take(80).collect();
                let hint = match said("error") {
                    Some("invalid_client" | "unauthorized_client") => {
                        "are client_id and client_secret those that it knows?"
                    }
                    Some("invalid_grant") => "sign in again; if it stays so, is `redirect` what it knows?",
                    _ => "its own log says why",
                };
                Err(Failed::new(Trouble::Denied, format!("the provider refused the code: {error}"), hint))
            }
            (status, _) => {
                Err(self.odd(&metadata.token, &format!("answered {status}"), "its own log says why"))
            }
        }
    }

    /// An error while it is not to be asked again.
    fn spared(&self, known: &Known) -> Result<(), Failed> {
        match &known.failed {
            Some((at, failed)) if self.clock.now().since(*at) < RETRY => {
                Err(Failed { is_known: true, ..failed.clone() })
            }
            _ => Ok(()),
        }
    }

    fn note<T>(&self, known: &mut Known, found: &Result<T, Failed>) {
        if let Err(failed) = found
            && !failed.is_known
        {
            known.failed = Some((self.clock.now(), failed.clone()));
        }
    }

    fn discover(&self) -> Result<Metadata, Failed> {
        let issuer = &self.config.issuer;
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.document(&address)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        // Whoever answers for another issuer than the one that was asked could have it vouch for anybody (section 4.3).
        if text("issuer") != Some(issuer) {
            let said: String = text("issuer").unwrap_or("nothing").chars().take(200).collect();
            return Err(self.odd(
                &address,
                &format!("says it is {said}"),
                "write `issuer` byte by byte as it does",
            ));
        }
        let endpoint = |name: &str| {
            let at = text(name).filter(|at| {
                at.starts_with("https://") || !issuer.starts_with("https:") && at.starts_with("http://")
            });
            let what = || format!("names no `{name}` with https://");
            at.map(str::to_owned)
                .ok_or_else(|| self.odd(&address, &what(), "is that the provider that is meant?"))
        };
        let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let takes = |method: &str| methods.is_none_or(|all| all.iter().any(|one| one == method));
        Ok(Metadata {
            authorization: endpoint("authorization_endpoint")?,
            token: endpoint("token_endpoint")?,
            keys: endpoint("jwks_uri")?,
            names_itself: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            secret_in_form: !takes("client_secret_basic") && takes("client_secret_post"),
        })
    }

    fn document(&self, address: &str) -> Result<Value, Failed> {
        let (status, body) = self.ask(address, None, None)?;
        if status != 200 {
            return Err(self.odd(
                address,
                &format!("answered {status}"),
                "is `issuer` the provider's own name?",
            ));
        }
        let read = serde_json::from_slice::<Value>(&body).ok().filter(Value::is_object);
        read.ok_or_else(|| self.odd(address, "is no JSON", "is `issuer` the provider's own name?"))
    }

    fn ask(
        &self,
        address: &str,
        form: Option<&[(&str, &str)]>,
        basic: Option<(&str, &str)>,
    ) -> Result<(u16, Vec<u8>), Failed> {
        let Config { ca, proxy, timeout, .. } = &*self.config;
        let asked = Exchange {
            address,
            form,
            basic,
            ca: ca.as_deref(),
            proxy: proxy.as_ref(),
            timeout: *timeout,
            cap: DOCUMENT,
        };
        exchange(&asked).map_err(|refusal| {
            let hint =
                if refusal.hint.is_empty() { "can this host reach the provider?" } else { &*refusal.hint };
            Failed::new(Trouble::Provider, format!("{address}: {}", refusal.what), hint)
        })
    }

    fn odd(&self, address: &str, what: &str, hint: &str) -> Failed {
        Failed::new(Trouble::Provider, format!("{address} {what}"), hint)
    }
}

/// A name or secret as a form has it, which is how Basic wants it here (RFC 6749 section 2.3.1).
fn encoded(text: &str) -> String {
    crate::admin::link::encoded(text)
}
