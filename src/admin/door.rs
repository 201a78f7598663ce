//! Owns the way from a socket to a connection that nobody reads along, where the listener has a certificate. Never reads a request.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use super::auth::Tokens;
use super::config::Config;
use super::oidc;
use super::visitor::Peer;
use crate::clock::{Clock, Moment};
use crate::net::tls::{Application, Authority, CertificateError, Renewable, Server, Stream};
use crate::problem::{Place, Problem};

/// How operators' connections are met.
#[derive(Debug)]
pub struct Door {
    clock: Clock,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    server: Arc<Server>,
    certificate: Arc<Renewable>,
    looked: Mutex<Moment>,
}

/// A connection, in clear or not.
pub(super) enum Met {
    Clear(TcpStream),
    Encrypted(Box<Stream>),
}

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);
/// The first byte of a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Everything that is wrong with the files that the settings name.
pub fn problems(config: &Config, clock: Clock) -> Vec<Problem> {
    let opened = Door::open(config, clock).err();
    let complaint =
        |error: CertificateError| Problem::error(Place::file("[admin]"), error.to_string(), error.hint());
    let tokens = Tokens::of(config.tokens.clone()).problems();
    let oidc = config.oidc.iter().flat_map(oidc::Config::problems);
    opened.map(complaint).into_iter().chain(tokens).chain(oidc).collect()
}

impl Door {
    /// Reads the certificate, and the authority of people's, where they are configured.
    pub fn open(config: &Config, clock: Clock) -> Result<Self, CertificateError> {
        let Some(files) = config.tls.clone() else { return Ok(Self { clock, tls: None }) };
        let certificate = Arc::new(Renewable::read(files)?);
        let authority = config.client_ca.clone();
        let authority =
            authority.map(|certificates| Authority { certificates, revoked: None, required: false });
        let server = Server::new(Arc::clone(&certificate), Application::Http1, authority)?;
        let looked = Mutex::new(clock.now());
        Ok(Self { clock, tls: Some(Tls { server: Arc::new(server), certificate, looked }) })
    }

    /// Shakes hands where there is a certificate. What comes from this machine itself may come in clear all the same: probes and the command line, whose
    /// way nobody can listen to.
    pub(super) async fn meet(&self, socket: TcpStream, from: SocketAddr) -> io::Result<(Met, Peer)> {
        let clear = |socket| {
            let peer = Peer { address: from.ip(), is_encrypted: false, certificate: Arc::default() };
            (Met::Clear(socket), peer)
        };
        let Some(tls) = &self.tls else { return Ok(clear(socket)) };
        if from.ip().to_canonical().is_loopback() {
            let mut first = [0];
            if socket.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
                return Ok(clear(socket));
            }
        }
        self.renew(tls);
        let stream = Stream::greet(socket, tls.server.config()).await?;
        let certificate = stream.session().credentials().certificate.into();
        let peer = Peer { address: from.ip(), is_encrypted: true, certificate };
        Ok((Met::Encrypted(Box::new(stream)), peer))
    }

    /// Has changed files read, beside this connection, which goes by those before.
    fn renew(&self, tls: &Tls) {
        let now = self.clock.now();
        {
            let mut looked = tls.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if now.since(*looked) < LOOK {
                return;
            }
            *looked = now;
        }
        let (certificate, server) = (Arc::clone(&tls.certificate), Arc::clone(&tls.server));
        drop(tokio::task::spawn_blocking(move || {
            for renewed in [certificate.renew(), server.renew()] {
                match renewed {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("changed certificates of [admin] are in use"),
                    Err(error) => {
                        tracing::error!(%error, hint = error.hint(), "changed files of [admin] cannot be used; those before stay in use");
                    }
                }
            }
        }));
    }
}
