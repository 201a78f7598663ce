//! Syslog inside of TLS: a real collector that wants certificates, and servers whose own do not fit.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use interdict::clock::Clock;

use super::{collected, count, rsyslog, started};
use crate::lists::Authority;
use crate::support::operator::until;
use crate::support::{Program, Site, free_port};

/// Writes a certificate for a name and its key as `NAME.pem` and `NAME.key` into the site's folder.
fn certify(site: &Site, authority: &Authority, name: &str, until: i32) {
    let (certificate, key) = authority.certify_pem(name, until);
    std::fs::write(site.path(&format!("{name}.pem")), certificate).unwrap();
    std::fs::write(site.path(&format!("{name}.key")), key).unwrap();
}

fn failures(site: &Site, sink: &str, reason: &str) -> f64 {
    site.metric(&format!("interdict_querylog_failures_total{{sink=\"{sink}\",reason=\"{reason}\"}}"))
}

#[test]
fn rsyslog_takes_a_stream_inside_of_tls_from_whom_it_knows() {
    let port = free_port();
    let site = Site::prepare("", Clock::system());
    let authority = Authority::new("logs");
    certify(&site, &authority, "collector.example", 2100);
    certify(&site, &authority, "resolver.example", 2100);
    std::fs::write(site.path("ca.pem"), &authority.pem).unwrap();
    let path = |name: &str| site.path(name).display().to_string();
    let settings = format!(
        "defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile=\"{}\" defaultNetstreamDriverCertFile=\"{}\" \
         defaultNetstreamDriverKeyFile=\"{}\"",
        path("ca.pem"),
        path("collector.example.pem"),
        path("collector.example.key")
    );
    let inputs = format!(
        "module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"x509/name\" PermittedPeer=\"resolver.example\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n",
    );
    let Some(_running) = rsyslog(&site, &settings, &inputs) else { return };
    until(10, "rsyslog", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let sink = |name: &str, more: &str| {
        format!(
            "[[querylog.sink]]\nname = \"{name}\"\nto = \"syslog+tls://127.0.0.1:{port}#collector.example\"\nca = \"$DIR/ca.pem\"\n{more}"
        )
    };
    let own =
        "certificate = \"$DIR/resolver.example.pem\"\nkey = \"$DIR/resolver.example.key\"\nwhich = \"all\"\n";
    let site = started(site, &format!("{}{}", sink("known", own), sink("unknown", "")));
    for number in 0..20 {
        site.ask(&format!("n{number}.wechat.com"), 1);
    }
    site.ask("www.canada.ca", 1);
    let from_us = || collected(&site).into_iter().filter(|line| line.contains("|query|")).collect::<Vec<_>>();
    until(10, "all messages", || from_us().len() >= 21);
    assert_eq!(from_us().len(), 21);
    let notices = from_us().iter().filter(|line| line.starts_with("interdict|query|notice|imtcp|{")).count();
    assert_eq!(notices, 20, "{:?}", from_us().first());
    assert_eq!((count(&site, "records", "known"), count(&site, "lost", "known")), (21.0, 0.0));
    // Whom it does not know it turns away, which TLS 1.3 tells after the handshake: nothing may count as taken.
    until(10, "a reason", || {
        failures(&site, "unknown", "client_certificate") + failures(&site, "unknown", "closed") >= 2.0
    });
    assert_eq!(
        (count(&site, "records", "unknown"), count(&site, "lost", "unknown")),
        (0.0, 0.0),
        "they wait"
    );
    assert_eq!(count(&site, "lost", "file"), 0.0);
}

/// A server with that certificate, writing what it is sent into a file.
fn server(site: &Site, port: u16, name: &str, out: &str) -> Option<Program> {
    let path = |name: &str| site.path(name).display().to_string();
    let file = std::fs::File::create(site.path(out)).unwrap();
    let child: Result<Child, _> = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &path(&format!("{name}.pem")), "-key", &path(&format!("{name}.key"))])
        // It ends with its input.
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn();
    let program = child.map(Program).map_err(|error| eprintln!("skipped: openssl: {error}")).ok()?;
    until(10, "openssl", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some(program)
}

#[test]
fn a_certificate_that_does_not_fit_is_told_by_reason_and_what_waited_comes_when_it_does() {
    let site = Site::prepare("", Clock::system());
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    std::fs::write(site.path("ca.pem"), &ours.pem).unwrap();
    certify(&site, &ours, "other.example", 2100);
    certify(&site, &theirs, "unknown.example", 2100);
    certify(&site, &ours, "expired.example", 2021);
    let kinds = [
        ("other.example", "certificate_name"),
        ("unknown.example", "certificate_authority"),
        ("expired.example", "certificate_expired"),
    ];
    let ports = kinds.map(|_| free_port());
    let mut servers = Vec::new();
    for ((name, _), port) in kinds.into_iter().zip(ports) {
        let Some(server) = server(&site, port, name, "refused") else { return };
        servers.push(server);
    }
    let sinks = kinds.into_iter().zip(ports).map(|((name, reason), port)| {
        // The name that the certificate would have, but for the one that is to be wrong.
        let name = if name == "other.example" { "collector.example" } else { name };
        format!(
            "[[querylog.sink]]\nname = \"{reason}\"\nto = \"syslog+tls://127.0.0.1:{port}#{name}\"\nca = \"$DIR/ca.pem\"\n"
        )
    });
    let site = started(site, &sinks.collect::<String>());
    for number in 0..10 {
        assert!(
            site.udp(&crate::support::query(7, 0x0100, &format!("n{number}.wechat.com"), 1, None)).is_some()
        );
    }
    for (_, reason) in kinds {
        until(10, reason, || failures(&site, reason, reason) >= 1.0);
        assert_eq!((count(&site, "records", reason), count(&site, "lost", reason)), (0.0, 0.0), "{reason}");
    }
    until(10, "the file", || count(&site, "records", "file") >= 10.0);
    // The authority's certificate is replaced, the others' servers get one that fits.
    drop(servers);
    std::fs::write(site.path("ca.pem"), format!("{}{}", ours.pem, theirs.pem)).unwrap();
    certify(&site, &ours, "collector.example", 2100);
    certify(&site, &ours, "expired.example", 2100);
    let _servers: Vec<_> = kinds
        .into_iter()
        .zip(ports)
        .map(|((name, reason), port)| {
            let name = if name == "other.example" { "collector.example" } else { name };
            server(&site, port, name, reason).unwrap()
        })
        .collect();
    for (_, reason) in kinds {
        until(15, "what waited", || count(&site, "records", reason) >= 10.0);
        let said = || {
            let mut said = String::new();
            std::fs::File::open(site.path(reason)).unwrap().read_to_string(&mut said).unwrap();
            said
        };
        until(10, "what was sent", || said().matches("wechat.com").count() >= 10);
        assert!(said().contains("\"n9.wechat.com\""), "{}", said());
        assert_eq!(count(&site, "lost", reason), 0.0);
    }
}

#[test]
fn a_collector_that_takes_nothing_delays_nobody() {
    // Accepts, and never says a word of TLS.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let site = Site::prepare("", Clock::system());
    let sink = format!("[[querylog.sink]]\nname = \"silent\"\nto = \"syslog+tls://127.0.0.1:{port}\"\n");
    let mut site = started(site, &sink);
    site.ask("www.wechat.com", 1);
    until(10, "a reason", || failures(&site, "silent", "timeout") >= 1.0);
    let begun = std::time::Instant::now();
    site.ask("www.wechat.com", 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    until(10, "the file", || count(&site, "records", "file") >= 2.0);
    site.stop();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
