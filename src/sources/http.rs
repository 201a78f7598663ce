//! Owns one conditional request for one list: TLS against the system's authorities or a file's, proxy, redirects,
//! time-outs, size caps, content encodings. The door of `rustls-native-certs` and, beside the connections of `transfer`, of
//! `rustls`. Never keeps anything.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError;
use rustls::crypto::aws_lc_rs;
use serde::{Deserialize, Serialize};
use ureq::config::ConfigBuilder;
use ureq::http::{HeaderMap, Response, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;
use ureq::{Agent, Body, Timeout};

use super::address::Address;
use super::config::Network;
use super::file::{CONFIG_FILE, read_file};
use super::refusal::{Reason, Refusal};
use super::unpack::{Packing, UnpackError};

/// A proxy that is asked to CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(ureq::Proxy);

/// What a server said about the version it sent, to be asked for a newer one only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) address: &'a Address,
    pub(super) network: &'a Network,
    /// Of the version at hand.
    pub(super) known: Option<&'a Validators>,
    pub(super) cap: u64,
    /// Longest time for all of it.
    pub(super) timeout: Duration,
    /// Whether a signature tells a cut-off answer from a whole one.
    pub(super) signed: bool,
}

/// What came.
#[derive(Debug)]
pub(super) enum Reply {
    /// The body, without content encoding.
    Body(Vec<u8>, Validators),
    /// Status 304.
    Unchanged,
}

/// Time for a connection, TLS included: a server that needs longer is not there.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// Redirects followed: a rename and a mirror.
const REDIRECTS: u32 = 5;
/// Longest wait a server may ask for.
const LONGEST_RETRY_AFTER: u64 = 86_400;

impl FromStr for Proxy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err("neither http:// nor https://");
        }
        if text.contains('@') {
            return Err("a name or password stands in it");
        }
        ureq::Proxy::new(text).map(Self).map_err(|_| "not an address")
    }
}

impl Proxy {
    pub(super) fn settings(&self) -> ureq::Proxy {
        self.0.clone()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.host(), self.0.port())
    }
}

/// Asks for a list once. Blocks; every wait is bounded by `request.timeout`.
pub(super) fn get(request: Request<'_>) -> Result<Reply, Refusal> {
    let agent = agent(&request)?;
    let mut call = agent
        .get(request.address.as_str())
        .header(header::ACCEPT_ENCODING, "gzip, zstd")
        .header(header::USER_AGENT, concat!("interdict/", env!("CARGO_PKG_VERSION")));
    if let Some(known) = request.known {
        if let Some(etag) = &known.etag {
            call = call.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(date) = &known.last_modified {
            call = call.header(header::IF_MODIFIED_SINCE, date);
        }
    }
    let reply = call.call().map_err(|error| failed(error, request.timeout))?;
    match reply.status().as_u16() {
        200 => body(reply, &request),
        304 if request.known.is_some_and(|known| *known != Validators::default()) => Ok(Reply::Unchanged),
        status => {
            let hint = match status {
                401 | 403 => "the server wants to know who asks; let it admit this host by its address",
                404 | 410 => "check the address",
                429 | 503 => "the server is busy; it is asked less often until it answers",
                _ => "",
            };
            let reason = reply.status().canonical_reason().unwrap_or("");
            let what = format!("the server answered {status} {reason}").trim_end().to_owned();
            let mut refusal = Refusal::new(Reason::Status, what, hint);
            let after = text(reply.headers(), header::RETRY_AFTER).and_then(|after| after.parse().ok());
            refusal.retry_after =
                after.map(|seconds: u64| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)));
            Err(refusal)
        }
    }
}

fn agent(request: &Request<'_>) -> Result<Agent, Refusal> {
    Ok(settings(request.network.ca.as_deref(), request.timeout)?
        // An encrypted way never ends in the clear; one in the clear is for signed lists only.
        .https_only(request.address.is_secure())
        .max_redirects(REDIRECTS)
        .proxy(request.network.proxy.as_ref().map(Proxy::settings))
        .build()
        .into())
}

/// What all requests go by: whose certificates count, and how long one may take in all.
pub(super) fn settings(ca: Option<&Path>, timeout: Duration) -> Result<ConfigBuilder<AgentScope>, Refusal> {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates(ca)?)))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build();
    Ok(Agent::config_builder()
        .timeout_global(Some(timeout))
        .timeout_connect(Some(CONNECT.min(timeout)))
        .http_status_as_error(false)
        .tls_config(tls))
}

/// The authorities of a file, and no others; or the system's.
pub(super) fn certificates(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, Refusal> {
    let (certificates, whose): (Vec<Certificate<'static>>, _) = match file {
        Some(path) => {
            let raw = read_file(path, CONFIG_FILE).map_err(|error| {
                let problem = error.problem(path);
                Refusal::new(
                    Reason::Certificate,
                    format!("`ca` {} {}", path.display(), problem.what),
                    problem.hint,
                )
            })?;
            let bytes = raw.bytes();
            let found = parse_pem(&bytes).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            (found.collect(), format!("`ca` {}", path.display()))
        }
        None => {
            let found = rustls_native_certs::load_native_certs().certs;
            let owned = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
            (owned.collect(), "the system's store".to_owned())
        }
    };
    if certificates.is_empty() {
        return Err(Refusal::new(
            Reason::Certificate,
            format!("{whose} holds no certificate"),
            "install the system's certificates (ca-certificates), or name a PEM file with `ca`",
        ));
    }
    Ok(certificates)
}

fn body(mut reply: Response<Body>, request: &Request<'_>) -> Result<Reply, Refusal> {
    let headers = reply.headers();
    let validators = Validators {
        etag: text(headers, header::ETAG).map(str::to_owned),
        last_modified: text(headers, header::LAST_MODIFIED).map(str::to_owned),
    };
    let media = text(headers, header::CONTENT_TYPE).unwrap_or("").to_ascii_lowercase();
    if media.starts_with("text/html") || media.starts_with("application/xhtml") {
        return Err(web_page());
    }
    let packing = match text(headers, header::CONTENT_ENCODING).unwrap_or("identity") {
        "gzip" | "x-gzip" => Some(Packing::Gzip),
        "zstd" => Some(Packing::Zstd),
        "identity" | "" => None,
        other => {
            let what = format!("the server packed it as `{other}`, which was not asked for");
            return Err(Refusal::new(Reason::Damaged, what, "gzip, zstd or nothing is understood"));
        }
    };
    // RFC 9112 section 8: only a stated length, or chunks, tell a whole body from a cut-off one.
    let chunked = text(headers, header::TRANSFER_ENCODING).is_some_and(|coding| coding.contains("chunked"));
    let delimited = chunked || headers.contains_key(header::CONTENT_LENGTH);
    if !delimited && packing.is_none() && !request.signed {
        return Err(Refusal::new(
            Reason::Truncated,
            "the server does not say where the list ends, so that a cut-off one looks whole",
            "let the server send Content-Length, or let the list be signed",
        ));
    }
    if reply.body().content_length().is_some_and(|length| length > request.cap) {
        return Err(too_large(request.cap));
    }
    let mut bytes = Vec::new();
    let read = reply.body_mut().as_reader().take(request.cap + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(ureq::Error::from(error), request.timeout))?;
    if bytes.len() as u64 > request.cap {
        return Err(too_large(request.cap));
    }
    if let Some(packing) = packing {
        bytes = packing.unpack(&bytes, request.cap).map_err(unpacking)?;
    }
    Ok(Reply::Body(bytes, validators))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn web_page() -> Refusal {
    Refusal::new(
        Reason::Html,
        "a web page came instead of a list",
        "check the address; a login page or a proxy may have answered instead",
    )
}

pub(super) fn too_large(cap: u64) -> Refusal {
    let what = format!("it is larger than {cap} bytes");
    Refusal::new(Reason::TooLarge, what, "if that is meant, raise `max_bytes`")
}

pub(super) fn unpacking(error: UnpackError) -> Refusal {
    match error {
        UnpackError::Damaged(why) => Refusal::new(Reason::Damaged, format!("it does not unpack: {why}"), ""),
        UnpackError::TooLarge(cap) => {
            let what = format!("it unpacks to more than {cap} bytes");
            Refusal::new(Reason::TooLarge, what, "if that is meant, raise `max_bytes`")
        }
        UnpackError::Truncated => truncated(),
    }
}

fn truncated() -> Refusal {
    Refusal::new(Reason::Truncated, "it was cut off on the way", "it is fetched again by itself")
}

/// What a failed request means.
pub(super) fn failed(error: ureq::Error, timeout: Duration) -> Refusal {
    use ureq::Error;
    let connect = |what: String| {
        Refusal::new(Reason::Connect, what, "can this host reach the server? behind a proxy, set `proxy`")
    };
    match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            let what = format!("no connection within {} s", CONNECT.min(timeout).as_secs_f32());
            Refusal::new(Reason::Timeout, what, "can this host reach the server? behind a proxy, set `proxy`")
        }
        Error::Timeout(_) => {
            let what = format!("it did not come whole within {} s", timeout.as_secs_f32());
            Refusal::new(Reason::Timeout, what, "if the way there is slow, raise `timeout`")
        }
        Error::RequireHttpsOnly(to) => {
            let to = to.split('?').next().unwrap_or("").to_owned();
            let what = format!("the server leads to {to}, out of encryption");
            Refusal::new(Reason::Redirect, what, "name the place of the list itself, with https://")
        }
        Error::TooManyRedirects | Error::RedirectFailed => {
            let what = format!("the server leads on and on, more than {REDIRECTS} times");
            Refusal::new(Reason::Redirect, what, "name the place of the list itself")
        }
        Error::ConnectProxyFailed(why) => {
            let hint = "the proxy must let this host CONNECT to the server of the list";
            Refusal::new(Reason::Proxy, why, hint)
        }
        Error::HostNotFound => connect("the server's name does not resolve".to_owned()),
        Error::Rustls(error) => tls(&error),
        Error::Tls(why) => Refusal::new(Reason::Certificate, why, ""),
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => tls(inner),
            None if error.kind() == io::ErrorKind::UnexpectedEof => truncated(),
            None => connect(error.to_string()),
        },
        // What a server sends that is no HTTP, a chunk of another size than it says for one.
        Error::Protocol(why) => {
            Refusal::new(Reason::Damaged, format!("the answer is not HTTP as it should be: {why}"), "")
        }
        other => connect(other.to_string()),
    }
}

pub(super) fn tls(error: &rustls::Error) -> Refusal {
    let (what, hint) = match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // A forged authority of the same name fails by its signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => (
                "the server's certificate is from an authority that is not trusted".to_owned(),
                "if the authority is your own, name its file with `ca`",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                "the server's certificate is for another name".to_owned(),
                "use the name that stands in the certificate",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "the server's certificate has expired".to_owned(),
                "its owner must renew it; is this host's clock right?",
            ),
            other => (format!("the server's certificate is refused: {other}"), ""),
        },
        other => (format!("no encrypted connection: {other}"), ""),
    };
    Refusal::new(Reason::Certificate, what, hint)
}
