//! Owns the settings of TLS towards clients: versions, resumption, what is spoken inside. Never keeps a certificate.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;

use super::certificate::Renewable;

/// What is spoken inside of TLS (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// DNS over TLS (RFC 7858, RFC 7301): `dot`. Clients that name nothing are served too, as most do.
    Dot,
    /// HTTP/2 or HTTP/1.1.
    Http,
}

/// TLS 1.2 and 1.3 with `certificate`. Clients may resume with tickets (RFC 5077, RFC 8446 section 2.2), whose keys are this process's
/// and change every six hours. No early data: what comes in it could be replayed (RFC 8446 section 8).
pub fn server(
    certificate: Arc<Renewable>,
    application: Application,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = match application {
        Application::Dot => vec![b"dot".to_vec()],
        Application::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Each connection brings a new one, and clients of a resolver open one at a time.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
