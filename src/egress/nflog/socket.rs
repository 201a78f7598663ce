//! Owns the socket to the kernel's log. Never interprets what it reads.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt::{RcvBuf, ReceiveTimeout},
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::message::{Held, acknowledged, bind, read_held};

/// Hears of held packets.
#[derive(Debug)]
pub(in crate::egress) struct Listener(OwnedFd);

/// Bytes of one reading: the kernel puts no more together.
const LARGEST: usize = 64 << 10;
/// Bytes that may wait: what a second brings at most, several times over.
const BUFFER: usize = 1 << 20;

impl Listener {
    /// Listens to a group. Fails without the right to, and where somebody else listens to it.
    pub(in crate::egress) fn open(group: u16) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let kernel = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        // Less will do.
        let _kept = setsockopt(&kernel, RcvBuf, &BUFFER).is_err();
        setsockopt(&kernel, ReceiveTimeout, &TimeVal::seconds(1))?;
        let there = NetlinkAddr::new(0, 0);
        sendto(kernel.as_raw_fd(), &bind(group), &there, MsgFlags::empty())?;
        // The kernel answers before `sendto` returns.
        let mut buffer = [0; 4096];
        for _ in 0..2 {
            let length = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            match acknowledged(buffer.get(..length).unwrap_or_default()) {
                Some(0) | None => {}
                Some(code) => return Err(io::Error::from_raw_os_error(code)),
            }
        }
        Ok(Self(kernel))
    }

    /// Waits for packets, a second at most.
    pub(in crate::egress) fn next(&self) -> io::Result<Vec<Held>> {
        let mut buffer = vec![0; LARGEST];
        match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => Ok(read_held(buffer.get(..length).unwrap_or_default())),
            // None; or some were lost because they came too fast, and the next ones are there.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
