//! Owns pipes through which the kernel moves bytes from one connection to another (splice(2)): the bytes never come to this process. Never waits.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::unistd::pipe2;

/// One pipe, and how much is in it.
#[derive(Debug)]
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    held: usize,
}

/// Empty pipes, kept for whoever has bytes to move: a connection with nothing to say holds none.
#[derive(Debug, Default)]
pub struct Pipes(Mutex<Vec<Pipe>>);

/// Bytes moved at once, which is what the kernel gives a pipe.
const ROOM: usize = 64 << 10;
/// Empty pipes that are kept. More are needed only while more connections wait for slow readers at the same moment.
const KEPT: usize = 64;

impl Pipe {
    fn new() -> io::Result<Self> {
        let (out, into) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self { out, into, held: 0 })
    }

    /// True when all that came in went out.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes what `from` has received; 0 at its end. Only for an empty pipe: a full one cannot be told from a silent connection.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        let moved = splice(from, None, &self.into, None, ROOM, FLAGS)?;
        self.held += moved;
        Ok(moved)
    }

    /// Hands `to` what it takes of what there is.
    pub fn empty_into(&mut self, to: &impl AsFd) -> io::Result<usize> {
        let moved = splice(&self.out, None, to, None, self.held, FLAGS)?;
        self.held = self.held.saturating_sub(moved);
        Ok(moved)
    }
}

const FLAGS: SpliceFFlags = SpliceFFlags::SPLICE_F_MOVE.union(SpliceFFlags::SPLICE_F_NONBLOCK);

impl Pipes {
    /// An empty pipe.
    pub fn take(&self) -> io::Result<Pipe> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(Pipe::new, Ok)
    }

    /// Keeps a pipe for the next; one with something left in it is closed.
    pub fn give(&self, pipe: Pipe) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pipe.is_empty() && kept.len() < KEPT {
            kept.push(pipe);
        }
    }
}
