//! Clients that people have: a browser with secure DNS, a desktop's stub resolver, dig, dnspython over each transport, and BIND forwarding; a banned name
//! and another one through each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]
#![allow(dead_code, reason = "shares files with other suites")]

#[path = "support/encrypted.rs"]
mod encrypted;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use encrypted::{Encrypted, certify};
use hickory_proto::op::Message;
use interdict::clock::Clock;
use support::{Program, Site, code};

const QUIC: &str = "[[listener]]\nprotocol = \"doq\"\naddress = \"127.0.0.1:0\"\n\
                    [[listener]]\nprotocol = \"doh3\"\naddress = \"127.0.0.1:0\"\n";

/// A site that speaks every transport, with a certificate for its address. Its listeners in order: UDP and TCP, DoT, DoH, DoQ, DoH3.
fn everywhere() -> Encrypted {
    let server = Encrypted::prepare("", QUIC);
    certify(&server.site, "127.0.0.1");
    Encrypted { site: server.site.started(), client: server.client }
}

fn ports(server: &Encrypted) -> Vec<String> {
    let addresses = &server.site.running.as_ref().unwrap().addresses;
    addresses.iter().map(|address| address.port().to_string()).collect()
}

#[test]
fn dig_gets_its_answers_over_udp_and_tcp() {
    let site = Site::start("", Clock::system());
    let port = site.address().port().to_string();
    for transport in ["+notcp", "+tcp"] {
        for (name, expected) in [
            ("wechat.com", &["status: NXDOMAIN", "EDE: 15 (Blocked)", "WeChat"][..]),
            ("www.canada.ca", &["status: NOERROR", "192.0.2.7"]),
        ] {
            let output = Command::new("dig")
                .args(["@127.0.0.1", "-p", &port, transport, "+dnssec", "+nocookie", name])
                .output()
                .expect("dig is installed");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(expected.iter().all(|word| said.contains(word)), "{transport}: {said}");
        }
    }
}

/// The library that most programs in Python have: UDP, TCP, DoT, DoH by POST and GET, DoQ, DoH3.
#[test]
fn dnspython_gets_its_answers_over_every_transport() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dnspython/bin/python");
    if !python.exists() {
        return eprintln!("skipped: tests/run makes the environment of dnspython");
    }
    let server = everywhere();
    let output = Command::new(python)
        .args(["-c", include_str!("support/asking.py")])
        .arg(server.site.path("cert.pem"))
        .args(ports(&server))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let all = ["udp", "tcp", "tls", "https-post", "https-get", "quic", "h3"];
    let expected: String = all.map(|way| format!("{way} NXDOMAIN 15 NOERROR 192.0.2.7\n")).concat();
    assert_eq!(said, expected);
    for (protocol, queries) in [("udp", 2), ("tcp", 2), ("dot", 2), ("doh", 6), ("doq", 2)] {
        server.counted(&format!("interdict_queries_total{{protocol=\"{protocol}\"}} {queries}"));
    }
}

/// A ministry's BIND that asks nobody else.
#[test]
fn bind_forwards_to_it() {
    let site = Site::start("", Clock::system());
    let port = support::free_port();
    let config = site.path("named.conf");
    let text = format!(
        "options {{ directory \"{}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; \
         session-keyfile none; recursion yes; forward only; forwarders port {} {{ 127.0.0.1; }}; dnssec-validation no; }};\n\
         controls {{ }};\n",
        site.folder.path().display(),
        site.address().port()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("/usr/sbin/named")
        .args(["-g", "-n", "1", "-c", config.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("BIND is installed");
    let _running = Program(child);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for (name, expected) in [
        ("wechat.com", ("NXDOMAIN", 0)),
        ("www.canada.ca", ("NOERROR", 1)),
        ("cloaked.example", ("NOERROR", 0)),
    ] {
        assert_eq!(patiently(address, name), expected, "{name}");
    }
}

const RESOLVED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/systemd-resolved/lib/systemd/systemd-resolved");

/// The stub resolver of most Linux desktops, over DoT alone. It wants a network that leads somewhere, and a user of its own.
#[test]
fn systemd_resolved_gets_its_answers_over_tls() {
    if !Path::new(RESOLVED).exists() {
        return eprintln!("skipped: tests/run unpacks systemd-resolved");
    }
    let setup = "ip link set lo up && ip link add out type veth peer name in && ip link set in up && ip link set out up \
        && ip address add 10.9.9.2/24 dev out && ip route add default dev out && mount -t tmpfs none /run \
        && mkdir -p /run/systemd/resolved.conf.d /run/systemd/resolve \
        && (grep -v ^systemd-resolve: /etc/passwd; echo systemd-resolve:x:0:0::/:/bin/false) > /run/passwd \
        && mount --bind /run/passwd /etc/passwd";
    support::in_namespaces(&["--net", "--mount"], setup, "systemd_resolved_in_a_namespace");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn systemd_resolved_in_a_namespace() {
    let server = Encrypted::start("");
    let settings = format!(
        "[Resolve]\nDNS=127.0.0.1:{}#dns.example\nFallbackDNS=\nDomains=~.\nDNSOverTLS=yes\nDNSSEC=no\nCache=no\n\
         DNSStubListener=yes\nLLMNR=no\nMulticastDNS=no\n",
        ports(&server)[1]
    );
    std::fs::write("/run/systemd/resolved.conf.d/own.conf", settings).unwrap();
    // What it trusts: the system's authorities.
    let certificate = server.site.path("cert.pem");
    let bound = Command::new("mount")
        .arg("--bind")
        .arg(certificate)
        .arg("/etc/ssl/certs/ca-certificates.crt")
        .status();
    assert!(bound.unwrap().success());
    let child = Command::new(RESOLVED).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _running = Program(child);
    let stub = SocketAddr::from(([127, 0, 0, 53], 53));
    for (name, expected) in [
        ("wechat.com", ("NXDOMAIN", 0)),
        ("www.canada.ca", ("NOERROR", 1)),
        ("cloaked.example", ("NOERROR", 0)),
    ] {
        assert_eq!(patiently(stub, name), expected, "{name}");
    }
    assert!(server.site.metric("interdict_queries_total{protocol=\"dot\"}") >= 3.0);
    assert_eq!(server.site.metric("interdict_queries_total{protocol=\"udp\"}"), 0.0);
}

/// The response code, and how many records, of a server that may take its time to start.
fn patiently(server: SocketAddr, name: &str) -> (&'static str, usize) {
    let reply = (0..100).find_map(|_| {
        let reply = support::reply_of(server, name)
            .map(|reply| Message::from_vec(&reply).unwrap())
            .filter(|reply| code(reply) != "SERVFAIL");
        std::thread::sleep(Duration::from_millis(if reply.is_some() { 0 } else { 100 }));
        reply
    });
    let reply = reply.expect("a reply");
    (code(&reply), reply.answers.len())
}

const CHROMIUM: &str = "/usr/bin/chromium";

#[test]
fn chromium_with_secure_dns_reaches_a_page_and_no_banned_one() {
    if !Path::new(CHROMIUM).exists() {
        return eprintln!("skipped: chromium is not installed");
    }
    // Nobody else can be asked there; the address of every name that is not banned is this machine's.
    let setup = "ip link set lo up && ip address add 192.0.2.7/32 dev lo";
    support::in_namespaces(&["--net", "--mount"], setup, "chromium_in_a_namespace");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn chromium_in_a_namespace() {
    let server = Encrypted::prepare("", "");
    certify(&server.site, "127.0.0.1");
    let server = Encrypted { site: server.site.started(), client: server.client };
    serve_pages();
    let trusted =
        format!("--ignore-certificate-errors-spki-list={}", key_digest(&server.site.path("cert.pem")));
    let (page, errors) = browse(&server, &trusted, "www.canada.example");
    assert!(page.contains("a page of www.canada.example"), "{page} {errors:?}");
    for name in ["www.tiktok.com", "cloaked.example"] {
        let (page, errors) = browse(&server, &trusted, name);
        assert!(!page.contains("a page of") && errors.contains(&NAME_NOT_RESOLVED), "{page} {errors:?}");
    }
    assert!(server.site.metric("interdict_queries_total{protocol=\"doh\"}") >= 3.0);
    for protocol in ["udp", "tcp", "dot"] {
        assert_eq!(server.site.metric(&format!("interdict_queries_total{{protocol=\"{protocol}\"}}")), 0.0);
    }
    let log = support::read(&server.site.path("queries.jsonl"));
    let blocked = log.lines().find(|line| line.contains("www.tiktok.com")).expect("it is in the log");
    assert!(blocked.contains("\"doh\""), "{blocked}");
    // A server that it has no reason to trust is not asked, and there is no other.
    let (page, errors) = browse(&server, "--no-first-run", "www.canada.example");
    assert!(!page.contains("a page of") && errors.contains(&NAME_NOT_RESOLVED), "{page} {errors:?}");
}

/// `ERR_NAME_NOT_RESOLVED` of Chromium.
const NAME_NOT_RESOLVED: i64 = -105;

/// What Chromium shows at a name, as a new user whose secure DNS is this server's alone, and the errors that it met on the way there.
fn browse(server: &Encrypted, option: &str, name: &str) -> (String, Vec<i64>) {
    let profile = tempfile::tempdir().unwrap();
    let uri = format!("https://127.0.0.1:{}/dns-query{{?dns}}", ports(server)[2]);
    let state = serde_json::json!({ "dns_over_https": { "mode": "secure", "templates": uri } });
    std::fs::write(profile.path().join("Local State"), state.to_string()).unwrap();
    let (uri, log) = (format!("http://{name}/"), profile.path().join("log"));
    let output = Command::new("timeout")
        .args(["60", CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", option])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--log-net-log={}", log.display()))
        .args(["--dump-dom", &uri])
        .env("HOME", profile.path())
        .output()
        .unwrap();
    let log: serde_json::Value = serde_json::from_str(&support::read(&log)).unwrap();
    let events = log["events"].as_array().unwrap();
    let asked: Vec<_> = events
        .iter()
        .filter(|event| event["params"]["url"] == uri.as_str())
        .map(|event| &event["source"]["id"])
        .collect();
    let of_page = events.iter().filter(|event| asked.contains(&&event["source"]["id"]));
    let errors = of_page.filter_map(|event| event["params"]["net_error"].as_i64()).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), errors)
}

/// Answers every request at the address that all names have.
fn serve_pages() {
    let listener = TcpListener::bind("192.0.2.7:80").unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let lines: Vec<String> = BufReader::new(&stream)
                    .lines()
                    .map_while(|line| line.ok().filter(|line| !line.is_empty()))
                    .collect();
                let host = lines.iter().find_map(|line| line.strip_prefix("Host: ")).unwrap_or("nobody");
                let body = format!("<p>a page of {host}</p>");
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length:";
                let _gone = write!(stream, "{head} {}\r\n\r\n{body}", body.len()).is_err();
            });
        }
    });
}

/// SHA-256 of a certificate's key in base 64.
fn key_digest(certificate: &PathBuf) -> String {
    let script = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform der | \
                  openssl dgst -sha256 -binary | openssl enc -base64";
    let said = Command::new("sh").args(["-c", script]).arg(certificate).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
