//! TLS towards clients: certificate (read, and renewed in place), server settings, names on clients' certificates, session. Owns every use of `rustls` on
//! the listening side; never reads a socket by itself, and never looks into what a session carries.

mod certificate;
mod names;
mod server;
mod session;
mod stream;

pub use certificate::{CertificateError, Files, Renewable};
pub use rustls::ServerConfig;
pub use server::{Application, Authority, Server};
pub use session::{Session, TlsError};
pub use stream::Stream;
