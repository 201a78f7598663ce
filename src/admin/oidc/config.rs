//! Owns the settings of signing in at a provider, the reasons for their defaults, and which of its claims give which roles. Never asks it anything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::admin::person::Roles;
use crate::problem::Problem;
use crate::sources::{CONFIG_FILE, Proxy, read_file};

/// Settings of `[admin.oidc]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The provider, as its tokens name it, byte by byte.
    pub issuer: String,
    /// What it knows this server by.
    pub client: String,
    /// What this server proves itself with; without, by PKCE alone.
    pub secret: Option<ClientSecret>,
    /// What is asked for. Default `openid email`: who somebody is, and a name that people can read.
    pub scopes: Vec<String>,
    /// Where the provider sends browsers back to: this server's address as people reach it, with the path [`BACK`].
    pub redirect: String,
    /// The claim of the ID token that says what somebody is. Default `groups`, as most providers can be told to call it.
    pub claim: String,
    /// Which of its values give which roles. Without one that counts nobody gets in: being known to the provider is no reason to read here.
    pub granted: Granted,
    /// The only authorities the provider may be certified by. Default the system's.
    pub ca: Option<PathBuf>,
    /// The proxy that leads there. Default none.
    pub proxy: Option<Proxy>,
    /// Longest time for one question to the provider. Default 5 s: somebody waits before a page.
    pub timeout: Duration,
    /// Longest a session lasts. Default an hour: whoever leaves a group is out after it at the latest, and whoever is still signed in at the provider
    /// comes back with one click.
    pub session: Duration,
}

/// What a server proves itself with to the provider.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientSecret {
    /// In a file, which is read each time.
    File(PathBuf),
    /// In the configuration.
    Given(String),
}

/// Values of a claim that give roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Reads.
    pub viewer: Vec<String>,
    /// Also changes what is in force.
    pub operator: Vec<String>,
    /// Also hands in approvals.
    pub approver: Vec<String>,
}

/// Path that a provider sends browsers back to.
pub const BACK: &str = "/login/back";
/// Path that leads browsers to the provider.
pub(in crate::admin) const THERE: &str = "/login/oidc";
/// Default of [`Config::claim`].
const CLAIM: &str = "groups";
/// Default of [`Config::scopes`].
const SCOPES: [&str; 2] = ["openid", "email"];
/// Default of [`Config::timeout`].
const TIMEOUT: Duration = Duration::from_secs(5);
/// Default of [`Config::session`].
const SESSION: Duration = Duration::from_secs(3600);

impl Config {
    /// With all defaults.
    pub fn new(issuer: String, client: String, redirect: String, granted: Granted) -> Self {
        Self {
            issuer,
            client,
            secret: None,
            scopes: SCOPES.map(str::to_owned).to_vec(),
            redirect,
            claim: CLAIM.to_owned(),
            granted,
            ca: None,
            proxy: None,
            timeout: TIMEOUT,
            session: SESSION,
        }
    }

    /// The provider's host, for people.
    pub fn host(&self) -> &str {
        let bare = self.issuer.split_once("://").map_or(&*self.issuer, |(_, rest)| rest);
        bare.split('/').next().unwrap_or(bare)
    }

    /// Whether browsers come and go in encryption only.
    pub fn is_encrypted(&self) -> bool {
        self.redirect.starts_with("https:")
    }

    /// Everything that is wrong with the files that the settings name.
    pub fn problems(&self) -> Vec<Problem> {
        let secret = self.secret.as_ref().and_then(|secret| secret.read().err());
        let ca = self.ca.as_deref().and_then(|path| readable(path).err());
        secret.into_iter().chain(ca).collect()
    }

    /// The roles that claims give; `None` when they give none.
    pub(super) fn roles(&self, claims: &Map<String, Value>) -> Option<Roles> {
        let held = values(claims, &self.claim);
        let any = |of: &[String]| of.iter().any(|value| held.contains(&value.as_str()));
        let Granted { viewer, operator, approver } = &self.granted;
        let roles = Roles { operator: any(operator), approver: any(approver), ..Roles::default() };
        (roles.operator || roles.approver || any(viewer)).then_some(roles)
    }
}

/// The texts that a claim holds: `groups`, or `realm_access.roles` within another. A claim whose own name has dots comes first.
fn values<'c>(claims: &'c Map<String, Value>, path: &str) -> Vec<&'c str> {
    let mut within = path.split('.');
    let first = within.next().and_then(|name| claims.get(name));
    let nested = within.fold(first, |found, name| found?.as_object()?.get(name));
    match claims.get(path).or(nested) {
        Some(Value::Array(members)) => members.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    }
}

fn readable(path: &Path) -> Result<String, Problem> {
    let raw = read_file(path, CONFIG_FILE).map_err(|error| error.problem(path))?;
    raw.text().map(|text| text.trim().to_owned())
}

impl ClientSecret {
    /// The secret itself. Reads a file: not for a thread that must not wait.
    pub(super) fn read(&self) -> Result<String, Problem> {
        match self {
            Self::File(path) => readable(path),
            Self::Given(secret) => Ok(secret.clone()),
        }
    }
}

/// Without the secret.
impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Given(_) => f.write_str("Given"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_come_from_the_claim_that_is_named_and_from_nothing_like_it() {
        let granted = Granted {
            viewer: vec!["dns-read".to_owned()],
            operator: vec!["dns-ops".to_owned(), "noc".to_owned()],
            approver: vec!["dns-approve".to_owned()],
        };
        let mut config = Config::new("https://idp.example".into(), "c".into(), "r".into(), granted);
        let words = |config: &Config, claims: Value| {
            config.roles(claims.as_object().unwrap()).map(|roles| roles.words().join(","))
        };
        let said = |claims| words(&config, claims);
        assert_eq!(said(json!({ "groups": ["dns-read"] })).as_deref(), Some("viewer"));
        assert_eq!(said(json!({ "groups": ["noc", "x"] })).as_deref(), Some("viewer,operator"));
        assert_eq!(said(json!({ "groups": "dns-approve" })).as_deref(), Some("viewer,approver"));
        for none in [
            json!({}),
            json!({ "groups": [] }),
            json!({ "groups": ["DNS-OPS"] }),
            json!({ "groups": "dns-ops noc" }),
            json!({ "groups": { "dns-ops": true } }),
            json!({ "roles": ["dns-ops"] }),
        ] {
            assert_eq!(said(none.clone()), None, "{none}");
        }
        config.claim = "realm_access.roles".to_owned();
        assert!(words(&config, json!({ "realm_access": { "roles": ["noc"] } })).is_some());
        config.claim = "https://gc.example/roles".to_owned();
        assert!(words(&config, json!({ "https://gc.example/roles": ["noc"] })).is_some());
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", ClientSecret::Given("precious".to_owned())), "Given");
    }
}
