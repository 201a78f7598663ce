//! Owns the sending of messages to a syslog collector inside of TLS (RFC 5425): each with its length in front, to a server whose certificate
//! must speak for its name, or its address. Certificates are read again for each connection. Never makes what a message says.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use super::config::Tls;
use super::output::{Batch, Output, Written, write_framed};
use super::syslog::{PATIENCE, write_length};
use crate::net::tls::{CertificateError, Client, Peer, Renewable, Waited};

/// A session with a collector, while there is one.
#[derive(Debug)]
pub(super) struct Encrypted {
    to: SocketAddr,
    peer: Peer,
    files: Tls,
    own: Option<Arc<Renewable>>,
    client: Client,
    stream: Option<Waited>,
}

impl Encrypted {
    /// For the collector at `to` whose certificate speaks for `peer`. Fails when a certificate cannot be read.
    pub(super) fn new(to: SocketAddr, peer: Peer, files: Tls) -> Result<Self, CertificateError> {
        let own = files.own.clone().map(Renewable::read).transpose()?.map(Arc::new);
        let client = client(&files, own.as_ref())?;
        Ok(Self { to, peer, files, own, client, stream: None })
    }

    /// Reads again what certificates go by; what cannot be read now leaves what was read before.
    fn renew(&mut self) {
        let renewed = match &self.own {
            Some(own) => own.renew().map(drop),
            None => Ok(()),
        };
        match renewed.and_then(|()| client(&self.files, self.own.as_ref())) {
            Ok(client) => self.client = client,
            Err(error) => {
                tracing::warn!(%error, hint = error.hint(), "certificates for the query log's collector cannot be read again; those before stay in use");
            }
        }
    }
}

/// What is wrong with the files that sessions would go by, if something is.
pub(super) fn problem(files: &Tls) -> Option<CertificateError> {
    let own = files.own.clone().map(Renewable::read).transpose().map(drop);
    own.and_then(|()| client(files, None).map(drop)).err()
}

/// What sessions go by.
fn client(files: &Tls, own: Option<&Arc<Renewable>>) -> Result<Client, CertificateError> {
    let client = Client::new(files.authorities.as_deref())?;
    Ok(own.map_or_else(|| client.clone(), |own| client.showing(Arc::clone(own))))
}

impl Output for Encrypted {
    fn write(&mut self, batch: &Batch) -> Written {
        // What is written to a session that has ended goes nowhere, and nobody would say so.
        if let Some(stream) = &mut self.stream
            && let Err(error) = stream.listen()
        {
            self.stream = None;
            if error.get_ref().is_some() {
                // The collector said why.
                return Written::none(error);
            }
        }
        if self.stream.is_none() {
            self.renew();
        }
        let (client, peer, to) = (&self.client, &self.peer, &self.to);
        let open = || {
            let socket = TcpStream::connect_timeout(to, PATIENCE)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            let session = client.session(peer).map_err(std::io::Error::other)?;
            Waited::meet(socket, session)
        };
        write_framed(&mut self.stream, open, batch, write_length)
    }

    fn tries_again(&self) -> bool {
        true
    }

    fn end(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.close();
        }
    }
}
