//! TLS towards clients, and towards servers that are asked (client): certificate (read, and renewed in place), server settings, names on clients' certificates, keys of servers (pin), session. Owns the sessions of queries; never reads a socket by itself, and never looks into what a session carries.

mod certificate;
mod client;
mod names;
mod pin;
mod server;
mod session;
mod stream;

pub use certificate::{CertificateError, Files, Renewable};
pub use client::{Client, Peer};
pub use pin::Pin;
pub use rustls::{ClientConfig, ServerConfig};
pub use server::{Application, Authority, Server};
pub use session::{Session, TlsError, shown};
pub use stream::Stream;
