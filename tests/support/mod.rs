//! A running interdict with a scripted upstream, on ports of its own. Shared by the suites.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each suite uses the part it needs")]

pub mod dashboard;
pub mod listening;
pub mod operator;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hickory_proto::op::Message;
use interdict::app::{self, Running};
use interdict::clock::Clock;
use interdict::policy::{Identities, Labels};
use interdict::query::{Engine, Parts};
use interdict::resolve::{self, Resolver};
use interdict::telemetry::{Counters, Inboxes, LastDay, LastDayConfig};
use interdict::{cache, query as data_plane};

/// A TCP and UDP port for a program that is told which to take. Not one of those that the system gives to whoever asks for any:
/// a test beside this one might get it in between.
pub fn free_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let begin = u64::from(std::process::id()) * 131;
    let free = |port: &u16| {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, *port));
        udp.is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let mut ports =
        (0..2000).map(|_| 10_000 + ((begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000) as u16);
    ports.find(free).expect("a free port")
}

/// Sockets at one loopback port that the system chose.
pub fn sockets() -> (UdpSocket, TcpListener) {
    let both = (0..20).find_map(|_| {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Some((TcpListener::bind(udp.local_addr().unwrap()).ok()?, udp))
    });
    both.map(|(tcp, udp)| (udp, tcp)).expect("a port that is free for both")
}

/// An upstream on a loopback port. Names that hold `cloaked` are aliases of `www.tiktok.com`, `nxdomain` do not exist,
/// `silent` get no answer, `large` need TCP; everything else is 192.0.2.7.
pub struct Upstream {
    pub address: SocketAddr,
    pub asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

/// What an upstream says to a query over UDP, or over TCP; `None` for nothing.
pub type Script = fn(&[u8], bool) -> Option<Vec<u8>>;

impl Upstream {
    pub fn start() -> Self {
        Self::scripted(answer)
    }

    pub fn scripted(answer: impl Fn(&[u8], bool) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let (socket, tcp) = sockets();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        tcp.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((mut stream, _)) = tcp.accept() {
                    stream.set_nonblocking(false).unwrap();
                    let mut length = [0; 2];
                    if stream.read_exact(&mut length).is_ok() {
                        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                        stream.read_exact(&mut query).unwrap();
                        let reply = answer(&query, true).unwrap();
                        stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
                        stream.write_all(&reply).unwrap();
                    }
                }
                let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(reply) = answer(&buffer[..length], false) {
                    socket.send_to(&reply, peer).unwrap();
                }
            }
        });
        Self { address, asked, stop }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(250));
    }
}

pub fn answer(query: &[u8], tcp: bool) -> Option<Vec<u8>> {
    let mut end = 12;
    while query[end] != 0 {
        end += 1 + usize::from(query[end]);
    }
    let name = String::from_utf8_lossy(&query[12..end]).to_lowercase();
    let question = &query[12..end + 5];
    let record_type = u16::from_be_bytes([query[end + 1], query[end + 2]]);
    let has = |word: &str| name.contains(word);
    if has("silent") {
        return None;
    }
    let mut flags = 0x8180u16;
    let mut records: Vec<u8> = Vec::new();
    let mut count = 0u16;
    if has("large") && !tcp {
        flags |= 0x0200;
    } else if has("nxdomain") {
        flags |= 3;
    } else if has("broken4") && record_type == 1 || has("broken6") && record_type == 28 {
        flags |= 2;
    } else if has("cloaked") {
        count = 2;
        records.extend(b"\xC0\x0C\0\x05\0\x01\0\0\x01\x2C\0\x10\x03www\x06tiktok\x03com\0");
        records.extend(b"\x03www\x06tiktok\x03com\0\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x08");
    } else if record_type == 1 {
        count = if has("large") { 100 } else { 1 };
        for _ in 0..count {
            records.extend(b"\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x07");
        }
    }
    let mut out = query[..2].to_vec();
    out.extend(flags.to_be_bytes());
    out.extend([0, 1]);
    out.extend(count.to_be_bytes());
    out.extend([0; 4]);
    out.extend(question);
    out.extend(records);
    Some(out)
}

/// The data plane alone, with the built-in policy: for tests that drive it without sockets or with limits of their own.
pub fn engine(
    upstream: &Upstream,
    inboxes: Option<Arc<Inboxes>>,
    runtime: &tokio::runtime::Handle,
) -> Arc<Engine> {
    engine_of(None, upstream, inboxes, runtime)
}

/// The same with the policy of a configuration file.
pub fn engine_of(
    config: Option<PathBuf>,
    upstream: &Upstream,
    inboxes: Option<Arc<Inboxes>>,
    runtime: &tokio::runtime::Handle,
) -> Arc<Engine> {
    let clock = Clock::system();
    let started = app::pipeline(config, None, None, clock.clone(), Labels::default()).start().unwrap();
    let servers = vec![format!("udp://{}", upstream.address).parse().unwrap()];
    let config = resolve::Config { servers, ..resolve::Config::default() };
    let resolver = Resolver::start(config, clock.clone(), runtime.clone()).unwrap();
    Engine::new(Parts {
        live: started.live,
        clock,
        store: Arc::new(cache::Store::new(cache::Config::default())),
        resolver: Arc::new(resolver),
        counters: Arc::new(Counters::new(Labels::CAPACITY)),
        inboxes,
        identities: Identities::default(),
        designated: Vec::new(),
        notices: None,
        last_day: Some(LastDay::new(LastDayConfig::default(), Clock::system()).feed()),
        permits: None,
        config: data_plane::Config::default(),
    })
}

/// A program that runs as long as the test.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A running interdict in a folder of its own.
pub struct Site {
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    pub upstream: Upstream,
    pub clock: Clock,
    pub running: Option<Running>,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    /// Starts with `policy` appended to a configuration of free ports. `$DIR` in it stands for the site's folder.
    pub fn start(policy: &str, clock: Clock) -> Self {
        Self::prepare(policy, clock).started()
    }

    pub fn prepare(policy: &str, clock: Clock) -> Self {
        Self::prepare_with(Upstream::start(), policy, clock)
    }

    pub fn prepare_with(upstream: Upstream, policy: &str, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("interdict.toml");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let site = Self { folder, config, upstream, clock, running: None, runtime };
        site.write_config(policy);
        site
    }

    pub fn write_config(&self, policy: &str) {
        let dir = self.folder.path().display().to_string();
        let text = format!(
            "[server]\nworkers = 2\n[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [querylog]\nto = [\"file:$DIR/queries.jsonl\"]\n[upstream]\nservers = [\"udp://{}\"]\ntimeout = \"500ms\"\n\
             [policy]\nstate = \"$DIR/state\"\n{policy}",
            self.upstream.address
        );
        std::fs::write(&self.config, text.replace("$DIR", &dir)).unwrap();
    }

    pub fn started(mut self) -> Self {
        self.running = Some(self.try_start().unwrap_or_else(|problems| panic!("{problems:#?}")));
        self
    }

    /// Started, and past the first look at its files, which may otherwise take what a test changes next.
    pub fn settled(self) -> Self {
        let site = self.started();
        for _ in 0..200 {
            let page = site.http("GET", "/metrics", None).1;
            if page.lines().any(|l| l.starts_with("interdict_reloads_total{") && !l.ends_with(" 0")) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        site
    }

    pub fn try_start(&self) -> Result<Running, Vec<interdict::problem::Problem>> {
        let _inside = self.runtime.enter();
        app::start(Some(self.config.clone()), self.clock.clone())
    }

    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().addresses[0]
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks the admin interface; returns status and body.
    pub fn http(&self, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
        let (head, body) = self.http_whole(method, path, token);
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// Asks the admin interface; returns head and body.
    pub fn http_whole(&self, method: &str, path: &str, token: Option<&str>) -> (String, String) {
        let mut stream = TcpStream::connect(self.running.as_ref().unwrap().admin).unwrap();
        let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{token}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    pub fn token(&self) -> String {
        read(&self.path("state/token"))
    }

    pub fn udp(&self, query: &[u8]) -> Option<Vec<u8>> {
        self.udp_from(Ipv4Addr::LOCALHOST, query)
    }

    /// Asks from an address of the loopback network.
    pub fn udp_from(&self, client: Ipv4Addr, query: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind((client, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.send_to(query, self.address()).unwrap();
        let mut buffer = vec![0; 65_535];
        let length = socket.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    pub fn tcp(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        stream.write_all(&(query.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(query).unwrap();
        read_framed(&mut stream)
    }

    /// Asks over UDP and reads the reply with another library.
    pub fn ask(&self, name: &str, record_type: u16) -> Message {
        let query = query(7, 0x0100, name, record_type, Some(1232));
        Message::from_vec(&self.udp(&query).expect("a reply")).unwrap()
    }

    pub fn rcode(&self, name: &str) -> String {
        self.ask(name, 1).metadata.response_code.to_string()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
        self.upstream.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs an ignored test of the calling binary by name in namespaces of its own, after `setup` in a shell. Says so and does
/// nothing where the machine gives none.
pub fn in_namespaces(kinds: &[&str], setup: &str, test: &str) {
    let this = std::env::current_exe().unwrap();
    let unshare = |arguments: &[&str]| {
        std::process::Command::new("unshare").args(kinds).arg("--map-root-user").args(arguments).output()
    };
    if !unshare(&["true"]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine gives no namespaces of {kinds:?}");
        return;
    }
    let inside = format!("{setup} && exec \"$0\" \"$@\"");
    let arguments =
        ["sh", "-c", &inside, this.to_str().unwrap(), "--exact", test, "--ignored", "--nocapture"];
    let output = unshare(&arguments).unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

pub fn read_framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).ok()?;
    Some(reply)
}

pub fn read(path: &Path) -> String {
    let mut text = String::new();
    std::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// A query with one question; `edns` is the payload of its OPT record.
/// A response code as scenarios name it.
pub fn code(reply: &Message) -> &'static str {
    match u16::from(reply.metadata.response_code) {
        0 => "NOERROR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        5 => "REFUSED",
        _ => "another",
    }
}

/// The reply to one question for a name's address, within three seconds, over UDP.
pub fn reply_of(server: SocketAddr, name: &str) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.connect(server).unwrap();
    socket.send(&query(7, 0x0100, name, 1, None)).ok()?;
    let mut reply = vec![0; 1500];
    let length = socket.recv(&mut reply).ok()?;
    reply.truncate(length);
    Some(reply)
}

pub fn query(id: u16, flags: u16, name: &str, record_type: u16, edns: Option<u16>) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend(flags.to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out.extend(record_type.to_be_bytes());
    out.extend([0, 1]);
    if let Some(payload) = edns {
        out.extend([0, 0, 41]);
        out.extend(payload.to_be_bytes());
        out.extend([0; 6]);
    }
    out
}
