//! Who asks, beside an address: clients' certificates, server names and paths choose the group, are told in the log, and can be required.
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

use std::sync::Arc;
use std::time::Duration;

use encrypted::{Encrypted, Tls, ask, receive};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use support::{code, query};

/// An authority for clients' certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A client that shows a certificate for `name`, and trusts what `server` shows.
    fn client(&self, server: &Encrypted, name: &str, serial: u64) -> Arc<ClientConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        // Trusts the same as the client without a certificate.
        let mut roots = rustls::RootCertStore::empty();
        let mut pem = std::io::BufReader::new(std::fs::File::open(server.site.path("cert.pem")).unwrap());
        let mut text = String::new();
        std::io::Read::read_to_string(&mut pem, &mut text).unwrap();
        use rustls::pki_types::pem::PemObject;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(text.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }

    /// Its list of revoked certificates, in PEM.
    fn revoked(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// Each group bans another app, so that who is in which shows.
const GROUPS: &str = "[[policy.group]]\nname = \"default\"\nenforce = [\"tiktok\"]\n\
    [[policy.group]]\nname = \"lab\"\nenforce = [\"telegram\"]\ncertificates = [\"laptop-7.example\", \"*.lab.example\"]\n\
    [[policy.group]]\nname = \"mobile\"\nenforce = [\"wechat\"]\nserver_names = [\"Mobile.DNS.example\", \"*.mobile.dns.example\"]\n\
    [[policy.group]]\nname = \"kiosk\"\nenforce = [\"temu\"]\npaths = [\"/dns-query/kiosk\"]\n";
const APPS: [(&str, &str); 4] =
    [("default", "tiktok.com"), ("lab", "telegram.org"), ("mobile", "wechat.com"), ("kiosk", "temu.com")];

/// The groups that this client is treated as.
fn groups(stream: &mut Tls) -> Vec<&'static str> {
    let blocked = APPS.iter().filter(|(_, name)| code(&ask(stream, name)) == "NXDOMAIN");
    blocked.map(|(group, _)| *group).collect()
}

/// Connects as `client` to the DoT listener under `name`; nothing is checked of the server, whose certificate is for another.
fn connect(server: &Encrypted, client: &Arc<ClientConfig>, name: &str) -> Tls {
    let mut client = (**client).clone();
    if name != "dns.example" {
        client.dangerous().set_certificate_verifier(Arc::new(Anyone));
    }
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(client), name).unwrap(), server.tcp())
}

/// Takes every certificate.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn a_certificate_goes_before_a_server_name_and_both_before_the_address() {
    let authority = Authority::new("devices");
    let server = Encrypted::prepare("client_ca = \"$DIR/ca.pem\"\n", GROUPS);
    std::fs::write(server.site.path("ca.pem"), &authority.pem).unwrap();
    let server = Encrypted { site: server.site.started(), client: server.client };
    let of = |client: &Arc<ClientConfig>, name: &str| groups(&mut connect(&server, client, name));
    assert_eq!(of(&server.client, "dns.example"), ["default"]);
    assert_eq!(of(&server.client, "mobile.dns.example"), ["mobile"]);
    assert_eq!(of(&server.client, "phone-3.mobile.dns.example"), ["mobile"]);
    let laptop = authority.client(&server, "laptop-7.example", 7);
    assert_eq!(of(&laptop, "dns.example"), ["lab"]);
    assert_eq!(of(&laptop, "mobile.dns.example"), ["lab"]);
    assert_eq!(of(&authority.client(&server, "bench.lab.example", 8), "dns.example"), ["lab"]);
    let other = authority.client(&server, "printer.example", 9);
    assert_eq!(of(&other, "mobile.dns.example"), ["mobile"], "a certificate that no group names");
    let foreign = Authority::new("somebody else").client(&server, "laptop-7.example", 7);
    let mut stream = connect(&server, &foreign, "dns.example");
    let refused = std::io::Write::write_all(&mut stream, b"x").is_err() || receive(&mut stream).is_err();
    assert!(refused, "by an authority of somebody else's");
    // What waits for an upstream, and what its answer leads to, is judged by the same group.
    let mut mobile = connect(&server, &server.client, "mobile.dns.example");
    assert_eq!(ask(&mut mobile, "cloaked.example").answers.len(), 2, "an alias of what others may not have");
    assert!(ask(&mut server.connect(), "cloaked.example").answers.is_empty());
    let log = support::read(&server.site.path("queries.jsonl"));
    for identity in
        ["certificate:laptop-7.example", "certificate:bench.lab.example", "server-name:*.mobile.dns.example"]
    {
        assert!(log.contains(identity), "{identity}: {log}");
    }
    assert!(!log.contains("phone-3"), "whoever connects chooses that name");
}

#[test]
fn a_path_of_a_group_takes_queries_and_any_other_does_not() {
    let server = Encrypted::start_with("", GROUPS);
    let status = |path: &str, question: &str| {
        let uri = server.uri().replace("/dns-query", path);
        let (body, head) = (server.site.path("body"), "%{http_code}");
        let said = server.curl(&[
            "--output",
            body.to_str().unwrap(),
            "--write-out",
            head,
            &format!("{uri}?dns={question}"),
        ]);
        if said != "200" {
            return said;
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::open(body).unwrap(), &mut bytes).unwrap();
        code(&hickory_proto::op::Message::from_vec(&bytes).unwrap()).to_owned()
    };
    const TEMU: &str = "AAABAAABAAAAAAAABHRlbXUDY29tAAABAAE";
    const TIKTOK: &str = "AAABAAABAAAAAAAABnRpa3RvawNjb20AAAEAAQ";
    assert_eq!(status("/dns-query", TEMU), "NOERROR");
    assert_eq!(status("/dns-query", TIKTOK), "NXDOMAIN");
    assert_eq!(status("/dns-query/kiosk", TEMU), "NXDOMAIN");
    assert_eq!(status("/dns-query/kiosk", TIKTOK), "NOERROR");
    assert_eq!(status("/dns-query/other", TEMU), "404");
}

#[test]
fn an_open_connection_follows_a_reload_that_moves_it_to_another_group() {
    let server = Encrypted::start_with("", GROUPS);
    let mut stream = connect(&server, &server.client, "mobile.dns.example");
    assert_eq!(groups(&mut stream), ["mobile"]);
    server.configure(
        "",
        &GROUPS
            .replace("Mobile.DNS.example", "other.dns.example")
            .replace("\"*.mobile.dns.example\"", "\"*.phones.example\""),
    );
    let (status, said) = server.site.http("POST", "/api/v1/reload", Some(&server.site.token()));
    assert_eq!(status, 200, "{said}");
    assert_eq!(groups(&mut stream), ["default"]);
}

#[test]
fn where_a_certificate_is_required_nobody_else_gets_in_and_a_revoked_one_no_longer() {
    let authority = Authority::new("devices");
    let server = Encrypted::prepare(
        "client_ca = \"$DIR/ca.pem\"\nclient_crl = \"$DIR/crl.pem\"\nrequire = \"client-certificate\"\n",
        &format!("[access]\nallow = [\"192.0.2.0/24\"]\n{GROUPS}"),
    );
    std::fs::write(server.site.path("ca.pem"), &authority.pem).unwrap();
    std::fs::write(server.site.path("crl.pem"), authority.revoked(&[99])).unwrap();
    let server = Encrypted { site: server.site.started(), client: server.client };
    let laptop = authority.client(&server, "laptop-7.example", 7);
    let stolen = authority.client(&server, "laptop-9.example", 99);
    let answer = |client: &Arc<ClientConfig>| -> Option<String> {
        let mut stream = connect(&server, client, "dns.example");
        let bytes = query(1, 0x0100, "telegram.org", 1, None);
        let framed = [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
        std::io::Write::write_all(&mut stream, &framed).ok()?;
        let reply = receive(&mut stream).ok()?;
        Some(code(&hickory_proto::op::Message::from_vec(&reply).unwrap()).to_owned())
    };
    assert_eq!(answer(&laptop).as_deref(), Some("NXDOMAIN"), "from an address that may not ask");
    assert_eq!(answer(&server.client), None, "without a certificate");
    assert_eq!(answer(&stolen), None, "revoked");
    assert_eq!(code(&server.site.ask("telegram.org", 1)), "REFUSED", "over UDP the address counts");
    let mut open = connect(&server, &laptop, "dns.example");
    assert_eq!(code(&ask(&mut open, "telegram.org")), "NXDOMAIN");
    std::fs::write(server.site.path("crl.pem"), authority.revoked(&[7, 99])).unwrap();
    for _ in 0..100 {
        if answer(&laptop).is_none() {
            assert_eq!(code(&ask(&mut open, "telegram.org")), "NXDOMAIN", "an open connection lives on");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("still served");
}

#[test]
fn a_log_that_tells_no_addresses_tells_no_identities() {
    let server = Encrypted::prepare("", GROUPS);
    let text =
        support::read(&server.site.config).replace("[querylog]\n", "[querylog]\nclients = \"prefix\"\n");
    std::fs::write(&server.site.config, text).unwrap();
    let server = Encrypted { site: server.site.started(), client: server.client };
    assert_eq!(groups(&mut connect(&server, &server.client, "mobile.dns.example")), ["mobile"]);
    for _ in 0..100 {
        let log = support::read(&server.site.path("queries.jsonl"));
        if log.contains("wechat.com") {
            assert!(log.contains("\"mobile\"") && !log.contains("identity"), "{log}");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("nothing was logged");
}

#[test]
fn what_a_client_known_so_gets_is_explained() {
    let server = Encrypted::start_with("", GROUPS);
    let explain = |identity: &str| {
        let path = format!("/api/v1/explain?name=wechat.com&identity={identity}");
        server.site.http("GET", &path, None)
    };
    let (status, said) = explain("server-name:phone-3.mobile.dns.example");
    assert!(status == 200 && said.contains("\"group\":\"mobile\"") && said.contains("\"block\""), "{said}");
    let (status, said) = explain("certificate:laptop-7.example");
    assert!(status == 200 && said.contains("\"group\":\"lab\"") && said.contains("\"allow\""), "{said}");
    let (status, said) = explain("badge:7");
    assert!(status == 400 && said.contains("use one of certificate"), "{said}");
}
