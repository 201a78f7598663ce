//! Owns who is asking: by a token, a session or a certificate; whether the request was meant for this server, and whether one who is not known may read.
//! Never says what a role may do.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, StatusCode, header, request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::answer::{feed_stranger, forbidden, problem, stranger};
use super::api::Parts;
use super::auth::Tokens;
use super::config::Reading;
use super::fields::{self, Origin, SESSION};
use super::oidc::{BACK, THERE};
use super::person::{Person, Role};
use super::session::Holder;
use crate::net::Login;
use crate::problem::{Place, Problem};

/// What is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: IpAddr,
    /// Whether nobody on the way can read along.
    pub(super) is_encrypted: bool,
    /// The names on its certificate, which was checked; empty without one.
    pub(super) certificate: Arc<[String]>,
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Visitor {
    /// Somebody known.
    pub(super) person: Option<Person>,
    /// What it is known by.
    pub(super) proof: Proof,
    /// From where.
    pub(super) from: Option<IpAddr>,
    /// Whether nobody on the way can read along.
    pub(super) is_encrypted: bool,
    /// What the request says of the page that sent it.
    pub(super) origin: Origin,
}

/// What somebody is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Proof {
    /// A token that comes with the request.
    Bearer,
    /// A name on a certificate.
    Certificate(String),
    /// Nothing.
    #[default]
    None,
    /// A session, by its secret.
    Session(String),
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

impl Visitor {
    /// Whether it is somebody known.
    pub(super) fn is_known(&self) -> bool {
        self.person.is_some()
    }

    /// Whether it is somebody who holds `role`.
    pub(super) fn holds(&self, role: Role) -> bool {
        self.person.as_ref().is_some_and(|person| person.roles.hold(role))
    }

    /// Whoever may change something by a request without a form. A browser sends cookies, and a certificate, by itself, whoever made the request:
    /// a session counts for forms alone, a certificate not from another server's page.
    pub(super) fn by_request(&self) -> Option<&Person> {
        match (&self.proof, self.origin) {
            (Proof::Bearer, _) | (Proof::Certificate(_), Origin::Own | Origin::Unsaid) => {
                self.person.as_ref()
            }
            _ => None,
        }
    }

    /// What a form must send back that is made for this visitor; `None` when it may send none.
    pub(super) fn form_token(&self, parts: &Parts) -> Option<String> {
        match &self.proof {
            Proof::Session(proof) | Proof::Certificate(proof) => Some(parts.sessions.form_token(proof)),
            Proof::Bearer | Proof::None => None,
        }
    }

    /// Whoever may change something by a form that sends `token` back.
    pub(super) fn by_form(&self, parts: &Parts, token: &str) -> Option<&Person> {
        let wanted = self.form_token(parts)?;
        // Digests are compared, so that timing tells nothing.
        let fits = Tokens::digest(&wanted) == Tokens::digest(token);
        self.person.as_ref().filter(|_| fits && self.origin == Origin::Own)
    }
}

/// Finds out who asks, before anything is answered.
pub(super) async fn identify(State(parts): State<Parts>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let peer = request.extensions().get::<Peer>().cloned();
    let path = request.uri().path();
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = authorization.and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
    // What firewalls fetch lists with knows names and passwords only.
    let basic = authorization.filter(|_| is_feed(path)).and_then(Login::basic);
    if bearer.is_none() && !is_for_machines(path) && !is_ours(headers, &parts.config.names) {
        return misdirected(headers);
    }
    let mut visitor = Visitor {
        origin: origin(headers),
        from: peer.as_ref().map(|peer| peer.address),
        is_encrypted: peer.as_ref().is_some_and(|peer| peer.is_encrypted),
        ..Visitor::default()
    };
    let certificate = peer.filter(|peer| !peer.certificate.is_empty()).map(|peer| peer.certificate);
    let session = cookie(headers, SESSION).map(str::to_owned);
    if bearer.is_some() || basic.is_some() || session.is_some() || certificate.is_some() {
        let (tokens, sessions) = (Arc::clone(&parts.tokens), Arc::clone(&parts.sessions));
        let found = tokio::task::spawn_blocking(move || {
            if let Some(token) = bearer {
                return Some((tokens.of_digest(&Tokens::digest(&token))?, Proof::Bearer));
            }
            if let Some(Login { name, password }) = basic {
                let token = String::from_utf8(password).ok()?;
                let person = tokens.of_digest(&Tokens::digest(&token)).filter(|person| person.name == name);
                return Some((person?, Proof::Bearer));
            }
            let by_session = session.and_then(|secret| {
                let person = match sessions.holder_of(&secret)? {
                    Holder::Signed(person, _) => person,
                    Holder::Token(digest) => tokens.of_digest(&digest)?,
                };
                Some((person, Proof::Session(secret)))
            });
            by_session.or_else(|| {
                let person = tokens.of_certificate(&certificate?)?;
                let proof = Proof::Certificate(person.name.clone());
                Some((person, proof))
            })
        });
        if let Some((person, proof)) = found.await.ok().flatten() {
            (visitor.person, visitor.proof) = (Some(person), proof);
        }
    }
    let is_for_feeds = visitor.person.as_ref().is_some_and(|person| person.roles.feeds_only);
    if is_for_feeds && !is_feed(path) {
        return forbidden(Role::Viewer.as_str());
    }
    if parts.config.read == Reading::Viewer && !visitor.is_known() && !is_open(path) {
        return match (path.starts_with("/api/"), is_feed(path)) {
            (true, _) => stranger(),
            (_, true) => feed_stranger(),
            _ => Redirect::to("/login").into_response(),
        };
    }
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// What scrapers, probes and firewalls read, by whatever name they find this server; nothing in it is of one person.
fn is_for_machines(path: &str) -> bool {
    matches!(path, "/metrics" | "/healthz" | "/readyz") || is_feed(path)
}

fn is_feed(path: &str) -> bool {
    path.starts_with("/feeds/")
}

/// What is open to everybody however reading is set.
fn is_open(path: &str) -> bool {
    matches!(path, "/metrics" | "/healthz" | "/readyz" | "/login" | "/favicon.ico" | "/api/v1/openapi.json")
        || matches!(path, THERE | BACK)
        || path.starts_with("/assets/")
}

/// Whether the request names this server; what names none comes from no browser.
fn is_ours(headers: &HeaderMap, names: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    host.to_str().is_ok_and(|host| fields::is_ours(host, names))
}

fn misdirected(headers: &HeaderMap) -> Response {
    let host = headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let what = format!("`{}` is not a name of this server", host.unwrap_or_default());
    let one =
        Problem::error(Place::file("Host"), what, "add it to `names` under [admin], or use the address");
    problem(StatusCode::MISDIRECTED_REQUEST, &[one])
}

fn origin(headers: &HeaderMap) -> Origin {
    let Some(origin) = headers.get(header::ORIGIN) else { return Origin::Unsaid };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.to_str().map_or(Origin::Foreign, |origin| fields::origin(origin, host))
}

/// A cookie's value.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    lines.filter_map(|line| fields::cookie(line, name)).next()
}
