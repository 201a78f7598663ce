//! The floor of the benchmark: what the kernel charges to receive and send a datagram. One thread, recvmmsg and sendmmsg,
//! flips QR, says NXDOMAIN, and nothing else. Not part of the product.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, reason = "a yardstick, not the product")]

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

const BATCH: usize = 64;

fn main() {
    let address = std::env::args().nth(1).expect("usage: floor ADDRESS:PORT");
    let socket = UdpSocket::bind(address).unwrap();
    let mut buffers = vec![[0u8; 2048]; BATCH];
    // SAFETY: all-zero bytes are valid for these C structures.
    let mut peers: Vec<libc::sockaddr_storage> = vec![unsafe { std::mem::zeroed() }; BATCH];
    let mut vectors: Vec<libc::iovec> =
        buffers.iter_mut().map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: 2048 }).collect();
    let mut messages: Vec<libc::mmsghdr> = (0..BATCH)
        .map(|i| {
            // SAFETY: as above.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_name = (&raw mut peers[i]).cast();
            message.msg_hdr.msg_iov = &raw mut vectors[i];
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    loop {
        for (message, vector) in messages.iter_mut().zip(&mut vectors) {
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            vector.iov_len = 2048;
        }
        let (fd, flags) = (socket.as_raw_fd(), libc::MSG_WAITFORONE as _);
        // SAFETY: every header points at live buffers of the stated lengths.
        let count =
            unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), BATCH as u32, flags, std::ptr::null_mut()) };
        let Ok(count) = usize::try_from(count) else { continue };
        for i in 0..count {
            buffers[i][2] |= 0x80;
            buffers[i][3] = 0x83;
            vectors[i].iov_len = messages[i].msg_len as usize;
        }
        // SAFETY: as above.
        let _sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count as u32, 0) };
    }
}
