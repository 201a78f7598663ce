//! Owns TLS towards servers that are asked: whose certificates count, and the names they must hold. Never opens a connection.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificate::{CertificateError, Renewable, bytes};
use super::pin::{Pin, Pinned};
use super::session::{Session, TlsError};

/// What sessions with servers go by. Tickets are kept, so that a new connection to a known server is cheap.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// Looks whether a certificate counts, where one must.
    verifier: Option<Arc<WebPkiServerVerifier>>,
}

/// Takes any certificate; that whoever shows it has its key is still proved.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
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
        Ok(Self { config: Arc::new(config), verifier: Some(verifier) })
    }

    /// The same, with a certificate of this process's own for servers that ask for one.
    #[must_use]
    pub fn showing(&self, own: Arc<Renewable>) -> Self {
        let mut config = (*self.config).clone();
        config.client_auth_cert_resolver = own;
        Self { config: Arc::new(config), verifier: self.verifier.clone() }
    }

    /// The same for one server, inside of whose sessions `application` is spoken (ALPN); its key must be one of `pins`, where there are any.
    #[must_use]
    pub fn for_server(&self, application: &[u8], pins: &[Pin]) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![application.to_vec()];
        if !pins.is_empty()
            && let Some(verifier) = &self.verifier
        {
            let verifier = Pinned::new(Arc::clone(verifier), pins);
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
            // A ticket stands for a certificate that was looked at by other rules.
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
        }
        Self { config: Arc::new(config), verifier: self.verifier.clone() }
    }

    /// What sessions with servers go by of which nobody said whose certificate they show: any counts, `application` is spoken inside (ALPN).
    /// Keeps out who listens, and not who stands in between.
    pub fn for_anyone(application: &[u8]) -> Result<Self, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Settings)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![application.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self { config: Arc::new(config), verifier: None })
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
