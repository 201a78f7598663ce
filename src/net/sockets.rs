//! Owns the opening of listening sockets and their options. Never sends or receives.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
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
/// How long a receive may block, so that a thread sees the stop flag and lets go of an old policy.
const WAKE: Duration = Duration::from_millis(200);
/// Connections the system queues while all threads are busy.
const BACKLOG: i32 = 1024;

/// A UDP socket that shares its address with others of its kind (SO_REUSEPORT). On a wildcard address each datagram says
/// which address it was sent to, so that the reply leaves from there.
pub fn bind_udp(address: SocketAddr) -> Result<UdpSocket, BindError> {
    let open = || -> io::Result<UdpSocket> {
        let socket = open(address, Type::DGRAM, Protocol::UDP)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
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
    let open = || -> io::Result<TcpListener> {
        let socket = open(address, Type::STREAM, Protocol::TCP)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    open().map_err(|cause| BindError { address, cause })
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

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be listened on side by side.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // A restart must not wait for the last connections to be forgotten; two listeners on one port stay an error.
        socket.set_reuse_address(true)?;
    } else {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self.cause.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; `ss -lntup` shows which",
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
