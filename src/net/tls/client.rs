//! Owns TLS towards servers that are asked: whose certificates count, and the names they must hold. Never opens a connection.

use std::path::Path;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::certificate::{CertificateError, bytes};
use super::pin::{Pin, Pinned};
use super::session::{Session, TlsError};

/// What sessions with servers go by. Tickets are kept, so that a new connection to a known server is cheap.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// Looks whether a certificate counts.
    verifier: Arc<WebPkiServerVerifier>,
}

/// Whom a server's certificate must speak for: a name, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer(ServerName<'static>);

impl Peer {
    /// `None` for what is neither a name nor an address.
    pub fn named(text: &str) -> Option<Self> {
        ServerName::try_from(text.to_owned()).ok().map(Self)
    }
}

impl Client {
    /// With the authorities in a PEM file and no others, or the system's.
    pub fn new(authorities: Option<&Path>) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        let path = authorities.unwrap_or(Path::new("the system's store of certificates"));
        let certificates: Vec<CertificateDer<'static>> = match authorities {
            Some(path) => CertificateDer::pem_slice_iter(&bytes(path)?)
                .collect::<Result<_, _>>()
                .map_err(|_| CertificateError::Malformed(path.to_owned()))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        // A store may hold certificates that no verifier takes: they speak for nobody.
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            return Err(CertificateError::Empty { path: path.to_owned(), what: "certificate" });
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier
            .build()
            .map_err(|_| CertificateError::Empty { path: path.to_owned(), what: "certificate" })?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Settings)?
            .with_webpki_verifier(Arc::clone(&verifier))
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// The same for one server, inside of whose sessions `application` is spoken (ALPN); its key must be one of `pins`, where there are any.
    #[must_use]
    pub fn for_server(&self, application: &[u8], pins: &[Pin]) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![application.to_vec()];
        if !pins.is_empty() {
            let verifier = Pinned::new(Arc::clone(&self.verifier), pins);
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
            // A ticket stands for a certificate that was looked at by other rules.
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
        }
        Self { config: Arc::new(config), verifier: Arc::clone(&self.verifier) }
    }

    /// A session with a server whose certificate must speak for `peer`.
    pub fn session(&self, peer: &Peer) -> Result<Session, TlsError> {
        Ok(Session::of(ClientConnection::new(Arc::clone(&self.config), peer.0.clone())?.into()))
    }

    /// The settings, for QUIC, whose library makes its own sessions.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

/// Tickets of one server that are kept.
const SESSIONS: usize = 8;
