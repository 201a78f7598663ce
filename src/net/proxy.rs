//! Owns the reading and writing of what a balancer puts in front of a connection or datagram to say whose it is (PROXY protocol, version 2). Never decides
//! whose word counts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a balancer says of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    /// The client's address; `None` when the balancer speaks for itself, as in its health checks.
    pub client: Option<IpAddr>,
    /// The server's name that the client asked the balancer for, in lower case.
    pub server_name: Option<String>,
    /// Bytes that it took.
    pub length: usize,
}

/// Why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It is not there, or of another version.
    #[error("there is no PROXY header of version 2")]
    Absent,
    /// It contradicts itself, breaks off, or is too long.
    #[error("the PROXY header is malformed")]
    Malformed,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes up to the addresses.
const FIXED: usize = 16;
/// Longest that is taken, behind the fixed part: addresses, and what a balancer knows of a TLS session without certificates.
const LONGEST: usize = 1024;
/// The type of the field that holds the server's name.
const AUTHORITY: u8 = 0x02;

/// Reads the header at the beginning of `bytes`.
pub fn read_proxied(bytes: &[u8]) -> Result<Proxied, ProxyError> {
    let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or(ProxyError::Absent)?;
    let (command, family, length) = parts(fixed)?;
    let rest = bytes.get(FIXED..FIXED + length).ok_or(ProxyError::Malformed)?;
    let mut proxied = Proxied { length: FIXED + length, ..Proxied::default() };
    // What a balancer says when it speaks for itself is to be ignored.
    if command == 0 {
        return Ok(proxied);
    }
    let (client, fields) = match family {
        // IPv4, over TCP or UDP: two addresses, two ports.
        0x11 | 0x12 => {
            let (addresses, fields) = rest.split_first_chunk::<12>().ok_or(ProxyError::Malformed)?;
            let [a, b, c, d, ..] = *addresses;
            (IpAddr::from(Ipv4Addr::new(a, b, c, d)), fields)
        }
        0x21 | 0x22 => {
            let (addresses, fields) = rest.split_first_chunk::<36>().ok_or(ProxyError::Malformed)?;
            let source = addresses.first_chunk::<16>().ok_or(ProxyError::Malformed)?;
            (IpAddr::from(Ipv6Addr::from(*source)).to_canonical(), fields)
        }
        // Nothing is known of the client, or it is no client of a network.
        _ => return Ok(proxied),
    };
    proxied.client = Some(client);
    proxied.server_name = server_name(fields)?;
    Ok(proxied)
}

/// The header that says a connection is from `client` to `destination`.
pub fn write_proxied(client: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (client_ip, destination_ip) = (client.ip().to_canonical(), destination.ip().to_canonical());
    let addresses = match (client_ip, destination_ip) {
        (IpAddr::V4(one), IpAddr::V4(other)) => [one.octets(), other.octets()].concat(),
        (one, other) => [one, other]
            .map(|address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            })
            .concat(),
    };
    let family = if addresses.len() == 8 { 0x11 } else { 0x21 };
    let ports = [client.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let length = (addresses.len() + ports.len()) as u16;
    [&SIGNATURE[..], &[0x21, family], &length.to_be_bytes(), &addresses, &ports].concat()
}

/// Reads the header at the beginning of `stream`, and nothing behind it.
pub async fn receive_proxied(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Proxied> {
    let broken = |error: ProxyError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut bytes = vec![0; FIXED];
    stream.read_exact(&mut bytes).await?;
    let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or_else(|| broken(ProxyError::Absent))?;
    let (_, _, length) = parts(fixed).map_err(broken)?;
    bytes.resize(FIXED + length, 0);
    if let Some(rest) = bytes.get_mut(FIXED..) {
        stream.read_exact(rest).await?;
    }
    read_proxied(&bytes).map_err(broken)
}

/// The command, the family with the transport, and the length of the rest.
fn parts(fixed: &[u8; FIXED]) -> Result<(u8, u8, usize), ProxyError> {
    let (signature, &[version, family, high, low]) =
        fixed.split_last_chunk::<4>().ok_or(ProxyError::Absent)?;
    if signature != SIGNATURE || version >> 4 != 2 {
        return Err(ProxyError::Absent);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version & 15 > 1 || length > LONGEST {
        Err(ProxyError::Malformed)
    } else {
        Ok((version & 15, family, length))
    }
}

fn server_name(mut fields: &[u8]) -> Result<Option<String>, ProxyError> {
    while let Some((&[kind, high, low], rest)) = fields.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(..length).ok_or(ProxyError::Malformed)?;
        if kind == AUTHORITY {
            let name = std::str::from_utf8(value).map_err(|_| ProxyError::Malformed)?;
            return Ok(Some(name.to_ascii_lowercase()));
        }
        fields = rest.get(length..).unwrap_or(&[]);
    }
    if fields.is_empty() { Ok(None) } else { Err(ProxyError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [SIGNATURE, &[0x20 | command, family][..], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    #[test]
    fn who_is_behind_a_balancer_is_read() {
        let v4 = [10, 1, 2, 3, 10, 0, 0, 1, 0x12, 0x34, 0, 53];
        let named = [&v4[..], &[0x04, 0, 1, 9, AUTHORITY, 0, 11], b"DNS.example"].concat();
        let bytes = [header(1, 0x12, &named), b"query".to_vec()].concat();
        let found = read_proxied(&bytes).unwrap();
        assert_eq!(found.client, Some([10, 1, 2, 3].into()));
        assert_eq!(found.server_name.as_deref(), Some("dns.example"));
        assert_eq!(&bytes[found.length..], b"query");
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 7).octets());
        assert_eq!(read_proxied(&header(1, 0x21, &v6)).unwrap().client, Some("2001:db8::7".parse().unwrap()));
        v6[..16].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets());
        assert_eq!(read_proxied(&header(1, 0x21, &v6)).unwrap().client, Some([192, 0, 2, 7].into()));
        for itself in [header(0, 0, &[]), header(0, 0x11, &v4), header(1, 0x31, &[0; 216])] {
            assert_eq!(read_proxied(&itself), Ok(Proxied { length: itself.len(), ..Proxied::default() }));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (client, destination) in
            [("192.0.2.7:4000", "198.51.100.1:443"), ("[2001:db8::7]:4000", "[2001:db8::1]:443")]
        {
            let (client, destination): (SocketAddr, SocketAddr) =
                (client.parse().unwrap(), destination.parse().unwrap());
            let bytes = write_proxied(client, destination);
            let found = read_proxied(&bytes).unwrap();
            assert_eq!((found.client, found.length), (Some(client.ip()), bytes.len()));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let whole = header(1, 0x11, &[1; 12]);
        for length in 0..whole.len() {
            assert!(read_proxied(&whole[..length]).is_err(), "{length}");
        }
        let mut other = whole;
        other[12] = 0x11;
        assert_eq!(read_proxied(&other), Err(ProxyError::Absent), "version 1 in the place of 2");
        other[12] = 0x22;
        assert_eq!(read_proxied(&other), Err(ProxyError::Malformed), "an unknown command");
        assert_eq!(read_proxied(b"PROXY TCP4 10.1.2.3 10.0.0.1 1 53\r\n"), Err(ProxyError::Absent));
        assert_eq!(
            read_proxied(&header(1, 0x21, &[1; 12])),
            Err(ProxyError::Malformed),
            "too short for IPv6"
        );
        assert_eq!(
            read_proxied(&header(1, 0x11, &[1; 13])),
            Err(ProxyError::Malformed),
            "a field breaks off"
        );
        assert_eq!(read_proxied(&header(1, 0x11, &[1; 1025])), Err(ProxyError::Malformed), "too long");
    }
}
