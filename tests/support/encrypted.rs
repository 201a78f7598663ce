//! A site with encrypted listeners, and a TLS client to ask it with.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each suite uses the part it needs")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Site, query};

/// A site whose second listener speaks DoT, with a certificate for `dns.example`.
pub struct Encrypted {
    pub site: Site,
    pub client: Arc<ClientConfig>,
}

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Writes a certificate for `name` with its key where the site reads them, and returns it.
pub fn certify(site: &Site, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(site.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(site.path("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

pub fn client(trusted: &[CertificateDer<'static>], alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

impl Encrypted {
    pub fn start(listener: &str) -> Self {
        Self::start_with(listener, "")
    }

    /// With more in front of the listeners' own keys, and a policy.
    pub fn start_with(listener: &str, policy: &str) -> Self {
        let server = Self::prepare(listener, policy);
        Self { site: server.site.started(), client: server.client }
    }

    /// Not started yet.
    pub fn prepare(listener: &str, policy: &str) -> Self {
        let site = Site::prepare("", Clock::system());
        let certificate = certify(&site, "dns.example");
        let server = Self { site, client: Arc::new(client(&[certificate], &[b"dot"])) };
        server.configure(listener, policy);
        server
    }

    /// Writes the configuration.
    pub fn configure(&self, listener: &str, policy: &str) {
        self.site.write_config(&format!(
            "[tls]\ncertificate = \"$DIR/cert.pem\"\nkey = \"$DIR/key.pem\"\n\
             [[listener]]\nprotocol = \"dot\"\naddress = \"127.0.0.1:0\"\n{listener}\
             [[listener]]\nprotocol = \"doh\"\naddress = \"127.0.0.1:0\"\n{listener}\n{policy}"
        ));
    }

    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.site.running.as_ref().unwrap().addresses[1]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// The URI of DNS over HTTPS.
    pub fn uri(&self) -> String {
        format!("https://dns.example:{}/dns-query", self.site.running.as_ref().unwrap().addresses[2].port())
    }

    /// Runs curl with this server's certificate; returns what it printed.
    pub fn curl(&self, arguments: &[&str]) -> String {
        let port = self.site.running.as_ref().unwrap().addresses[2].port();
        let ca = self.site.path("cert.pem");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "10", "--cacert", ca.to_str().unwrap()])
            .args(["--resolve", &format!("dns.example:{port}:127.0.0.1")])
            .args(arguments)
            .output()
            .expect("curl is installed");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    pub fn connect(&self) -> Tls {
        self.connect_as(&self.client)
    }

    pub fn connect_as(&self, client: &Arc<ClientConfig>) -> Tls {
        let name = ServerName::try_from("dns.example").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), self.tcp())
    }

    /// Waits until a metric has a value.
    pub fn counted(&self, line: &str) {
        for _ in 0..200 {
            let page = self.site.http("GET", "/metrics", None).1;
            if page.lines().any(|found| found == line) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{line} is not in\n{}", self.site.http("GET", "/metrics", None).1);
    }
}

pub fn send(stream: &mut Tls, query: &[u8]) {
    let framed = [&(query.len() as u16).to_be_bytes()[..], query].concat();
    stream.write_all(&framed).unwrap();
}

pub fn receive(stream: &mut Tls) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

pub fn ask(stream: &mut Tls, name: &str) -> Message {
    send(stream, &query(7, 0x0100, name, 1, Some(1232)));
    Message::from_vec(&receive(stream).unwrap()).unwrap()
}
