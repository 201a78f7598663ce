//! Balancers in front: whom they speak for chooses the group and stands in the log, over every transport, and only they are believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

#[path = "support/encrypted.rs"]
mod encrypted;
mod support;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use encrypted::{Encrypted, ask};
use hickory_proto::op::Message;
use interdict::clock::Clock;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use support::{Program, Site, code, query, read_framed};

/// Where the balancer of these tests is, and a client behind it.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 7);

const GROUPS: &str = "[[policy.group]]\nname = \"default\"\nenforce = [\"tiktok\"]\n\
    [[policy.group]]\nname = \"lab\"\nclients = [\"10.20.0.0/16\"]\nenforce = [\"telegram\"]\n\
    [[policy.group]]\nname = \"mobile\"\nserver_names = [\"mobile.example\"]\nenforce = [\"wechat\"]\n";

fn site(proxies: &str) -> Site {
    let site = Site::prepare(GROUPS, Clock::system());
    let text = support::read(&site.config).replacen(
        "address = \"127.0.0.1:0\"\n",
        &format!("address = \"127.0.0.1:0\"\nproxy_protocol_from = [\"{proxies}\"]\n"),
        1,
    );
    std::fs::write(&site.config, text).unwrap();
    site.started()
}

/// The header that speaks for a client, with more fields.
fn header(client: Ipv4Addr, fields: &[u8]) -> Vec<u8> {
    let addresses = [&client.octets()[..], &[10, 0, 0, 1, 0x12, 0x34, 0, 53], fields].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &(addresses.len() as u16).to_be_bytes(), &addresses].concat()
}

/// Says who a server's name was asked of.
const MOBILE: &[u8] = b"\x02\0\x0Emobile.example";

/// What the balancer gets for its bytes over UDP.
fn udp(site: &Site, from: Ipv4Addr, bytes: &[u8]) -> Option<&'static str> {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    socket.send_to(bytes, site.address()).unwrap();
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).ok()?;
    Some(code(&Message::from_vec(&buffer[..length]).unwrap()))
}

/// A connection of the balancer's.
fn connect(server: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((BALANCER, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    stream
}

#[test]
fn over_udp_and_tcp_the_client_behind_a_balancer_is_who_asks() {
    let site = site("127.0.0.9");
    let banned = |name: &str| query(7, 0x0100, name, 1, None);
    for (name, lab, mobile) in [
        ("tiktok.com", "NOERROR", "NOERROR"),
        ("telegram.org", "NXDOMAIN", "NOERROR"),
        ("wechat.com", "NOERROR", "NXDOMAIN"),
    ] {
        for (fields, expected) in [(&[][..], lab), (MOBILE, mobile)] {
            let bytes = [header(CLIENT, fields), banned(name)].concat();
            assert_eq!(udp(&site, BALANCER, &bytes), Some(expected), "{name}");
            let mut stream = connect(site.address());
            let framed =
                [&header(CLIENT, fields)[..], &(banned(name).len() as u16).to_be_bytes(), &banned(name)]
                    .concat();
            stream.write_all(&framed).unwrap();
            let reply = read_framed(&mut stream).unwrap();
            assert_eq!(code(&Message::from_vec(&reply).unwrap()), expected, "{name}");
        }
    }
    // A check of the balancer's own.
    let local = [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], &banned("tiktok.com")].concat();
    assert_eq!(udp(&site, BALANCER, &local), Some("NXDOMAIN"));
    // The log is written every 20 ms.
    std::thread::sleep(Duration::from_millis(200));
    let log = support::read(&site.path("queries.jsonl"));
    assert!(log.contains("\"client\":\"10.20.0.7\"") && log.contains("\"client\":\"127.0.0.9\""), "{log}");
}

#[test]
fn nobody_else_is_believed_and_a_balancer_must_say_whose_it_is() {
    let site = site("127.0.0.9");
    let bytes = [header(CLIENT, &[]), query(7, 0x0100, "telegram.org", 1, None)].concat();
    let said = udp(&site, Ipv4Addr::LOCALHOST, &bytes);
    assert!(matches!(said, None | Some("another")), "a header is no query: {said:?}");
    assert_eq!(udp(&site, Ipv4Addr::LOCALHOST, &query(7, 0x0100, "tiktok.com", 1, None)), Some("NXDOMAIN"));
    assert_eq!(udp(&site, BALANCER, &query(7, 0x0100, "tiktok.com", 1, None)), None, "without a header");
    let mut stream = connect(site.address());
    let plain = query(7, 0x0100, "tiktok.com", 1, None);
    stream.write_all(&[&(plain.len() as u16).to_be_bytes()[..], &plain].concat()).unwrap();
    assert!(read_framed(&mut stream).is_none());
    let page = site.http("GET", "/metrics", None).1;
    for line in [
        "interdict_connections_closed_total{protocol=\"tcp\",reason=\"proxy\"} 1",
        "interdict_listen_errors_total{reason=\"proxy\"} 1",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn a_header_stands_in_front_of_tls() {
    let server = Encrypted::start_with("proxy_protocol_from = [\"127.0.0.9\"]\n", GROUPS);
    let mut tcp = connect(server.site.running.as_ref().unwrap().addresses[1]);
    tcp.write_all(&header(CLIENT, &[])).unwrap();
    let name = ServerName::try_from("dns.example").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(&server.client), name).unwrap(), tcp);
    assert_eq!(code(&ask(&mut stream, "telegram.org")), "NXDOMAIN");
    assert_eq!(code(&ask(&mut stream, "tiktok.com")), "NOERROR");
    assert_eq!(
        code(&ask(&mut server.connect(), "tiktok.com")),
        "NXDOMAIN",
        "who comes directly is who it is"
    );
}

#[test]
fn a_client_of_a_balancer_has_its_own_places() {
    let site = Site::prepare("", Clock::system());
    let text = support::read(&site.config).replacen(
        "address = \"127.0.0.1:0\"\n",
        "address = \"127.0.0.1:0\"\nproxy_protocol_from = [\"127.0.0.9\"]\nconnections_of_client = 2\n",
        1,
    );
    std::fs::write(&site.config, text).unwrap();
    let site = site.started();
    let open = |client: Ipv4Addr| {
        let mut stream = connect(site.address());
        let ask = query(7, 0x0100, "wechat.com", 1, None);
        stream
            .write_all(&[&header(client, &[])[..], &(ask.len() as u16).to_be_bytes(), &ask].concat())
            .unwrap();
        read_framed(&mut stream).map(|_| stream)
    };
    let kept = [open(CLIENT), open(CLIENT)];
    assert!(kept.iter().all(Option::is_some));
    assert!(open(CLIENT).is_none(), "a third");
    assert!(open(Ipv4Addr::new(10, 20, 0, 8)).is_some(), "another client");
}

#[test]
fn dnsdist_in_front_passes_on_who_asks() {
    let site = site("127.0.0.1");
    let port = support::free_port();
    let config = site.path("dnsdist.conf");
    let text = format!(
        "setLocal(\"127.0.0.1:{port}\")\nsetACL(\"127.0.0.0/8\")\nsetSecurityPollSuffix(\"\")\n\
         newServer({{ address = \"{}\", useProxyProtocol = true, checkName = \"health.interdict.invalid.\" }})\n",
        site.address()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("dnsdist")
        .args(["--supervised", "--disable-syslog", "-C", config.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("dnsdist is installed");
    let _running = Program(child);
    let client = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 5), 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut buffer = [0; 1500];
    for (id, name, expected) in [(1, "tiktok.com", "NXDOMAIN"), (2, "www.canada.ca", "NOERROR")] {
        let answered = (0..40).find_map(|_| {
            client.send_to(&query(id, 0x0100, name, 1, None), ("127.0.0.1", port)).unwrap();
            let Ok(length) = client.recv(&mut buffer) else {
                std::thread::sleep(Duration::from_millis(100));
                return None;
            };
            let reply = Message::from_vec(&buffer[..length]).unwrap();
            Some(code(&reply)).filter(|code| *code != "SERVFAIL" && reply.metadata.id == id)
        });
        assert_eq!(answered, Some(expected), "{name}");
    }
    std::thread::sleep(Duration::from_millis(100));
    let log = support::read(&site.path("queries.jsonl"));
    assert!(log.contains("\"client\":\"127.0.0.5\""), "{log}");
}

#[test]
fn unbound_forwards_to_it_over_tls() {
    let server = Encrypted::start("");
    let port = support::free_port();
    let config = server.site.path("unbound.conf");
    let text = format!(
        "server:\n interface: 127.0.0.1@{port}\n do-not-query-localhost: no\n module-config: \"iterator\"\n username: \"\"\n \
         chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n tls-cert-bundle: \"{}\"\nremote-control:\n \
         control-enable: no\nforward-zone:\n name: \".\"\n forward-tls-upstream: yes\n forward-addr: 127.0.0.1@{}#dns.example\n",
        server.site.path("cert.pem").display(),
        server.site.running.as_ref().unwrap().addresses[1].port()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("/usr/sbin/unbound")
        .args(["-d", "-c", config.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("unbound is installed");
    let _running = Program(child);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for (name, expected) in [("wechat.com", "NXDOMAIN"), ("www.canada.ca", "NOERROR")] {
        // It may take its time to start.
        let answered = (0..200).find_map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            support::reply_of(address, name)
        });
        assert_eq!(code(&Message::from_vec(&answered.expect("a reply")).unwrap()), expected, "{name}");
    }
    server.counted("interdict_connections_total{protocol=\"dot\"} 1");
}
