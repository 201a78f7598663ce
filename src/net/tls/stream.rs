//! Owns a session over its socket, as a stream of bytes. Where it gathers, what is written waits until nothing more can be read,
//! so that replies to requests that came together leave together. Never looks into what it carries.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::session::Session;
use crate::net::Direct;

/// An encrypted stream.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    session: Session,
    /// What came and was not taken yet, from `taken` on.
    text: Vec<u8>,
    taken: usize,
    /// What is to be sent, in clear.
    unsent: Vec<u8>,
    ended: bool,
    gathers: bool,
    /// Something was written since it was last tried to send.
    is_new: bool,
}

/// Bytes read at a time.
const READ: usize = 1 << 16;
/// Bytes that may wait to be sent before somebody waits for them.
const UNSENT: usize = 1 << 16;

/// Room that a stream keeps for what is to be sent while nothing is: some fifty replies.
const IDLE: usize = 1 << 13;

thread_local! {
    /// Room for what a socket brings, made once for each thread.
    static RECEIVED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

impl Stream {
    /// Shakes hands with the client at the other end of `socket`.
    pub async fn greet(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        Self::meet(socket, Session::new(config).map_err(io::Error::other)?).await
    }

    /// Shakes hands with whoever is at the other end of `socket`.
    pub async fn meet(socket: TcpStream, session: Session) -> io::Result<Self> {
        let mut stream = Self {
            socket,
            session,
            text: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            ended: false,
            gathers: false,
            is_new: false,
        };
        poll_fn(|context| stream.poll_greet(context)).await?;
        Ok(stream)
    }

    /// Lets what is flushed wait until nothing more can be read. Whoever flushes is woken once more, to read on.
    pub fn gather(&mut self) {
        self.gathers = true;
    }

    /// The socket, to see who is at its other end, and to end it.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    fn poll_greet(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(context))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.poll_receive(context))?;
        }
    }

    /// Reads the socket once.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        RECEIVED.with_borrow_mut(|received| {
            let mut room = ReadBuf::new(received);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut room))?;
            match self.session.receive(room.filled(), &mut self.text) {
                Ok(ended) => {
                    self.ended |= ended || room.filled().is_empty();
                    Poll::Ready(Ok(()))
                }
                Err(error) => {
                    // Says why, if the socket takes it.
                    let _unsent = self.session.send(Direct(&self.socket)).is_err();
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
                }
            }
        })
    }

    /// Sends everything that waits.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_new = false;
        if !self.unsent.is_empty() && !self.session.has_to_send() {
            self.session.say(&self.unsent);
            self.unsent.clear();
            // An idle connection keeps no room.
            self.unsent.shrink_to(IDLE);
        }
        while self.session.has_to_send() {
            ready!(self.socket.poll_write_ready(context))?;
            match self.session.send(Direct(&self.socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => sent?,
            }
        }
        if self.unsent.is_empty() { Poll::Ready(Ok(())) } else { self.poll_send(context) }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.taken == this.text.len() && !this.ended {
            this.text.clear();
            this.taken = 0;
            if this.poll_receive(context)?.is_pending() {
                this.text = Vec::new();
                // Nothing more came: time to say what there is to say. Should that wait, the task is woken for it too.
                let _waits = this.poll_send(context)?;
                return Poll::Pending;
            }
        }
        let rest = this.text.get(this.taken..).unwrap_or(&[]);
        let part = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(part);
        this.taken += part.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unsent.len() >= UNSENT {
            ready!(self.poll_send(context))?;
        }
        self.unsent.extend_from_slice(bytes);
        self.is_new = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathers && self.unsent.len() < UNSENT && !self.ended {
            // What answers no request, a ping or more room for a body, would else wait until the client says something.
            if std::mem::take(&mut self.is_new) {
                context.waker().wake_by_ref();
            }
            return Poll::Ready(Ok(()));
        }
        self.poll_send(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        self.session.close();
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
