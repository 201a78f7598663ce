//! Owns one TLS session: bytes of the network in, what they carry out, and back. Never reads or writes a socket, and never keeps
//! more than a record.

use std::any::Any;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::fault::Fault;
use super::names::names;
use crate::policy::Credentials;
use rustls::pki_types::CertificateDer;
use rustls::{Connection, HandshakeKind, ServerConfig, ServerConnection};

/// A session; the client's end speaks first.
#[derive(Debug)]
pub struct Session(Connection);

/// Why a session cannot go on. What is still to be said of it, an alert, waits to be sent.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
pub struct TlsError(#[from] rustls::Error);

impl TlsError {
    /// What kind of fault it is.
    pub fn fault(&self) -> Fault {
        Fault::of(&self.0)
    }
}

/// What a client has shown over QUIC: the server's name that it asked for, and its certificate, which was checked, as QUIC's library
/// hands it over.
pub fn shown(name: Option<&str>, identity: Option<Box<dyn Any>>) -> Credentials {
    let chain = identity.and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let own = chain.as_ref().and_then(|chain| chain.first());
    Credentials {
        certificate: own.map(|certificate| names(certificate)).unwrap_or_default(),
        server_name: name.map(str::to_ascii_lowercase),
        user: None,
    }
}

impl Session {
    /// A session with a client, under `config`.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        Ok(Self::of(ServerConnection::new(config)?.into()))
    }

    pub(super) fn of(mut connection: Connection) -> Self {
        // The caller bounds what it says.
        connection.set_buffer_limit(None);
        Self(connection)
    }

    /// Takes what came from the network and appends what it carries to `text`. Says whether the client has ended its side.
    pub fn receive(&mut self, mut bytes: &[u8], text: &mut Vec<u8>) -> Result<bool, TlsError> {
        let mut ended = false;
        while !bytes.is_empty() && !ended {
            // Fails only when more waits to be read out than fits, and none does.
            if self.0.read_tls(&mut bytes).is_err() {
                return Err(rustls::Error::General("more than fits".to_owned()).into());
            }
            let state = self.0.process_new_packets()?;
            let length = state.plaintext_bytes_to_read();
            ended = state.peer_has_closed();
            let begin = text.len();
            text.resize(begin + length, 0);
            if let Some(room) = text.get_mut(begin..)
                && self.0.reader().read_exact(room).is_err()
            {
                text.truncate(begin);
            }
        }
        Ok(ended)
    }

    /// Takes `text` to be sent.
    pub fn say(&mut self, text: &[u8]) {
        // Writes to memory, whose limit was taken off.
        let _whole = self.0.writer().write_all(text).is_ok();
    }

    /// Says that nothing more will come.
    pub fn close(&mut self) {
        self.0.send_close_notify();
    }

    /// True while something waits to be sent.
    pub fn has_to_send(&self) -> bool {
        self.0.wants_write()
    }

    /// Hands `writer` what waits to be sent, until nothing does or it takes no more.
    pub fn send(&mut self, mut writer: impl Write) -> io::Result<()> {
        while self.0.wants_write() {
            if self.0.write_tls(&mut writer)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// True until the client is known and may ask.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// True when the client came back with a ticket.
    pub fn is_resumed(&self) -> bool {
        self.0.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What the client has shown: the server's name that it asked for (RFC 6066 section 3), and the names on its certificate, which
    /// was checked.
    pub fn credentials(&self) -> Credentials {
        let name = match &self.0 {
            Connection::Client(_) => None,
            Connection::Server(connection) => connection.server_name(),
        };
        let own = self.0.peer_certificates().and_then(<[_]>::first);
        Credentials {
            certificate: own.map(|certificate| names(certificate)).unwrap_or_default(),
            server_name: name.map(str::to_ascii_lowercase),
            user: None,
        }
    }

    /// True when the client and this server agreed on `protocol` (ALPN).
    pub fn speaks(&self, protocol: &[u8]) -> bool {
        self.0.alpn_protocol() == Some(protocol)
    }
}
