//! Primaries on loopback ports: the ones that Debian ships, each as a process of its own that serves one response policy
//! zone from a file; and a scripted one that answers as it is told.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each suite uses the part it needs")]

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::listening::{Listening, Stream, Tls, send, stream};
use crate::support::read;

pub const ZONE: &str = "rpz.example";
pub const KEY: &str = "xfer.example";
/// `interdict test secret 0123456789` in base64.
pub const SECRET: &str = "aW50ZXJkaWN0IHRlc3Qgc2VjcmV0IDAxMjM0NTY3ODk=";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bind,
    Knot,
    Nsd,
    PowerDns,
}

/// A running server of the zone.
pub struct Primary {
    pub kind: Kind,
    pub port: u16,
    pub folder: tempfile::TempDir,
    child: Child,
}

/// How it serves the zone.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// Whom it tells of changes.
    pub notify: Option<SocketAddr>,
    /// Whether it asks for the key, and signs with it.
    pub signed: bool,
    /// Certificate chain and key, for TLS on the port.
    pub tls: Option<(String, String)>,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Bind, Self::Knot, Self::Nsd, Self::PowerDns];

    fn program(self) -> &'static str {
        match self {
            Self::Bind => "/usr/sbin/named",
            Self::Knot => "/usr/sbin/knotd",
            Self::Nsd => "/usr/sbin/nsd",
            Self::PowerDns => "/usr/sbin/pdns_server",
        }
    }

    /// False, and a word about it, where it is not installed; `tests/run` installs it.
    pub fn is_installed(self) -> bool {
        let mut found = std::path::Path::new(self.program()).exists();
        if self == Self::PowerDns && found {
            // The backend that reads zone files is a package of its own.
            found = std::fs::read_dir("/usr/lib")
                .unwrap()
                .flatten()
                .any(|folder| folder.path().join("pdns/libbindbackend.so").exists());
        }
        if !found {
            eprintln!("left out: {self:?} ({}) is not installed", self.program());
        }
        found
    }
}

/// A zone with that serial that blocks these names.
pub fn zone_file(serial: u32, names: &[&str]) -> String {
    let lines: String = names.iter().map(|name| format!("{name} CNAME .\n")).collect();
    format!(
        "$TTL 60\n$ORIGIN {ZONE}.\n@ SOA ns.{ZONE}. contact.{ZONE}. {serial} 3600 600 86400 60\n@ NS ns.{ZONE}.\n\
         ns A 127.0.0.1\n{lines}"
    )
}

pub use crate::support::free_port;

impl Primary {
    /// Starts a server on that port with that zone.
    pub fn start(kind: Kind, port: u16, serving: &Serving, zone: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().display().to_string();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("rpz.zone", zone);
        let arguments: Vec<String> = match kind {
            Kind::Bind => {
                write("named.conf", &bind(&dir, port, serving));
                if let Some((chain, key)) = &serving.tls {
                    write("chain.pem", chain);
                    write("key.pem", key);
                }
                vec!["-g".into(), "-c".into(), format!("{dir}/named.conf")]
            }
            Kind::Knot => {
                write("knot.conf", &knot(&dir, port, serving));
                vec!["-c".into(), format!("{dir}/knot.conf")]
            }
            Kind::Nsd => {
                write("nsd.conf", &nsd(&dir, port, serving));
                vec!["-d".into(), "-c".into(), format!("{dir}/nsd.conf")]
            }
            Kind::PowerDns => {
                write(
                    "named.conf",
                    &format!(
                        "options {{ directory \"{dir}\"; }};\nzone \"{ZONE}\" {{ type master; file \"rpz.zone\"; }};\n"
                    ),
                );
                write("pdns.conf", &power_dns(&dir, port, serving));
                vec![format!("--config-dir={dir}")]
            }
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(kind.program())
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let primary = Self { kind, port, folder, child };
        for _ in 0..200 {
            // Over TLS it is enough that it listens.
            let is_up = match serving.tls {
                Some(_) => TcpStream::connect(("127.0.0.1", port)).is_ok(),
                None => primary.version().is_some(),
            };
            if is_up {
                return primary;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{kind:?} does not start: {}", primary.log());
    }

    /// Serves another version from now on.
    pub fn change(&self, zone: &str) {
        let aside = self.folder.path().join("rpz.new");
        std::fs::write(&aside, zone).unwrap();
        std::fs::rename(aside, self.folder.path().join("rpz.zone")).unwrap();
        if self.kind != Kind::PowerDns {
            let done = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
            assert!(done.unwrap().success());
            return;
        }
        for command in ["bind-reload-now", "notify"] {
            self.control(&[command, ZONE]);
        }
    }

    /// Says something to PowerDNS as its operator does.
    pub fn control(&self, words: &[&str]) {
        let config = format!("--config-dir={}", self.folder.path().display());
        let said = Command::new("pdns_control").arg(config).args(words).output().unwrap();
        assert!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
    }

    /// What it answers for the zone's SOA record, behind the header, once it serves the zone.
    fn version(&self) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket.connect(("127.0.0.1", self.port)).unwrap();
        socket.send(&crate::support::query(7, 0, ZONE, 6, None)).ok()?;
        let mut reply = [0; 1500];
        let length = socket.recv(&mut reply).ok()?;
        (reply[3] & 15 == 0 && reply[7] > 0).then(|| reply[12..length].to_vec())
    }

    pub fn log(&self) -> String {
        read(&self.folder.path().join("log"))
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        // Some have children of their own, which end with them when told to.
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..100 {
            if told.as_ref().is_ok_and(|told| told.success()) && self.child.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn bind(dir: &str, port: u16, serving: &Serving) -> String {
    let key = if serving.signed { format!(" key {KEY}") } else { String::new() };
    let notify = serving.notify.map_or(String::new(), |to| {
        format!("notify explicit; also-notify {{ {} port {}{key}; }};", to.ip(), to.port())
    });
    let allow = if serving.signed { format!("key {KEY};") } else { "any;".to_owned() };
    let (tls, listen) = match &serving.tls {
        Some(_) => (
            format!("tls local {{ cert-file \"{dir}/chain.pem\"; key-file \"{dir}/key.pem\"; }};"),
            format!("listen-on port {port} tls local {{ 127.0.0.1; }};"),
        ),
        None => (String::new(), format!("listen-on port {port} {{ 127.0.0.1; }};")),
    };
    format!(
        "key {KEY} {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n{tls}\ncontrols {{ }};\n\
         options {{ directory \"{dir}\"; pid-file \"{dir}/pid\"; session-keyfile \"{dir}/session\"; {listen}\n\
         listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; ixfr-from-differences yes; notify-delay 0;\n\
         allow-transfer {{ {allow} }}; {notify} }};\n\
         zone \"{ZONE}\" {{ type primary; file \"rpz.zone\"; check-names ignore; }};\n"
    )
}

fn knot(dir: &str, port: u16, serving: &Serving) -> String {
    let key = if serving.signed { format!("\n    key: {KEY}") } else { String::new() };
    let (remote, notify) = match serving.notify {
        Some(to) => (
            format!("remote:\n  - id: us\n    address: {}@{}{key}\n", to.ip(), to.port()),
            "\n    notify: us",
        ),
        None => (String::new(), ""),
    };
    format!(
        "server:\n    rundir: {dir}\n    listen: 127.0.0.1@{port}\ndatabase:\n    storage: {dir}\n\
         log:\n  - target: stderr\n    any: debug\nkey:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
         {remote}acl:\n  - id: ours\n    address: 127.0.0.1\n    action: transfer{key}\n\
         zone:\n  - domain: {ZONE}\n    storage: {dir}\n    file: rpz.zone\n    zonefile-load: difference\n    \
         zonefile-sync: -1\n    journal-content: changes\n    acl: ours{notify}\n"
    )
}

fn nsd(dir: &str, port: u16, serving: &Serving) -> String {
    let key = if serving.signed { KEY } else { "NOKEY" };
    let notify =
        serving.notify.map_or(String::new(), |to| format!("    notify: {}@{} {key}\n", to.ip(), to.port()));
    format!(
        "server:\n    ip-address: 127.0.0.1@{port}\n    port: {port}\n    username: \"\"\n    chroot: \"\"\n    \
         zonesdir: \"{dir}\"\n    database: \"\"\n    pidfile: \"{dir}/pid\"\n    xfrdfile: \"{dir}/xfrd\"\n    \
         xfrdir: \"{dir}\"\n    zonelistfile: \"{dir}/zones\"\n    server-count: 1\n    do-ip6: no\n    verbosity: 3\n\
         remote-control:\n    control-enable: no\n\
         key:\n    name: {KEY}\n    algorithm: hmac-sha256\n    secret: \"{SECRET}\"\n\
         zone:\n    name: {ZONE}\n    zonefile: rpz.zone\n    provide-xfr: 127.0.0.1 {key}\n    store-ixfr: yes\n    \
         create-ixfr: yes\n{notify}"
    )
}

fn power_dns(dir: &str, port: u16, serving: &Serving) -> String {
    let notify = serving.notify.map_or(String::new(), |to| format!("also-notify={to}\n"));
    format!(
        "launch=bind\nbind-config={dir}/named.conf\nlocal-address=127.0.0.1\nlocal-port={port}\n\
         socket-dir={dir}\ndaemon=no\nguardian=no\nmaster=yes\nonly-notify=\n\
         allow-axfr-ips=127.0.0.0/8\nloglevel=6\nversion-string=anonymous\n{notify}"
    )
}

/// What a scripted primary sends for a request: pieces, with a pause before each, then the end of the connection.
pub type Script = Arc<dyn Fn(&[u8]) -> Vec<(Duration, Vec<u8>)> + Send + Sync>;

/// A primary that sends what a script says, and keeps what it was asked.
pub struct Scripted {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
    listening: Listening,
}

impl Scripted {
    pub fn start(tls: Tls) -> Self {
        let script: Script = Arc::new(|_| Vec::new());
        let (script, asked) = (Arc::new(Mutex::new(script)), Arc::default());
        let shared = (Arc::clone(&script), Arc::clone(&asked));
        let listening =
            Listening::start(move |tcp| connection(&mut *stream(tcp, &tls), &shared.0, &shared.1));
        Self { address: listening.address, script, asked, listening }
    }

    pub fn answer(&self, script: impl Fn(&[u8]) -> Vec<(Duration, Vec<u8>)> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// Requests so far, each a message.
    pub fn asked(&self) -> Vec<Vec<u8>> {
        self.asked.lock().unwrap().clone()
    }

    pub fn down(&mut self) {
        self.listening.down();
    }

    pub fn up(&mut self) {
        self.listening.up();
    }
}

fn connection(stream: &mut dyn Stream, script: &Mutex<Script>, asked: &Mutex<Vec<Vec<u8>>>) {
    let mut length = [0; 2];
    if stream.read_exact(&mut length).is_err() {
        return;
    }
    let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
    if stream.read_exact(&mut request).is_err() {
        return;
    }
    asked.lock().unwrap().push(request.clone());
    let script = Arc::clone(&script.lock().unwrap());
    send(stream, script(&request));
}

/// A record: owner relative to the zone, type, value.
pub type Rr<'a> = (&'a str, u16, Vec<u8>);

pub fn soa(serial: u32, times: [u32; 3]) -> Rr<'static> {
    let mut rdata = b"\0\0".to_vec();
    let [refresh, retry, expire] = times;
    for field in [serial, refresh, retry, expire, 60] {
        rdata.extend(field.to_be_bytes());
    }
    ("", 6, rdata)
}

pub fn block(owner: &str) -> Rr<'_> {
    (owner, 5, vec![0])
}

/// A response to `request` with these records, framed.
pub fn response(request: &[u8], rcode: u8, records: &[Rr<'_>]) -> Vec<u8> {
    let mut end = 12;
    while request[end] != 0 {
        end += 1 + usize::from(request[end]);
    }
    let mut out = request[..2].to_vec();
    out.extend([0x84, rcode, 0, 1]);
    out.extend((records.len() as u16).to_be_bytes());
    out.extend([0; 4]);
    out.extend(&request[12..end + 5]);
    for (owner, record_type, rdata) in records {
        for label in owner.split('.').filter(|label| !label.is_empty()) {
            out.push(label.len() as u8);
            out.extend(label.as_bytes());
        }
        out.extend([0xC0, 12]);
        out.extend(record_type.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend((rdata.len() as u16).to_be_bytes());
        out.extend(rdata);
    }
    [&(out.len() as u16).to_be_bytes()[..], &out].concat()
}

/// Whether a request is for differences.
pub fn is_ixfr(request: &[u8]) -> bool {
    let mut end = 12;
    while request[end] != 0 {
        end += 1 + usize::from(request[end]);
    }
    request[end + 2] == 251
}
