//! Owns the settings of the operators' door and the reasons for their defaults. Never reads a file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::oidc;
use crate::net::tls::Files;

/// Settings of the operators' door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens. Default 127.0.0.1:9153: metrics and status are for this machine unless an operator says otherwise.
    pub listen: SocketAddr,
    /// File with the tokens that may change state.
    pub tokens: Option<PathBuf>,
    /// Who may read. Default everybody who can reach the listener; what shows people is for those who are known in any case.
    pub read: Reading,
    /// Names by which browsers may ask, beside addresses and names of one label. Default none: a name that nobody expects is somebody's attempt to
    /// have a browser read here.
    pub names: Vec<String>,
    /// The certificate and its key; `None` for HTTP in clear.
    pub tls: Option<Files>,
    /// Authority of the certificates that people may show.
    pub client_ca: Option<PathBuf>,
    /// The provider that people may sign in at. Default none.
    pub oidc: Option<oidc::Config>,
    /// Newest records kept in memory for the live tail; 0 for none. Default a thousand where records are made for a log or for reports anyway, else
    /// none.
    pub tail: Option<usize>,
}

/// Who may read what shows nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// Whoever can reach the listener.
    #[default]
    Open,
    /// Whoever is known.
    Viewer,
}

impl FromStr for Reading {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "viewer" => Ok(Self::Viewer),
            _ => Err("use one of open, viewer"),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9153),
            tokens: None,
            read: Reading::default(),
            names: Vec::new(),
            tls: None,
            client_ca: None,
            oidc: None,
            tail: None,
        }
    }
}
