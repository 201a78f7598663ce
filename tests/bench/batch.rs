//! Owns batched datagrams for the programs of the benchmark: one socket, many buffers, recvmmsg and sendmmsg. Not part of
//! the product. Never looks into a datagram.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams in one system call.
pub const BATCH: usize = 64;
const ROOM: usize = 2048;
const ADDRESS: u32 = size_of::<libc::sockaddr_storage>() as u32;
/// Asked for each socket; the system may grant less.
const KERNEL_BUFFER: usize = 8 << 20;

/// A socket bound to `address` that shares it with others.
pub fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    enlarge(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket of its own port, connected to `server`.
pub fn connected(server: SocketAddr, from: Option<IpAddr>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    enlarge(&socket)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect(&server.into())?;
    Ok(socket.into())
}

fn enlarge(socket: &Socket) -> io::Result<()> {
    // SAFETY: the option takes a C integer, whose address and size are given.
    let forced = unsafe {
        let size = KERNEL_BUFFER as libc::c_int;
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    if forced == 0 { Ok(()) } else { socket.set_recv_buffer_size(KERNEL_BUFFER) }
}

/// Buffers for one direction. The headers point into the boxes beside them, whose contents never move.
pub struct Batch {
    room: Box<[[u8; ROOM]]>,
    /// Written by the kernel through the headers.
    _peers: Box<[libc::sockaddr_storage]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    filled: usize,
    received: usize,
}

impl Batch {
    pub fn new() -> Self {
        let mut room = vec![[0; ROOM]; BATCH].into_boxed_slice();
        // SAFETY: all-zero bytes are valid for these C structures of integers and null pointers.
        let (peer, header) =
            unsafe { (std::mem::zeroed::<libc::sockaddr_storage>(), std::mem::zeroed::<libc::mmsghdr>()) };
        let mut peers = vec![peer; BATCH].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> =
            room.iter_mut().map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: ROOM }).collect();
        let mut headers = vec![header; BATCH].into_boxed_slice();
        for ((header, vector), peer) in headers.iter_mut().zip(&mut vectors).zip(&mut peers) {
            header.msg_hdr.msg_name = (&raw mut *peer).cast();
            header.msg_hdr.msg_namelen = ADDRESS;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        Self { room, _peers: peers, vectors, headers, filled: 0, received: 0 }
    }

    /// Takes what has come; waits for the first datagram if `wait`. Returns how many, zero when there is none or on an
    /// error such as a refused port.
    pub fn receive(&mut self, socket: &UdpSocket, wait: bool) -> usize {
        // What the last datagrams left behind.
        for index in 0..std::mem::take(&mut self.received) {
            self.headers[index].msg_hdr.msg_namelen = ADDRESS;
            self.vectors[index].iov_len = ROOM;
        }
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: every header points at live buffers of the stated lengths inside `self`.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as u32,
                flags as _,
                std::ptr::null_mut(),
            )
        };
        self.received = usize::try_from(count).unwrap_or(0);
        self.received
    }

    /// The bytes of a received datagram.
    pub fn bytes(&self, index: usize) -> &[u8] {
        &self.room[index][..(self.headers[index].msg_len as usize).min(ROOM)]
    }

    /// A datagram's room, and the length received, to be turned into its reply.
    pub fn bytes_mut(&mut self, index: usize) -> (&mut [u8], usize) {
        let length = (self.headers[index].msg_len as usize).min(ROOM);
        (&mut self.room[index], length)
    }

    /// Sets what the datagram at `index` sends back; zero sends an empty datagram.
    pub fn set_length(&mut self, index: usize, length: usize) {
        self.vectors[index].iov_len = length;
    }

    /// Sends the first `count` datagrams back to where they came from.
    pub fn send_back(&mut self, socket: &UdpSocket, count: usize) {
        let mut sent = 0;
        while sent < count {
            sent += self.send(socket, sent, count).max(1);
        }
    }

    /// Room for one more datagram to a connected server; `None` when the batch is full.
    pub fn next_room(&mut self) -> Option<&mut [u8]> {
        self.room.get_mut(self.filled).map(|room| &mut room[..])
    }

    /// Adds what was written into the last [`next_room`](Self::next_room).
    pub fn push(&mut self, length: usize) {
        let index = self.filled;
        self.vectors[index].iov_len = length;
        self.headers[index].msg_hdr.msg_name = std::ptr::null_mut();
        self.headers[index].msg_hdr.msg_namelen = 0;
        self.filled += 1;
    }

    /// Sends what was pushed over a connected socket. Returns how many the system took; the rest is forgotten.
    pub fn flush(&mut self, socket: &UdpSocket) -> usize {
        let count = std::mem::take(&mut self.filled);
        let mut sent = 0;
        while sent < count {
            match self.send(socket, sent, count) {
                0 => break,
                some => sent += some,
            }
        }
        sent
    }

    fn send(&mut self, socket: &UdpSocket, from: usize, to: usize) -> usize {
        let part = &mut self.headers[from..to];
        // SAFETY: every header points at live buffers of the stated lengths inside `self`.
        let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), part.as_mut_ptr(), part.len() as u32, 0) };
        usize::try_from(count).unwrap_or(0)
    }
}

/// Answers on every address that the command line names, each on a thread of its own; an address given twice gets two threads
/// that share it. `answer` turns a query of some length, in its room, into its reply, and returns how long that is.
pub fn serve(program: &str, answer: impl Fn(&mut [u8], usize) -> usize + Copy + Send + 'static) {
    let threads: Vec<_> = std::env::args()
        .skip(1)
        .map(|address| {
            let socket = bound(address.parse().expect("ADDRESS:PORT")).expect("a free port");
            std::thread::spawn(move || {
                let mut batch = Batch::new();
                loop {
                    let count = batch.receive(&socket, true);
                    for index in 0..count {
                        let (bytes, length) = batch.bytes_mut(index);
                        let length = answer(bytes, length);
                        batch.set_length(index, length);
                    }
                    batch.send_back(&socket, count);
                }
            })
        })
        .collect();
    assert!(!threads.is_empty(), "usage: {program} ADDRESS:PORT ...");
    threads.into_iter().for_each(|thread| drop(thread.join()));
}
