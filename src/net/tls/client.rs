//! Owns TLS towards servers that are asked: whose certificates count, and the names they must hold. Never opens a connection.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::certificate::{CertificateError, bytes};
use super::session::{Session, TlsError};

/// What sessions with servers go by. Tickets are kept, so that a new connection to a known server is cheap.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientConfig>);

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
    /// With the authorities in a PEM file and no others, or the system's; `application` is what is spoken inside (ALPN).
    pub fn new(authorities: Option<&Path>, application: &[u8]) -> Result<Self, CertificateError> {
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
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Settings)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![application.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// A session with a server whose certificate must speak for `peer`.
    pub fn session(&self, peer: &Peer) -> Result<Session, TlsError> {
        Ok(Session::of(ClientConnection::new(Arc::clone(&self.0), peer.0.clone())?.into()))
    }
}
