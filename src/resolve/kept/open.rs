//! Owns the one connection to a server that carries any number of questions: made by whoever asks first, shared by the others, made anew
//! when it has ended. Never asks anything.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::time::timeout;

use super::CONNECT;
use crate::resolve::question::Question;

/// How a server is asked over one connection.
pub(in crate::resolve) trait Multiplexed: Sync {
    /// A connection, or where it takes questions.
    type Connection: Clone + Send;

    /// Makes one.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;

    /// Asks over one; returns the answer with a zero id and without OPT record.
    fn ask(
        &self,
        connection: Self::Connection,
        question: &Question,
        edns: bool,
    ) -> impl Future<Output = Result<Vec<u8>, Ended>> + Send;

    /// Ends one.
    fn close(connection: Self::Connection);
}

/// A server, and the connection to it while there is one.
#[derive(Debug)]
pub(in crate::resolve) struct Open<S: Multiplexed> {
    server: S,
    current: Mutex<Current<S::Connection>>,
    /// Held by who makes a connection, for which all others wait.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Current<C> {
    connection: Option<C>,
    /// How many were made.
    number: u64,
}

/// A connection that was handed out.
#[derive(Debug)]
struct Lent<C> {
    connection: C,
    number: u64,
    is_new: bool,
}

/// Why there is no answer over a connection.
#[derive(Debug)]
pub(in crate::resolve) enum Ended {
    /// It has ended, which says nothing about a new one if it was kept: the server may close it at any time.
    Connection(io::Error),
    /// What the server said is no answer.
    Answer(&'static str),
}

impl<S: Multiplexed> Open<S> {
    pub(super) fn new(server: S) -> Self {
        let current = Current { connection: None, number: 0 };
        Self { server, current: Mutex::new(current), connecting: tokio::sync::Mutex::new(()) }
    }

    /// The answer to `question`. It is asked again when a kept connection has ended.
    pub(super) async fn exchange(&self, question: &Question, edns: bool) -> io::Result<Vec<u8>> {
        loop {
            let Lent { connection, number, is_new } = self.lend().await?;
            match self.server.ask(connection, question, edns).await {
                Ok(answer) => return Ok(answer),
                Err(Ended::Answer(what)) => return Err(io::Error::new(io::ErrorKind::InvalidData, what)),
                Err(Ended::Connection(error)) => {
                    self.forget(number);
                    if is_new {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn lend(&self) -> io::Result<Lent<S::Connection>> {
        if let Some(lent) = self.current() {
            return Ok(lent);
        }
        let _turn = self.connecting.lock().await;
        if let Some(lent) = self.current() {
            return Ok(lent);
        }
        let made = timeout(CONNECT, self.server.connect()).await;
        let connection = made.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok(Lent { connection, number: current.number, is_new: true })
    }

    fn current(&self) -> Option<Lent<S::Connection>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = current.connection.clone()?;
        Some(Lent { connection, number: current.number, is_new: false })
    }

    /// Lets go of a connection that has ended, unless another took its place.
    fn forget(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == number {
            current.connection = None;
        }
    }
}

impl<S: Multiplexed> Drop for Open<S> {
    fn drop(&mut self) {
        let current = self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = current.connection.take() {
            S::close(connection);
        }
    }
}
