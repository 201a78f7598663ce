//! Owns pipes through which the kernel moves bytes from one connection to another (splice(2)): the bytes never come to this process. Never waits.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

/// One pipe, and how much is in it.
#[derive(Debug)]
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    held: usize,
    room: usize,
}

/// Empty pipes, kept for whoever has bytes to move: a connection with nothing to say holds none.
#[derive(Debug, Default)]
pub struct Pipes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    empty: Vec<Pipe>,
    wide: usize,
}

/// Bytes moved at once through a pipe as the kernel makes it.
const ROOM: usize = 64 << 10;
/// And through a wide one: a quarter of the calls.
const WIDE: usize = 256 << 10;
/// Empty pipes that are kept, and wide ones that there are. More are needed only while more connections wait for slow readers at the same moment; the
/// kernel gives a user without privileges 64 MiB of pipes, and makes the next ones tiny (pipe(7)).
const KEPT: usize = 64;

impl Pipe {
    fn new(is_wide: bool) -> io::Result<Self> {
        let (out, into) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // Where the kernel gives no more, it stays as it is.
        let granted = is_wide.then(|| fcntl(&into, FcntlArg::F_SETPIPE_SZ(WIDE as i32)).ok()).flatten();
        let room = granted.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(ROOM);
        Ok(Self { out, into, held: 0, room })
    }

    /// True when all that came in went out.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes what `from` has received; 0 at its end. Only for an empty pipe: a full one cannot be told from a silent connection.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        let moved = splice(from, None, &self.into, None, self.room, FLAGS)?;
        self.held += moved;
        Ok(moved)
    }

    /// Hands `to` what it takes of what there is.
    pub fn empty_into(&mut self, to: &impl AsFd) -> io::Result<usize> {
        let moved = splice(&self.out, None, to, None, self.held, FLAGS)?;
        self.held = self.held.saturating_sub(moved);
        Ok(moved)
    }

    fn is_wide(&self) -> bool {
        self.room > ROOM
    }
}

const FLAGS: SpliceFFlags = SpliceFFlags::SPLICE_F_MOVE.union(SpliceFFlags::SPLICE_F_NONBLOCK);

impl Pipes {
    /// An empty pipe.
    pub fn take(&self) -> io::Result<Pipe> {
        let is_wide = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(pipe) = known.empty.pop() {
                return Ok(pipe);
            }
            let is_wide = known.wide < KEPT;
            known.wide += usize::from(is_wide);
            is_wide
        };
        let pipe = Pipe::new(is_wide);
        if is_wide && !pipe.as_ref().is_ok_and(Pipe::is_wide) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).wide -= 1;
        }
        pipe
    }

    /// Keeps a pipe for the next; one with something left in it is closed.
    pub fn give(&self, pipe: Pipe) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pipe.is_empty() && known.empty.len() < KEPT {
            known.empty.push(pipe);
        } else {
            known.wide -= usize::from(pipe.is_wide());
        }
    }
}
