//! Owns the settings of TLS towards clients: versions, resumption, what is spoken inside, and whose certificates clients show. They are made
//! anew when an authority's files change. Never keeps the server's own certificate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::certificate::{CertificateError, Renewable, Stamp, bytes, stamp};

/// What is spoken inside of TLS (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// DNS over TLS (RFC 7858, RFC 7301): `dot`. Clients that name nothing are served too, as most do.
    Dot,
    /// DNS over QUIC (RFC 9250 section 4.1.1): `doq`.
    Doq,
    /// HTTP/2 or HTTP/1.1.
    Http,
    /// HTTP/3 (RFC 9114 section 3.1): `h3`.
    Http3,
    /// HTTP/1.1 alone.
    Http1,
}

/// Whose certificates clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The authorities' certificates, in PEM.
    pub certificates: PathBuf,
    /// Their lists of revoked certificates, in PEM.
    pub revoked: Option<PathBuf>,
    /// Whether a client without one is turned away.
    pub required: bool,
}

/// Settings that follow their files.
#[derive(Debug)]
pub struct Server {
    certificate: Arc<Renewable>,
    application: Application,
    authority: Option<Authority>,
    current: RwLock<Arc<ServerConfig>>,
    stamps: Mutex<[Option<Stamp>; 2]>,
}

impl Server {
    /// Settings with `certificate`, and clients' certificates by `authority`.
    pub fn new(
        certificate: Arc<Renewable>,
        application: Application,
        authority: Option<Authority>,
    ) -> Result<Self, CertificateError> {
        let stamps = Mutex::new(stamps(authority.as_ref()));
        let current = settings(&certificate, application, authority.as_ref())?;
        Ok(Self { certificate, application, authority, current: RwLock::new(current), stamps })
    }

    /// What a new session goes by.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads an authority's files again when they have changed. Says whether new clients are held to them from now on; after an error those
    /// from before count.
    pub fn renew(&self) -> Result<bool, CertificateError> {
        let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(self.authority.as_ref());
        if stamps == *known {
            return Ok(false);
        }
        *known = stamps;
        let settings = settings(&self.certificate, self.application, self.authority.as_ref())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(true)
    }
}

fn stamps(authority: Option<&Authority>) -> [Option<Stamp>; 2] {
    let revoked = authority.and_then(|authority| authority.revoked.as_deref());
    [authority.map(|authority| authority.certificates.as_path()), revoked].map(|path| stamp(path?))
}

/// TLS 1.2 and 1.3. Clients without certificates may resume with tickets (RFC 5077, RFC 8446 section 2.2), whose keys are this process's and
/// change every six hours; who shows a certificate shows it each time, so that a revoked one does not come back by a ticket. No early
/// data: what comes in it could be replayed (RFC 8446 section 8).
fn settings(
    certificate: &Arc<Renewable>,
    application: Application,
    authority: Option<&Authority>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Settings)?;
    let builder = match authority {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(verifier(authority, provider)?),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificate) as _);
    config.alpn_protocols = match application {
        Application::Dot => vec![b"dot".to_vec()],
        Application::Doq => vec![b"doq".to_vec()],
        Application::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Application::Http3 => vec![b"h3".to_vec()],
        Application::Http1 => vec![b"http/1.1".to_vec()],
    };
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Each connection brings a new one, and clients of a resolver open one at a time.
    config.send_tls13_tickets = usize::from(authority.is_none());
    if authority.is_none() {
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(CertificateError::Settings)?;
    }
    Ok(Arc::new(config))
}

fn verifier(
    authority: &Authority,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let path = &authority.certificates;
    let malformed = || CertificateError::Malformed(path.clone());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes(path)?) {
        roots.add(certificate.map_err(|_| malformed())?).map_err(|_| malformed())?;
    }
    if roots.is_empty() {
        return Err(CertificateError::Empty { path: path.clone(), what: "certificate" });
    }
    // Of those between the client's and the authority's, only the authority could tell; its list speaks of what it issued.
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .only_check_end_entity_revocation();
    if let Some(revoked) = &authority.revoked {
        let lists: Vec<CertificateRevocationListDer<'static>> =
            CertificateRevocationListDer::pem_slice_iter(&bytes(revoked)?)
                .collect::<Result<_, _>>()
                .map_err(|_| CertificateError::Malformed(revoked.clone()))?;
        if lists.is_empty() {
            return Err(CertificateError::Empty {
                path: revoked.clone(),
                what: "list of revoked certificates",
            });
        }
        builder = builder.with_crls(lists);
    }
    if !authority.required {
        builder = builder.allow_unauthenticated();
    }
    builder
        .build()
        .map_err(|_| CertificateError::Malformed(authority.revoked.as_ref().unwrap_or(path).clone()))
}
