//! Owns the socket to the kernel's packet filter. Never knows what a message says.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt::SndBufForce,
};

use super::dump::{is_interrupted, is_whole};
use super::message::error;

/// A way to tell the kernel.
#[derive(Debug)]
pub(super) struct Kernel(OwnedFd);

/// Why it did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// There is no such table, set or element.
    #[error("it is not there")]
    Absent,
    /// The process may not.
    #[error("this process may not change the packet filter")]
    Denied,
    /// The set is full.
    #[error("the set is full")]
    Full,
    /// Something else.
    #[error("{0}")]
    Other(Errno),
}

/// Attempts at an answer that nothing changes meanwhile.
const ATTEMPTS: usize = 5;
/// Bytes of one reading, and of an answer: rules and counters of all groups there may be.
const LARGEST: usize = 64 << 10;
const MOST: usize = 32 << 20;
/// Bytes of messages that may be under way: the largest transaction, several times over.
const BUFFER: usize = 2 << 20;

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let kernel = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        // Without the right to it, the kernel takes nothing from this process anyway.
        let _kept = setsockopt(&kernel, SndBufForce, &BUFFER).is_err();
        Ok(Self(kernel))
    }

    /// Tells the kernel, which has done it, or not a part of it, when this returns.
    pub(super) fn tell(&self, message: &[u8]) -> Result<(), Refusal> {
        let kernel = self.0.as_raw_fd();
        sendto(kernel, message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        // What it answers is there by now.
        let mut buffer = [0; 16 << 10];
        let mut code = 0;
        loop {
            match recv(kernel, &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) if code == 0 => code = error(buffer.get(..length).unwrap_or_default()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        if code == 0 { Ok(()) } else { Err(Errno::from_raw(code).into()) }
    }
}

impl Kernel {
    /// Asks the kernel for all there is of something; `None` when it changed at each attempt.
    pub(super) fn ask(&self, message: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        for _ in 0..ATTEMPTS {
            let answer = self.answer(message)?;
            if error(&answer) != 0 {
                return Err(Errno::from_raw(error(&answer)).into());
            }
            if !is_interrupted(&answer) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn answer(&self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        let kernel = self.0.as_raw_fd();
        sendto(kernel, message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = Vec::new();
        let mut buffer = vec![0; LARGEST];
        // Each reading has the kernel go on; all of it is there at once.
        while !is_whole(&answer) && answer.len() < MOST {
            let length = recv(kernel, &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            answer.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        Ok(answer)
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Self::Absent,
            Errno::EPERM | Errno::EACCES => Self::Denied,
            Errno::ENFILE => Self::Full,
            errno => Self::Other(errno),
        }
    }
}
