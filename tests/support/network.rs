//! A client, a gateway that runs interdict, and a server, each in a network namespace of its own with real cables in between and a real packet
//! filter. Needs root.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::support::{Program, operator::until, read};

/// Addresses of the client: of everybody, of a group that may all, of one that rehearses, of one with an exception.
pub const EVERYBODY: &str = "10.77.1.2";
pub const LAB: &str = "10.77.9.2";
pub const TRIAL: &str = "10.77.8.2";
pub const FORENSICS: &str = "10.77.7.2";
pub const EVERYBODY_V6: &str = "fd77:1::2";

pub struct Network {
    pub folder: tempfile::TempDir,
    prefix: String,
    server: Option<Program>,
    upstream: Option<Program>,
    pub gateway: Option<Program>,
}

/// What the server answers at: of networks of Kaspersky, of Google's resolver, of nobody in the catalog.
const SERVED: [&str; 12] = [
    "77.74.177.5/32",
    "8.8.8.8/32",
    "198.51.100.7/32",
    "198.51.100.8/32",
    "198.51.100.9/32",
    "198.51.100.10/32",
    "203.0.113.5/32",
    "203.0.113.6/32",
    "2a03:2480:68::5/128",
    "2001:4860:4860::8888/128",
    "2001:db8:f::7/128",
    "2001:db8:f::8/128",
];

impl Network {
    /// `None`, with a word why, where the machine gives no namespaces or no packet filter.
    pub fn start() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let prefix = format!("interdict-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut network = Self {
            folder: tempfile::tempdir().unwrap(),
            prefix,
            server: None,
            upstream: None,
            gateway: None,
        };
        let names = ["client", "gateway", "server"].map(|end| network.namespace(end));
        for name in &names {
            let made = Command::new("ip").args(["netns", "add", name]).output();
            let made = made.expect("iproute2 is installed");
            if !made.status.success() {
                eprintln!("skipped: no namespaces here: {}", String::from_utf8_lossy(&made.stderr));
                return None;
            }
        }
        let [client, gateway, server] = names;
        let served: String =
            SERVED.map(|address| format!("ip -n {server} address add {address} dev lo nodad 2>/dev/null || ip -n {server} address add {address} dev lo\n")).concat();
        let script = format!(
            "set -e
            for one in {client} {gateway} {server}; do
                ip -n $one link set lo up
                ip netns exec $one sh -c 'echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'
            done
            ip link add c0 netns {client} type veth peer name g0 netns {gateway}
            ip link add s0 netns {server} type veth peer name g1 netns {gateway}
            for group in 1 7 8 9; do
                ip -n {client} address add 10.77.$group.2/24 dev c0
                ip -n {client} address add fd77:$group::2/64 dev c0 nodad
                ip -n {gateway} address add 10.77.$group.1/24 dev g0
                ip -n {gateway} address add fd77:$group::1/64 dev g0 nodad
            done
            ip -n {gateway} address add 192.0.2.1/24 dev g1
            ip -n {gateway} address add 2001:db8:1::1/64 dev g1 nodad
            ip -n {server} address add 192.0.2.2/24 dev s0
            ip -n {server} address add 2001:db8:1::2/64 dev s0 nodad
            ip -n {client} link set c0 up; ip -n {server} link set s0 up
            ip -n {gateway} link set g0 up; ip -n {gateway} link set g1 up
            ip -n {client} route add default via 10.77.1.1
            ip -n {client} -6 route add default via fd77:1::1
            ip -n {server} route add default via 192.0.2.1
            ip -n {server} -6 route add default via 2001:db8:1::1
            ip -n {server} route add local 198.18.0.0/15 dev lo
            ip -n {server} -6 route add local 2001:db8:aaaa::/48 dev lo
            ip -n {server} -6 route add local 64:ff9b::/96 dev lo
            ip netns exec {server} sh -c 'echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind'
            ip -n {gateway} route add default via 192.0.2.2
            ip -n {gateway} -6 route add default via 2001:db8:1::2
            ip netns exec {gateway} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
            {served}"
        );
        let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        if !network.nft("list tables").0 {
            eprintln!("skipped: this kernel has no packet filter for nft");
            return None;
        }
        network.names("");
        network.server = Some(network.background("server", &["serve"]));
        let answers = network.path("names").display().to_string();
        network.upstream = Some(network.background("gateway", &["upstream", &answers]));
        // The first packet of IPv6 may find no neighbour yet, and is sent again a second later: no test is about that.
        until(10, "cables carry IPv6", || network.reach(EVERYBODY_V6, "tcp", "2001:db8:f::7") == "answered");
        Some(network)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the upstream knows: lines of a name and an address.
    pub fn names(&self, lines: &str) {
        std::fs::write(self.path("names.new"), lines).unwrap();
        std::fs::rename(self.path("names.new"), self.path("names")).unwrap();
    }

    /// Starts interdict on the gateway with `more` appended to its configuration, and waits until it answers.
    pub fn serve(&mut self, more: &str) {
        self.configure(more);
        self.serve_by(&[]);
    }

    pub fn configure(&self, more: &str) {
        let folder = self.folder.path().display().to_string();
        let text = format!(
            "[[listener]]\naddress = \"10.77.1.1:53\"\n[admin]\nlisten = \"127.0.0.1:9153\"\n\
             [querylog]\nto = [\"file:$DIR/queries.jsonl\"]\n[upstream]\nservers = [\"udp://127.0.0.1:5300\"]\ntimeout = \"500ms\"\n\
             [access]\nallow = [\"10.77.0.0/16\"]\n[policy]\nstate = \"$DIR/state\"\n\
             [[policy.group]]\nname = \"lab\"\nclients = [\"10.77.9.0/24\", \"fd77:9::/64\"]\nenforce = []\n\
             [[policy.group]]\nname = \"trial\"\nclients = [\"10.77.8.0/24\", \"fd77:8::/64\"]\nenforce = [\"kaspersky\", \"tiktok\"]\nmode = \"shadow\"\n\
             [[policy.group]]\nname = \"forensics\"\nclients = [\"10.77.7.0/24\", \"fd77:7::/64\"]\nenforce = [\"kaspersky\", \"tiktok\"]\n\
             [[policy.exception]]\nid = \"analysis\"\ngroup = \"forensics\"\napps = [\"kaspersky\"]\nuntil = \"2099-01-01\"\napproved_by = \"CIO\"\nreason = \"tests\"\n\
             [[policy.group]]\nname = \"default\"\nenforce = [\"kaspersky\", \"tiktok\"{MORE}]\n{more}",
            MORE = if more.contains("blocklists") { ", \"test-act\"" } else { "" },
        );
        std::fs::write(self.path("interdict.toml"), text.replace("$DIR", &folder)).unwrap();
    }

    /// Starts it with words in front of its own command, such as `setpriv`.
    pub fn serve_by(&mut self, before: &[&str]) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespace("gateway")])
            .args(before)
            .arg(env!("CARGO_BIN_EXE_interdict"))
            .args(["-c", self.path("interdict.toml").to_str().unwrap(), "serve"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.gateway = Some(Program(child));
        until(20, "it answers", || {
            let ended = self.child().try_wait().unwrap();
            assert!(ended.is_none(), "it does not start: {}", self.log());
            self.ask("kaspersky.com") == "NXDOMAIN"
        });
    }

    /// The whole log.
    pub fn log(&self) -> String {
        read(&self.path("log"))
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.gateway.as_mut().unwrap().0
    }

    /// Ends the program with a signal, and waits for its end.
    pub fn end(&mut self, signal: &str) {
        let number = self.child().id().to_string();
        assert!(Command::new("kill").args([signal, &number]).status().unwrap().success());
        let mut program = self.gateway.take().unwrap();
        until(10, "it ends", || program.0.try_wait().unwrap().is_some());
    }

    /// Waits until the kernel holds what it should.
    pub fn holding(&self) {
        until(20, "the kernel holds the policy", || {
            self.metric("interdict_egress_applied_timestamp_seconds") > 0.0
        });
    }

    /// The response code for a name's address, as the client sees it.
    pub fn ask(&self, name: &str) -> String {
        self.peer("client", &["ask", "10.77.1.1", name, "A"])
    }

    /// The response code for a question from one of the client's addresses, and the addresses in the reply.
    pub fn ask_from(&self, from: &str, name: &str, kind: &str) -> String {
        let there = if from.contains(':') { "fd77:1::1" } else { "10.77.1.1" };
        self.peer("client", &["ask", there, name, kind, from])
    }

    /// Asks for fresh names and connects to each address at once: how many, how many of these failed, and the first failure.
    pub fn race(&self, from: &str, protocol: &str, names: std::ops::Range<u32>) -> (u32, u32, String) {
        let there = if from.contains(':') { "fd77:1::1" } else { "10.77.1.1" };
        let words = [names.start, names.end].map(|number| number.to_string());
        let said = self.peer("client", &["race", there, protocol, &words[0], &words[1], from]);
        let mut words = said.splitn(3, ' ');
        let mut number = || words.next().unwrap().parse().unwrap();
        (number(), number(), words.next().unwrap_or_default().to_owned())
    }

    /// Tries to reach an address from one of the client's: `answered`, `reset`, `prohibited` or `silent`.
    pub fn reach(&self, from: &str, protocol: &str, address: &str) -> String {
        self.reach_port(from, protocol, address, "443")
    }

    pub fn reach_port(&self, from: &str, protocol: &str, address: &str, port: &str) -> String {
        let said = self.peer("client", &["try", protocol, address, port, from]);
        let (found, after) = said.split_once(' ').unwrap();
        if matches!(found, "reset" | "prohibited") {
            assert!(after.parse::<u64>().unwrap() < 1000, "not at once: {said}");
        }
        found.to_owned()
    }

    /// What `nft` says on the gateway.
    pub fn nft(&self, command: &str) -> (bool, String) {
        let ran = self.inside("gateway", "nft").args(command.split(' ')).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// The body that the operators' interface gives.
    pub fn get(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:9153{path}");
        let token = std::fs::read_to_string(self.path("state/token")).unwrap_or_default();
        let header = format!("Authorization: Bearer {}", token.trim());
        let ran = self.inside("gateway", "curl").args(["-s", "-H", &header, &url]).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// What the command line says.
    pub fn say(&self, words: &[&str]) -> String {
        let config = self.path("interdict.toml");
        let mut command = self.inside("gateway", env!("CARGO_BIN_EXE_interdict"));
        let ran = command.args(["-c", config.to_str().unwrap()]).args(words).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
    }

    /// A sample of the scrape page; -1 when it is not there.
    pub fn metric(&self, sample: &str) -> f64 {
        let page = self.get("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(-1.0, |line| line.parse().unwrap())
    }

    /// Packets held.
    pub fn held(&self, app: &str, group: &str, direction: &str, mode: &str) -> f64 {
        self.metric(&format!(
            "interdict_egress_dropped_packets_total{{app=\"{app}\",group=\"{group}\",direction=\"{direction}\",mode=\"{mode}\"}}"
        ))
    }

    /// Begins a peer that goes on; returns once it said its first line.
    pub fn background(&self, end: &str, words: &[&str]) -> Program {
        let mut command = self.inside(end, "python3");
        let mut child = command.arg(script()).args(words).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty(), "{words:?} does not start");
        Program(child)
    }

    fn peer(&self, end: &str, words: &[&str]) -> String {
        let ran = self.inside(end, "python3").arg(script()).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        assert!(!said.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
        said
    }

    /// A program at one of the ends.
    pub fn inside(&self, end: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(end), program]);
        command
    }

    fn namespace(&self, end: &str) -> String {
        format!("{}-{end}", self.prefix)
    }
}

/// What a program that goes on says to its end.
pub fn rest(mut program: Program) -> String {
    let mut text = String::new();
    program.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text.trim().to_owned()
}

impl Drop for Network {
    fn drop(&mut self) {
        // Programs first: a namespace lives as long as anybody is in it.
        (self.gateway, self.server, self.upstream) = (None, None, None);
        for end in ["client", "gateway", "server"] {
            let _gone = Command::new("ip").args(["netns", "delete", &self.namespace(end)]).output();
        }
    }
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/peer.py")
}
