//! Owns a session with a server over a socket that is waited for, for threads that write and hardly ever read. Never looks into what it carries,
//! and never waits for longer than its socket's own timeouts.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::session::Session;

/// A session, and its socket.
#[derive(Debug)]
pub struct Waited {
    socket: TcpStream,
    session: Session,
}

/// Bytes that are encrypted and sent at a time: one record.
const PIECE: usize = 1 << 14;
/// How long a server may take to turn away a client that thinks itself known: whether its certificate counts, TLS 1.3 tells only
/// afterwards (RFC 8446 section 4.4.2.4), and what was written by then would be lost. Most send a ticket, which ends the wait.
const OBJECTION: Duration = Duration::from_millis(300);

impl Waited {
    /// Shakes hands over `socket`, whose timeouts say how long that may take.
    pub fn meet(socket: TcpStream, session: Session) -> io::Result<Self> {
        let mut stream = Self { socket, session };
        loop {
            stream.session.send(&stream.socket)?;
            if !stream.session.is_handshaking() {
                break;
            }
            stream.receive()?;
        }
        let patience = stream.socket.read_timeout()?;
        stream.socket.set_read_timeout(Some(OBJECTION))?;
        match stream.receive() {
            Err(error) if is_nothing_yet(&error) => {}
            received => received?,
        }
        stream.socket.set_read_timeout(patience)?;
        Ok(stream)
    }

    /// Takes what the server has said by now. Fails when that is its end.
    pub fn listen(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let heard = loop {
            match self.receive() {
                Ok(()) => {}
                Err(error) if is_nothing_yet(&error) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.socket.set_nonblocking(false)?;
        heard
    }

    /// Says goodbye, as far as that goes without waiting for an answer.
    pub fn close(&mut self) {
        self.session.close();
        let _said = self.session.send(&self.socket).is_ok();
    }

    /// Reads the socket once. What the server says inside of the session is nobody's.
    fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; PIECE];
        let length = self.socket.read(&mut bytes)?;
        let mut said = Vec::new();
        let ended = self.session.receive(bytes.get(..length).unwrap_or(&[]), &mut said);
        match ended {
            Ok(ended) if ended || length == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) => {
                // Says why, if the socket takes it.
                let _unsent = self.session.send(&self.socket).is_err();
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }
}

fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Write for Waited {
    /// Takes a record's worth, and returns when the socket has it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..PIECE).unwrap_or(bytes);
        self.session.say(piece);
        self.session.send(&self.socket)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
