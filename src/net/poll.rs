//! Owns the wait for many sockets at once, and for moments beside them. Never reads from a socket, and never knows what one is for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Sockets to wait for. A socket leaves by being closed.
#[derive(Debug)]
pub struct Poll(Epoll);

/// A moment that is waited for like a socket.
#[derive(Debug)]
pub struct Alarm(TimerFd);

/// Which sockets have something to read; memory for one wait after another.
pub struct Ready {
    events: [EpollEvent; Self::MOST],
    count: usize,
}

impl Poll {
    /// Nothing to wait for yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Waits for `socket` too, from any thread, and says `token` as long as it has something to read, or an error.
    pub fn add(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.0.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Waits until a socket has something to read, at most for `longest`.
    pub fn wait(&self, ready: &mut Ready, longest: Duration) -> io::Result<()> {
        ready.count = 0;
        let longest = EpollTimeout::try_from(longest).unwrap_or(EpollTimeout::MAX);
        match self.0.wait(&mut ready.events, longest) {
            Ok(count) => ready.count = count,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// Goes off `after` that time, instead of when it would have; `None` for not at all. One that went off is quiet again.
    pub fn set(&self, after: Option<Duration>) -> io::Result<()> {
        let Some(after) = after else { return Ok(self.0.unset()?) };
        // Zero would be never.
        let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
        Ok(self.0.set(Expiration::OneShot(after), TimerSetTimeFlags::empty())?)
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Ready {
    /// Sockets told of at once: enough to share the cost of a system call.
    const MOST: usize = 64;

    /// The tokens of the sockets that the last wait found.
    pub fn tokens(&self) -> impl Iterator<Item = u64> {
        self.events.iter().take(self.count).map(EpollEvent::data)
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self { events: [EpollEvent::empty(); Self::MOST], count: 0 }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tokens()).finish()
    }
}
