//! TLS towards clients, and towards servers that are asked or written to (client): certificate (read, and renewed in place), server settings,
//! names on clients' certificates, keys of servers (pin), session, its socket (stream; waited for: waited), what keeps two ends apart (fault).
//! Owns sessions; never looks into what one carries.

mod certificate;
mod client;
mod fault;
mod names;
mod pin;
mod server;
mod session;
mod stream;
mod waited;

pub use certificate::{CertificateError, Files, Renewable};
pub use client::{Client, Peer};
pub use fault::Fault;
pub use pin::Pin;
pub use rustls::{ClientConfig, ServerConfig};
pub use server::{Application, Authority, Server};
pub use session::{Session, TlsError, shown};
pub use stream::Stream;
pub use waited::Waited;
