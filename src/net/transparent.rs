//! Owns sockets for traffic that was meant for others: REDIRECT and TPROXY of the kernel, and where such traffic was going. Never decides what
//! becomes of it.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

use super::BindError;
use super::sockets::share_tcp;

/// Listening TCP sockets that share an address, as [`super::bind_shared_tcp`] has them, and also take connections to addresses which are not this
/// machine's (TPROXY); and whether they may: that needs the capability CAP_NET_ADMIN. Without it, only redirected ones come (REDIRECT).
pub fn bind_transparent_tcp(
    address: SocketAddr,
    count: usize,
) -> Result<(Vec<TcpListener>, bool), BindError> {
    let takes_all = Cell::new(true);
    let listeners = share_tcp(address, count, |socket| {
        takes_all.set(set_transparent(socket, address).is_ok());
        Ok(())
    })?;
    Ok((listeners, takes_all.get()))
}

/// A UDP socket that takes datagrams to whatever address (TPROXY), and tells where each was going. Needs CAP_NET_ADMIN.
pub fn bind_transparent_udp(address: SocketAddr) -> Result<UdpSocket, BindError> {
    let open = || -> io::Result<UdpSocket> {
        let socket = foreign(address)?;
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6OrigDstAddr, &true)?,
        }
        Ok(socket.into())
    };
    open().map_err(|cause| BindError { address, cause })
}

/// A UDP socket that speaks as `own`, which is somebody else's address, to `peer`, and hears nobody else. Needs CAP_NET_ADMIN.
pub fn connect_as(own: SocketAddr, peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = foreign(own)?;
    socket.connect(&peer.into())?;
    Ok(socket.into())
}

fn foreign(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    set_transparent(&socket, address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn set_transparent(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }
}

/// Where a connection was going before the kernel brought it here.
pub fn original_destination(stream: &TcpStream, is_ipv4: bool) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let original = if is_ipv4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
    // Without a translation the address it came to is the one it went to.
    let found = match original.ok().and_then(|original| original.as_socket()) {
        Some(original) => original,
        None => stream.local_addr()?,
    };
    Ok(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

/// Takes one datagram: its length, whose it is, and where it was going.
pub fn receive_transparent(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, SocketAddr)> {
    // Room for two addresses, more than either kind of socket tells.
    let mut control = vec![0; 128];
    let mut parts = [IoSliceMut::new(buffer)];
    let got = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let unknown = || io::Error::other("a datagram without its addresses");
    let from = got.address.as_ref().and_then(socket_address).ok_or_else(unknown)?;
    let to = got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4OrigDstAddr(raw) => {
            let address = u32::from_be(raw.sin_addr.s_addr);
            Some(SocketAddr::new(IpAddr::V4(address.into()), u16::from_be(raw.sin_port)))
        }
        ControlMessageOwned::Ipv6OrigDstAddr(raw) => {
            let address = IpAddr::V6(raw.sin6_addr.s6_addr.into());
            Some(SocketAddr::new(address, u16::from_be(raw.sin6_port)))
        }
        _ => None,
    });
    Ok((got.bytes, from, to.ok_or_else(unknown)?))
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(address), _) => Some(SocketAddr::new(IpAddr::V4(address.ip()), address.port())),
        (_, Some(address)) => Some(SocketAddr::new(IpAddr::V6(address.ip()), address.port())),
        _ => None,
    }
}

/// True when `address` is this machine's.
pub fn is_own(address: IpAddr) -> bool {
    let found = nix::ifaddrs::getifaddrs().into_iter().flatten();
    found
        .filter_map(|interface| interface.address)
        .any(|own| socket_address(&own).is_some_and(|own| own.ip() == address))
}
