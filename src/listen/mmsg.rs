//! Owns the batched system calls `recvmmsg` and `sendmmsg`, the one datagram that is sent later, and how full a socket is.
//! The only file with unsafe code: the standard library has no batched datagrams. Never looks into a datagram.
#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and SO_MEMINFO have no safe interface in the standard library"
)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

/// Datagrams in a batch: enough to share the cost of a system call, few enough to stay in the first-level caches.
pub(super) const BATCH: usize = 64;
/// Largest query in bytes; real ones are below 512.
const QUERY: usize = 2048;
/// Room for a reply in bytes; larger ones are cut to 1232 anyway.
const REPLY: usize = 4096;
/// Room for the packet-info control message of either family.
const CONTROL: usize = 64;

/// Buffers for one thread's datagrams. The message headers point into the boxes beside them, whose contents never move.
pub(super) struct Batch {
    queries: Box<[[u8; QUERY]; BATCH]>,
    replies: Box<[[u8; REPLY]; BATCH]>,
    control: Box<[[u64; CONTROL / 8]; BATCH]>,
    addresses: Box<[libc::sockaddr_storage; BATCH]>,
    receive_vectors: Box<[libc::iovec; BATCH]>,
    send_vectors: Box<[libc::iovec; BATCH]>,
    receive: Box<[libc::mmsghdr; BATCH]>,
    send: Box<[libc::mmsghdr; BATCH]>,
    received: usize,
    to_send: usize,
}

/// The address a datagram was sent to, as the kernel's own control message; sent back, it makes the reply leave from
/// there. Empty on sockets bound to one address.
#[derive(Clone, Copy)]
pub(super) struct Local {
    control: [u64; CONTROL / 8],
    length: usize,
}

impl Local {
    /// Whatever address the socket has.
    #[cfg(test)]
    pub(super) fn any() -> Self {
        Self { control: [0; CONTROL / 8], length: 0 }
    }
}

/// One received datagram.
pub(super) struct Datagram<'b> {
    /// Its bytes; `None` when it was larger than the buffer.
    pub(super) bytes: Option<&'b [u8]>,
    /// Its sender.
    pub(super) peer: SocketAddr,
    /// Room for a reply.
    pub(super) reply: &'b mut [u8],
    /// The address it was sent to.
    pub(super) local: Local,
}

// SAFETY: the raw pointers inside the headers point only into the boxes of the same value, which move with it and
// are reached through `&mut self` alone.
unsafe impl Send for Batch {}

impl Batch {
    pub(super) fn new() -> Self {
        // SAFETY: all-zero bytes are valid for these C structures of integers and (null) pointers.
        let zeroed = || unsafe { MaybeUninit::<[libc::mmsghdr; BATCH]>::zeroed().assume_init() };
        // SAFETY: as above; sockaddr_storage is plain bytes.
        let addresses = unsafe { MaybeUninit::<[libc::sockaddr_storage; BATCH]>::zeroed().assume_init() };
        let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let mut batch = Self {
            queries: Box::new([[0; QUERY]; BATCH]),
            replies: Box::new([[0; REPLY]; BATCH]),
            control: Box::new([[0; CONTROL / 8]; BATCH]),
            addresses: Box::new(addresses),
            receive_vectors: Box::new([empty; BATCH]),
            send_vectors: Box::new([empty; BATCH]),
            receive: Box::new(zeroed()),
            send: Box::new(zeroed()),
            received: 0,
            to_send: 0,
        };
        for i in 0..BATCH {
            batch.receive_vectors[i] =
                libc::iovec { iov_base: batch.queries[i].as_mut_ptr().cast(), iov_len: QUERY };
            let header = &mut batch.receive[i].msg_hdr;
            header.msg_name = ptr::from_mut(&mut batch.addresses[i]).cast();
            header.msg_iov = &mut batch.receive_vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = batch.control[i].as_mut_ptr().cast();
        }
        batch
    }

    /// Waits for a datagram, at most for the socket's read timeout, and takes all that have come. Returns how many; zero
    /// after the timeout.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.to_send = 0;
        // The kernel overwrote these with what it received last time.
        for message in self.receive.iter_mut().take(self.received) {
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            message.msg_hdr.msg_controllen = CONTROL;
        }
        if self.received == 0 {
            for message in self.receive.iter_mut() {
                message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
                message.msg_hdr.msg_controllen = CONTROL;
            }
        }
        // SAFETY: every header points at live buffers of the stated lengths inside `self`, which is borrowed mutably
        // for the whole call; BATCH is their number.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.receive.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        }
        self.received = count as usize;
        Ok(self.received)
    }

    /// The bytes of datagram `index` of the last receive, cut at the buffer's size.
    pub(super) fn query(&self, index: usize) -> Option<&[u8]> {
        let message = self.receive.get(index)?;
        self.queries.get(index)?.get(..message.msg_len as usize)
    }

    /// Datagram `index` of the last receive.
    pub(super) fn datagram(&mut self, index: usize) -> Option<Datagram<'_>> {
        let message = self.receive.get(index)?;
        let peer = address_of(self.addresses.get(index)?)?;
        let whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
        let bytes = self.queries.get(index)?.get(..message.msg_len as usize).filter(|_| whole);
        let local = Local { control: *self.control.get(index)?, length: message.msg_hdr.msg_controllen };
        Some(Datagram { bytes, peer, reply: self.replies.get_mut(index)?, local })
    }

    /// Queues the first `length` bytes of datagram `index`'s reply room to be sent to its sender.
    pub(super) fn reply(&mut self, index: usize, length: usize) {
        let at = self.to_send;
        if index >= BATCH || at >= BATCH {
            return;
        }
        self.send_vectors[at] =
            libc::iovec { iov_base: self.replies[index].as_mut_ptr().cast(), iov_len: length.min(REPLY) };
        let received = &self.receive[index].msg_hdr;
        let header = &mut self.send[at].msg_hdr;
        header.msg_name = received.msg_name;
        header.msg_namelen = received.msg_namelen;
        header.msg_iov = &mut self.send_vectors[at];
        header.msg_iovlen = 1;
        // The kernel takes its own packet-info message back as the source address.
        header.msg_control =
            if received.msg_controllen == 0 { ptr::null_mut() } else { received.msg_control };
        header.msg_controllen = received.msg_controllen;
        self.to_send += 1;
    }

    /// Sends what was queued. Returns how many could not be sent; one bad destination does not stop the others.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        let to_send = mem::take(&mut self.to_send);
        // SAFETY: the headers point at live buffers of the stated lengths inside `self`.
        unsafe { send_headers(socket, &mut self.send[..to_send]) }
    }
}

/// Sends what the headers say. Returns how many could not be sent; one bad destination does not stop the others.
///
/// # Safety
///
/// Each header points at live buffers of the lengths it states, or has none.
unsafe fn send_headers(socket: &UdpSocket, headers: &mut [libc::mmsghdr]) -> u64 {
    let mut failed = 0;
    let mut sent = 0;
    while sent < headers.len() {
        let left = &mut headers[sent..];
        // SAFETY: as this function asks of its caller; sendmmsg writes nothing but the lengths into the headers.
        let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), left.len() as u32, 0) };
        if count > 0 {
            sent += count as usize;
        } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            // The first of `left` cannot be sent: leave it and go on behind it.
            failed += 1;
            sent += 1;
        }
    }
    failed
}

/// Datagrams that go out together.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// Where each one's bytes end, to whom it goes, and from which address.
    datagrams: Vec<(usize, socket2::SockAddr, Local)>,
}

impl Outgoing {
    /// How many there are; [`BATCH`] at most.
    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Adds one.
    pub(super) fn push(&mut self, bytes: &[u8], peer: SocketAddr, local: &Local) {
        self.bytes.extend_from_slice(bytes);
        self.datagrams.push((self.bytes.len(), peer.into(), *local));
    }

    /// Sends them. Returns how many could not be sent.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        // SAFETY: all-zero bytes are a valid iovec.
        let mut vectors: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: all-zero bytes are a valid mmsghdr.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let (mut failed, mut begin) = (0, 0);
        for datagrams in self.datagrams.chunks(BATCH) {
            for ((end, peer, local), (vector, message)) in
                datagrams.iter().zip(vectors.iter_mut().zip(&mut headers))
            {
                *vector = vector_of(self.bytes.get(begin..*end).unwrap_or(&[]));
                message.msg_hdr = header_of(vector, peer, local);
                begin = *end;
            }
            let headers = headers.get_mut(..datagrams.len()).unwrap_or(&mut []);
            // SAFETY: these headers point at `vectors`, which point at `bytes`, and at what `datagrams` holds; none of it changes before the call is over.
            failed += unsafe { send_headers(socket, headers) };
        }
        self.bytes.clear();
        self.datagrams.clear();
        failed
    }
}

fn vector_of(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// A header that points at all three.
fn header_of(vector: &mut libc::iovec, peer: &socket2::SockAddr, local: &Local) -> libc::msghdr {
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = peer.as_ptr().cast_mut().cast();
    header.msg_namelen = peer.len();
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    if local.length > 0 {
        header.msg_control = local.control.as_ptr().cast_mut().cast();
        header.msg_controllen = local.length;
    }
    header
}

/// Sends one datagram from the address a query was sent to.
pub(super) fn send_one(socket: &UdpSocket, bytes: &[u8], peer: SocketAddr, local: &Local) -> io::Result<()> {
    if local.length == 0 {
        return socket.send_to(bytes, peer).map(drop);
    }
    let address = socket2::SockAddr::from(peer);
    let mut vector = vector_of(bytes);
    let header = header_of(&mut vector, &address, local);
    // SAFETY: the header points at `bytes`, `address` and `local`, all alive for the call; sendmsg only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header, 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether what waits in the socket takes three eighths of its receive buffer. The kernel counts what was taken out as
/// still there until that is a quarter of the buffer, so that between one eighth and three eighths wait: of the usual
/// buffer 2,700 to 8,200 small queries, of which all hits are answered within about 25 ms. False when it cannot be told.
pub(super) fn is_crowded(socket: &UdpSocket) -> bool {
    /// Places in the answer, of `linux/sock_diag.h`: bytes waiting, and the most that may.
    const WAITING: usize = 0;
    const LIMIT: usize = 1;
    let mut memory = [0u32; 16];
    let mut length = size_of_val(&memory) as libc::socklen_t;
    // SAFETY: the pointers are to live values of this frame, and `length` is the size of the first; the kernel writes no
    // more than that, and any bytes are valid for integers.
    let failed = unsafe {
        let option = memory.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, option, &mut length)
    };
    failed == 0 && u64::from(memory[WAITING]) * 8 >= u64::from(memory[LIMIT]) * 3 && memory[LIMIT] > 0
}

/// The address the kernel wrote.
fn address_of(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in, which is smaller and no stricter aligned.
            let address = unsafe { *ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let address = unsafe { *ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Some(std::net::SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
        }
        _ => None,
    }
}
