//! Owns what clients are told of the encrypted listeners: the records that designate them (DDR, RFC 9462), and the options by which
//! a network announces them (DNR, RFC 9463). Never sends anything.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

use super::open::{Listener, Protocol};
use crate::dns::Name;
use crate::policy::hexadecimal;

/// What is announced of this resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// The name on its certificate. Without one nothing is announced: a client could not check whom it reached.
    pub name: Option<Name>,
    /// Its addresses, so that clients need not ask for them.
    pub ipv4: Vec<Ipv4Addr>,
    /// Its addresses, so that clients need not ask for them.
    pub ipv6: Vec<Ipv6Addr>,
}

/// One encrypted listener, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Designated {
    /// RDATA of its SVCB record at `_dns.resolver.arpa`.
    pub svcb: Vec<u8>,
    /// What a network announces.
    pub announced: Announced,
}

/// What a network announces of a listener, in words and as the data of options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announced {
    /// The smaller, the sooner it is tried.
    pub priority: u16,
    /// The name on the certificate (ADN).
    pub name: String,
    /// Service parameters in presentation form (RFC 9460 section 2.1).
    pub parameters: String,
    /// Data of the DHCPv4 option 162, in hexadecimal; one option may hold several of them (RFC 9463 section 5.1).
    pub dhcpv4_option_162: String,
    /// Data of one DHCPv6 option 144, in hexadecimal (RFC 9463 section 4.1); also of the router advertisement's option, without its
    /// lifetime.
    pub dhcpv6_option_144: String,
}

/// Keys of service parameters (RFC 9460 section 14.3.2, RFC 9461 section 5).
const ALPN: u16 = 1;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;
const DOH_PATH: u16 = 7;

/// What clients are told of those of `listeners` that are encrypted, at the ports where they are; in the order in which they should be
/// tried, which is that of the configuration.
pub fn designated(announcement: &Announcement, listeners: &[(Listener, SocketAddr)]) -> Vec<Designated> {
    let Some(name) = &announcement.name else { return Vec::new() };
    let encrypted = listeners.iter().filter(|(listener, _)| listener.protocol.is_encrypted());
    (1..)
        .zip(encrypted)
        .map(|(priority, (listener, at))| one(announcement, name, priority, listener, *at))
        .collect()
}

fn one(
    announcement: &Announcement,
    name: &Name,
    priority: u16,
    listener: &Listener,
    at: SocketAddr,
) -> Designated {
    let (words, alpn, usual): (&str, &[u8], u16) = match listener.protocol {
        Protocol::Doh => ("alpn=h2", b"\x02h2", 443),
        Protocol::Doh3 => ("alpn=h3", b"\x02h3", 443),
        Protocol::Doq => ("alpn=doq", b"\x03doq", 853),
        Protocol::Dot | Protocol::Do53 => ("alpn=dot", b"\x03dot", 853),
    };
    let mut text = words.to_owned();
    let mut parameters = parameter(ALPN, alpn);
    if at.port() != usual {
        parameters.extend(parameter(PORT, &at.port().to_be_bytes()));
        text.push_str(&format!(" port={}", at.port()));
    }
    let mut hinted = parameters.clone();
    let ipv4: Vec<u8> = announcement.ipv4.iter().flat_map(Ipv4Addr::octets).collect();
    let ipv6: Vec<u8> = announcement.ipv6.iter().flat_map(Ipv6Addr::octets).collect();
    for (key, addresses) in [(IPV4_HINT, &ipv4), (IPV6_HINT, &ipv6)] {
        if !addresses.is_empty() {
            hinted.extend(parameter(key, addresses));
        }
    }
    if listener.protocol.is_http() {
        let template = format!("{}{{?dns}}", listener.path);
        let path = parameter(DOH_PATH, template.as_bytes());
        parameters.extend_from_slice(&path);
        hinted.extend(path);
        text.push_str(&format!(" dohpath={template}"));
    }
    let svcb = [&priority.to_be_bytes()[..], name.as_wire(), &hinted].concat();
    let announced = Announced {
        priority,
        name: name.to_string(),
        parameters: text,
        dhcpv4_option_162: hexadecimal(&dhcpv4(priority, name, &ipv4, &parameters)),
        dhcpv6_option_144: hexadecimal(&dhcpv6(priority, name, &ipv6, &parameters)),
    };
    Designated { svcb, announced }
}

fn parameter(key: u16, value: &[u8]) -> Vec<u8> {
    [&key.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}

/// One instance: its length, then priority, name, addresses, parameters. Without addresses it ends behind the name: clients ask for them.
fn dhcpv4(priority: u16, name: &Name, addresses: &[u8], parameters: &[u8]) -> Vec<u8> {
    let mut instance = [&priority.to_be_bytes()[..], &[name.as_wire().len() as u8], name.as_wire()].concat();
    if !addresses.is_empty() {
        instance.push(addresses.len() as u8);
        instance.extend_from_slice(addresses);
        instance.extend_from_slice(parameters);
    }
    [&(instance.len() as u16).to_be_bytes()[..], &instance].concat()
}

fn dhcpv6(priority: u16, name: &Name, addresses: &[u8], parameters: &[u8]) -> Vec<u8> {
    let length = (name.as_wire().len() as u16).to_be_bytes();
    let mut option = [&priority.to_be_bytes()[..], &length, name.as_wire()].concat();
    if !addresses.is_empty() {
        option.extend_from_slice(&(addresses.len() as u16).to_be_bytes());
        option.extend_from_slice(addresses);
        option.extend_from_slice(parameters);
    }
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(ipv4: &[&str], ipv6: &[&str]) -> Vec<Designated> {
        let announcement = Announcement {
            name: Some("dns.example".parse().unwrap()),
            ipv4: ipv4.iter().map(|text| text.parse().unwrap()).collect(),
            ipv6: ipv6.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let listener = |protocol, port: u16| {
            let address = SocketAddr::from(([192, 0, 2, 1], port));
            let path = "/q".to_owned();
            (Listener { protocol, path, ..Listener::do53(address) }, address)
        };
        let listeners =
            [(Protocol::Do53, 53), (Protocol::Dot, 853), (Protocol::Doh, 8443), (Protocol::Doh3, 443)]
                .map(|(protocol, port)| listener(protocol, port));
        designated(&announcement, &listeners)
    }

    #[test]
    fn each_encrypted_listener_is_told_with_what_a_client_needs() {
        let all = announced(&["192.0.2.1"], &["2001:db8::1"]);
        let words: Vec<_> =
            all.iter().map(|one| (one.announced.priority, one.announced.parameters.as_str())).collect();
        assert_eq!(
            words,
            [(1, "alpn=dot"), (2, "alpn=h2 port=8443 dohpath=/q{?dns}"), (3, "alpn=h3 dohpath=/q{?dns}")]
        );
        let name = b"\x03dns\x07example\0";
        let v6 = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        let dot =
            [&[0, 1][..], name, b"\0\x01\0\x04\x03dot\0\x04\0\x04\xC0\0\x02\x01\0\x06\0\x10", &v6].concat();
        assert_eq!(all[0].svcb, dot);
        let doh = [
            &[0, 2][..],
            name,
            b"\0\x01\0\x03\x02h2\0\x03\0\x02\x20\xFB\0\x04\0\x04\xC0\0\x02\x01\0\x06\0\x10",
            &v6,
            b"\0\x07\0\x08/q{?dns}",
        ]
        .concat();
        assert_eq!(all[1].svcb, doh);
        // RFC 9463 section 5.1: length 2, priority 2, name's length 1, name, addresses' length 1, addresses, parameters without hints.
        let option = [&[0, 29, 0, 1, 13][..], name, &[4, 192, 0, 2, 1], b"\0\x01\0\x04\x03dot"].concat();
        assert_eq!(all[0].announced.dhcpv4_option_162, hexadecimal(&option));
        let option = [&[0, 1, 0, 13][..], name, &[0, 16], &v6, b"\0\x01\0\x04\x03dot"].concat();
        assert_eq!(all[0].announced.dhcpv6_option_144, hexadecimal(&option));
    }

    #[test]
    fn without_addresses_clients_ask_for_them_and_without_a_name_nothing_is_told() {
        let all = announced(&[], &[]);
        assert_eq!(all[0].svcb, b"\0\x01\x03dns\x07example\0\0\x01\0\x04\x03dot");
        assert_eq!(all[0].announced.dhcpv4_option_162, hexadecimal(b"\0\x10\0\x01\x0D\x03dns\x07example\0"));
        assert!(designated(&Announcement::default(), &[]).is_empty());
    }
}
