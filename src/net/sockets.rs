//! Owns the opening of listening sockets and their options. Never sends or receives.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

/// Why a socket could not be opened: where, what, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub cause: io::Error,
}

/// Receive buffer in bytes: a quarter of a second of small queries at 100,000 a second, so that a pause of the thread
/// loses nothing. The system may grant less.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The same while more comes than can be handled: what waited longer than some milliseconds then comes too late, and as much is lost either way.
const NARROW: usize = RECEIVE_BUFFER / 16;
/// How long a receive may block, so that a thread sees the stop flag and lets go of an old policy.
const WAKE: Duration = Duration::from_millis(200);
/// Connections the system queues while all threads are busy.
const BACKLOG: i32 = 4096;

/// Lets little wait in a UDP socket, or as much as usual. What waits in it stays.
pub fn narrow_room(socket: &UdpSocket, is_narrow: bool) -> io::Result<()> {
    set_room(socket, if is_narrow { NARROW } else { RECEIVE_BUFFER })
}

fn set_room(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    match setsockopt(socket, sockopt::RcvBufForce, &bytes) {
        Ok(()) => Ok(()),
        // Without the right to go beyond the system's own limit.
        Err(_) => Ok(setsockopt(socket, sockopt::RcvBuf, &bytes)?),
    }
}

/// A UDP socket. On a wildcard address each datagram says which address it was sent to, so that the reply leaves from there.
pub fn bind_udp(address: SocketAddr) -> Result<UdpSocket, BindError> {
    udp(address, false)
}

/// So many UDP sockets and a listening TCP socket at one address, among the former of which the kernel divides datagrams (SO_REUSEPORT). Where any
/// port will do, it is one that is free for both. An address that somebody else has is an error.
pub fn bind_both(address: SocketAddr, count: usize) -> Result<(Vec<UdpSocket>, TcpListener), BindError> {
    /// What is free for TCP is seldom taken for UDP, so that this many in a row mean that hardly anything is free.
    const ATTEMPTS: usize = 64;
    let both = || {
        let tcp = bind_tcp(address)?;
        let at = tcp.local_addr().map_err(|cause| BindError { address, cause })?;
        // Those that share would do so with another process's too: only one that does not finds out that nobody else is there.
        drop(udp(at, false)?);
        let shared = (0..count).map(|_| udp(at, count > 1)).collect::<Result<_, _>>()?;
        Ok((shared, tcp))
    };
    let attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
    let mut bound = both();
    for _ in 1..attempts {
        match &bound {
            Err(BindError { cause, .. }) if cause.kind() == io::ErrorKind::AddrInUse => bound = both(),
            _ => break,
        }
    }
    bound
}

fn udp(address: SocketAddr, is_shared: bool) -> Result<UdpSocket, BindError> {
    let open = || -> io::Result<UdpSocket> {
        let socket = open(address, Type::DGRAM, Protocol::UDP)?;
        socket.set_reuse_port(is_shared)?;
        set_room(&socket, RECEIVE_BUFFER)?;
        socket.set_read_timeout(Some(WAKE))?;
        if address.ip().is_unspecified() {
            match address {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
        }
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|cause| BindError { address, cause })
}

/// A UDP socket to one peer, on a port that the kernel picks at random. Being connected, it hears nobody else, and it is
/// told when the peer's port is closed. Never blocks.
pub fn connect_udp(peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.connect(&peer.into())?;
    Ok(socket.into())
}

/// A listening TCP socket.
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = || -> io::Result<TcpListener> {
        let socket = open(address, Type::STREAM, Protocol::TCP)?;
        socket.bind(&address.into())?;
        listen(socket)
    };
    bound().map_err(|cause| BindError { address, cause })
}

/// So many listening TCP sockets at one address, among which the kernel divides connections (SO_REUSEPORT). As with [`bind_tcp`], an address at which
/// somebody listens already is an error.
pub fn bind_shared_tcp(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    share_tcp(address, count, |_| Ok(()))
}

/// The same, with what `prepare` does to each before it is bound.
pub(super) fn share_tcp(
    address: SocketAddr,
    count: usize,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> Result<Vec<TcpListener>, BindError> {
    let bind = |address: SocketAddr, is_shared| -> io::Result<Socket> {
        let socket = open(address, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_port(is_shared)?;
        prepare(&socket)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let all = || -> io::Result<_> {
        // Those that share would do so with another process's too, which this one does not; it also finds a port where any will do.
        let found = bind(address, false)?.local_addr()?.as_socket().unwrap_or(address);
        (0..count).map(|_| listen(bind(found, true)?)).collect::<io::Result<_>>()
    };
    all().map_err(|cause| BindError { address, cause })
}

/// Waits for the next connection. A failed attempt is handed to `failed` and tried again.
pub async fn accept(
    listener: &tokio::net::TcpListener,
    failed: impl Fn(io::Error),
) -> (TcpStream, SocketAddr) {
    /// Out of file descriptors, most likely: time for some to come back, instead of spinning.
    const PAUSE: Duration = Duration::from_millis(50);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => failed(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be listened on side by side.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // A restart must not wait for the last connections to be forgotten; two listeners on one port stay an error.
        socket.set_reuse_address(true)?;
    }
    Ok(socket)
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self.cause.kind() {
            io::ErrorKind::AddrInUse => {
                "another program, or another listener of this one, is there; `ss -lntup` shows which"
            }
            io::ErrorKind::AddrNotAvailable => {
                "the machine has no such address; `ip address` shows those it has"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
            }
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_share_an_address_with_each_other_and_with_nobody_else() {
        let shared = bind_shared_tcp("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = shared[0].local_addr().unwrap();
        assert!(shared.iter().all(|one| one.local_addr().unwrap() == address));
        for refused in [bind_shared_tcp(address, 3).map(|_| ()), bind_tcp(address).map(|_| ())] {
            assert_eq!(refused.unwrap_err().cause.kind(), io::ErrorKind::AddrInUse);
        }
        let clients = (0..60).map(|_| std::net::TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
        let taken = shared.iter().map(|one| std::iter::from_fn(|| one.accept().ok()).count());
        let taken = taken.collect::<Vec<_>>();
        assert_eq!(taken.iter().sum::<usize>(), clients.len());
        assert!(taken.iter().all(|count| *count > 0), "{taken:?}");

        let any = "127.0.0.1:0".parse().unwrap();
        let (shared, tcp) = bind_both(any, 3).unwrap();
        let address = tcp.local_addr().unwrap();
        assert_eq!(shared.len(), 3);
        assert!(shared.iter().all(|one| one.local_addr().unwrap() == address));
        drop(tcp);
        for refused in [bind_both(address, 3).map(|_| ()), bind_udp(address).map(|_| ())] {
            assert_eq!(refused.unwrap_err().cause.kind(), io::ErrorKind::AddrInUse);
        }
    }
}
