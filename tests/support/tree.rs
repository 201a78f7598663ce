//! A small world of names on loopback, in a network namespace: a root, a top-level domain and zones below it, signed in every
//! way and broken in every way, with the servers that answer for them.

use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::query;

/// Serves the root and `tree.`.
pub const ABOVE: &str = "127.0.0.10";
/// Serves what is below.
pub const BELOW: &str = "127.0.0.11";

/// The world; its servers end with it.
pub struct Tree {
    folder: tempfile::TempDir,
    children: Vec<Child>,
}

/// A zone below `tree.`.
struct Zone {
    name: &'static str,
    algorithm: &'static str,
    /// Further arguments for the signer.
    how: &'static [&'static str],
    /// What is done to the signed zone.
    broken: fn(String) -> String,
    /// What is done to the DS record at the parent; `None` for no DS record.
    delegation: fn(String) -> Option<String>,
}

/// Zones whose answers are made to cost work, each with the names `www0` to `www39`.
const ATTACKS: &[Zone] = &[
    // Many keys with one number, and as many signatures by it (CVE-2023-50387).
    Zone { name: "keytrap", algorithm: "RSASHA256", how: &[], broken: many_signatures, delegation: Some },
    // Many signatures over the keys.
    Zone { name: "sigflood", algorithm: "RSASHA256", how: &[], broken: many_over_keys, delegation: Some },
    // As many iterations as BIND signs with (CVE-2023-50868).
    Zone {
        name: "iterations",
        algorithm: "ECDSAP256SHA256",
        how: &["-3", "-", "-H", "150"],
        broken: whole,
        delegation: Some,
    },
];

/// How many keys and signatures an attack has.
const MANY: usize = 80;

/// The wire form of a key for RSA that nobody has: each other one has the same words in another order, and so the same number.
fn made_up_key(number: usize) -> Vec<u8> {
    let mut modulus: Vec<u8> = (0..256u32).map(|at| (at * 7 + 13) as u8 | 0x81).collect();
    let (one, other) = (2 + 2 * (number / 12), 200 + 2 * (number % 12));
    for at in 0..2 {
        modulus[one + at] ^= 0x10 + at as u8;
        modulus.swap(one + at, other + at);
    }
    [&[1, 0, 3, 8, 3, 1, 0, 1][..], &modulus].concat()
}

/// RFC 4034 appendix B.
fn tag(key: &[u8]) -> u16 {
    let sum: u32 = key.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    (sum + (sum >> 16)) as u16
}

/// What an attacker's zone has beside what all zones have.
fn attack_records(zone: &str) -> String {
    use base64::Engine as _;
    let mut out: String = (0..40).map(|at| format!("www{at} A 192.0.2.80\n")).collect();
    if zone == "keytrap" {
        for number in 0..MANY {
            let key = base64::prelude::BASE64_STANDARD.encode(&made_up_key(number)[4..]);
            out += &format!("@ DNSKEY 256 3 8 {key}\n");
        }
    }
    out
}

fn many_signatures(text: String) -> String {
    use base64::Engine as _;
    let shown = base64::prelude::BASE64_STANDARD;
    let number = tag(&made_up_key(0));
    let mut out = text;
    for www in 0..40 {
        let owner = format!("www{www}.keytrap.tree.");
        for at in 0..MANY {
            let bytes: Vec<u8> = (0..256).map(|byte| (byte * 3 + at * 5 + www) as u8).collect();
            out += &format!(
                "{owner} 300 IN RRSIG A 8 3 300 20400101000000 20200101000000 {number} keytrap.tree. {}\n",
                shown.encode(bytes)
            );
        }
    }
    out
}

fn many_over_keys(text: String) -> String {
    let is_over_keys = |line: &&str| {
        matches!(line.split_whitespace().collect::<Vec<_>>()[..], [_, _, _, "RRSIG", "DNSKEY", ..])
    };
    let real: Vec<&str> = text.lines().filter(is_over_keys).collect();
    let mut more = String::new();
    for line in real {
        for at in 0..MANY {
            let (head, bytes) = line.rsplit_once(' ').unwrap();
            let letters = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];
            more += &format!("{head} {}{}{}\n", letters[at / 10], letters[at % 10], &bytes[2..]);
        }
    }
    without(&text, |words| matches!(words, [_, _, _, "RRSIG", "DNSKEY", ..])) + &more
}

fn whole(text: String) -> String {
    text
}

/// Without the records that the filter is true for. A record is one line here.
fn without(text: &str, gone: impl Fn(&[&str]) -> bool) -> String {
    text.lines()
        .filter(|line| !gone(&line.split_whitespace().collect::<Vec<_>>()))
        .map(|line| format!("{line}\n"))
        .collect()
}

const ZONES: &[Zone] = &[
    Zone { name: "rsa", algorithm: "RSASHA256", how: &[], broken: whole, delegation: Some },
    Zone { name: "ecdsa", algorithm: "ECDSAP256SHA256", how: &[], broken: whole, delegation: Some },
    Zone { name: "ed25519", algorithm: "ED25519", how: &[], broken: whole, delegation: Some },
    Zone { name: "nsec3", algorithm: "ECDSAP256SHA256", how: &["-3", "-"], broken: whole, delegation: Some },
    Zone {
        name: "optout",
        algorithm: "ECDSAP256SHA256",
        how: &["-3", "-", "-A"],
        broken: whole,
        delegation: Some,
    },
    Zone {
        name: "expired",
        algorithm: "ECDSAP256SHA256",
        how: &["-s", "20200101000000", "-e", "20200201000000"],
        broken: whole,
        delegation: Some,
    },
    Zone {
        name: "future",
        algorithm: "ECDSAP256SHA256",
        how: &["-s", "20400101000000", "-e", "20400201000000"],
        broken: whole,
        delegation: Some,
    },
    Zone {
        name: "bogus",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        broken: |text| text.replace("192.0.2.80", "192.0.2.66"),
        delegation: Some,
    },
    Zone {
        name: "missing",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        // www.missing.tree. 300 IN RRSIG A ...
        broken: |text| {
            without(&text, |words| {
                words.first() == Some(&"www.missing.tree.") && words.get(3..5) == Some(&["RRSIG", "A"])
            })
        },
        delegation: Some,
    },
    Zone {
        name: "unproved",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        broken: |text| {
            without(&text, |words| matches!(words, [_, _, _, "NSEC", ..] | [_, _, _, "RRSIG", "NSEC", ..]))
        },
        delegation: Some,
    },
    Zone {
        name: "stolen",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        broken: whole,
        // The digest of another key.
        delegation: |record| Some(record.replace(['A', 'B'], "C")),
    },
    Zone {
        name: "unsupported",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        broken: whole,
        delegation: |record| Some(record.replace(" 13 2 ", " 200 2 ")),
    },
    Zone {
        name: "digest",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        broken: whole,
        delegation: |record| Some(record.replace(" 13 2 ", " 13 200 ")),
    },
    Zone {
        name: "keyless",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        broken: |text| {
            without(&text, |words| {
                matches!(words, [_, _, _, "DNSKEY", ..] | [_, _, _, "RRSIG", "DNSKEY", ..])
            })
        },
        delegation: Some,
    },
    Zone {
        name: "bare",
        algorithm: "ECDSAP256SHA256",
        how: &[],
        // Its keys are there, and nobody signed them.
        broken: |text| without(&text, |words| matches!(words, [_, _, _, "RRSIG", "DNSKEY", ..])),
        delegation: Some,
    },
    Zone {
        name: "gap",
        algorithm: "ECDSAP256SHA256",
        how: &["-3", "-"],
        // Of the hashes, none is the next but the apex's own.
        broken: |text| {
            let apex = text.lines().find(|line| line.contains(" NSEC3 ") && line.contains(" SOA "));
            let apex = apex.and_then(|line| line.split_whitespace().next()).unwrap_or("").to_owned();
            without(&text, |words| {
                words.first() != Some(&apex.as_str())
                    && matches!(words, [_, _, _, "NSEC3", ..] | [_, _, _, "RRSIG", "NSEC3", ..])
            })
        },
        delegation: Some,
    },
    Zone { name: "unsigned", algorithm: "", how: &[], broken: whole, delegation: |_| None },
    Zone { name: "island", algorithm: "ECDSAP256SHA256", how: &[], broken: whole, delegation: |_| None },
];

/// Every zone's name.
pub fn zones() -> impl Iterator<Item = &'static str> {
    ZONES.iter().map(|zone| zone.name)
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// How the root is signed: its keys live for a second, so that a change of them is seen.
const ROOT: &[&str] = &["-T", "1"];

/// Signs `zone`, whose text is in `file`; returns each record on a line of its own. Its DS records are in `dsset-<zone>`.
fn sign(folder: &Path, zone: &str, file: &str, algorithm: &str, how: &[&str]) -> String {
    let size: &[&str] = if algorithm.starts_with("RSA") { &["-b", "2048"] } else { &[] };
    for flags in [&["-f", "KSK"][..], &[]] {
        run(folder, "dnssec-keygen", &[&["-q", "-a", algorithm], size, flags, &[zone]].concat());
    }
    sign_again(folder, zone, file, how)
}

/// Signs a zone with the keys that it has.
fn sign_again(folder: &Path, zone: &str, file: &str, how: &[&str]) -> String {
    let out = format!("{file}.signed");
    // -O full: one record a line, with its class and TTL.
    let fixed = ["-S", "-P", "-O", "full", "-o", zone, "-f", &out];
    run(folder, "dnssec-signzone", &[&fixed[..], how, &[file]].concat());
    std::fs::read_to_string(folder.join(out)).unwrap()
}

/// The DNSKEY record that a zone's trust starts from.
fn key(folder: &Path, zone: &str) -> String {
    let keys = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&format!("K{zone}+")) && name.ends_with(".key")
    });
    let text: String = keys
        .map(|path| std::fs::read_to_string(path).unwrap())
        .filter(|text| text.contains(" 257 "))
        .collect();
    without(&text, |words| words.first() == Some(&";"))
}

impl Tree {
    /// The DNSKEY record that a zone's trust starts from.
    pub fn key(&self, zone: &str) -> String {
        key(self.folder.path(), zone)
    }

    /// Grows the world and starts its servers.
    pub fn grow() -> Self {
        Self::grown(&[])
    }

    /// The same, with the zones of attackers.
    pub fn grow_with_attackers() -> Self {
        Self::grown(ATTACKS)
    }

    /// The process that was started last.
    pub fn last_process(&self) -> u32 {
        self.children.last().unwrap().id()
    }

    fn grown(attacks: &[Zone]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let mut top = format!(
            "$TTL 300\n@ SOA ns.tree. host.tree. 1 3600 600 86400 300\n@ NS ns.tree.\nns A {ABOVE}\n"
        );
        let mut below = String::new();
        for Zone { name, algorithm, how, broken, delegation } in attacks.iter().chain(ZONES) {
            let origin = format!("{name}.tree.");
            let own = format!(
                "$TTL 300\n$ORIGIN {origin}\n@ SOA ns host 1 3600 600 86400 300\n@ NS ns\nns A {BELOW}\nwww A 192.0.2.80\nwww AAAA 2001:db8::80\n\
                 alias CNAME www\nbeyond CNAME www.unsigned.tree.\nlost CNAME nothing\n*.wild A 192.0.2.81\nold DNAME new\nhost.new A 192.0.2.82\n\
                 text TXT \"some text\"\ndeep.empty A 192.0.2.83\nsub NS ns.sub\nns.sub A {BELOW}\n"
            );
            let own = if attacks.iter().any(|attack| attack.name == *name) {
                own + &attack_records(name)
            } else {
                own
            };
            write(&format!("{name}.db"), &own);
            let signed = match *algorithm {
                "" => own,
                algorithm => broken(sign(&folder, &origin, &format!("{name}.db"), algorithm, how)),
            };
            write(&format!("{name}.zone"), &signed);
            top += &format!("{name} NS ns.{name}\nns.{name} A {BELOW}\n");
            let ds = std::fs::read_to_string(folder.join(format!("dsset-{origin}"))).unwrap_or_default();
            top += &ds
                .lines()
                .filter_map(|line| delegation(line.to_owned()))
                .map(|line| line + "\n")
                .collect::<String>();
            below += &format!("zone \"{origin}\" {{ type primary; file \"{name}.zone\"; }};\n");
            // A child without keys below each: what is proved of the delegation differs with the zone.
            let child = format!("sub.{origin}");
            write(
                &format!("sub-{name}.zone"),
                &format!(
                    "$TTL 300\n$ORIGIN {child}\n@ SOA ns host 1 3600 600 86400 300\n@ NS ns\nns A {BELOW}\nwww A 192.0.2.84\n"
                ),
            );
            below += &format!("zone \"{child}\" {{ type primary; file \"sub-{name}.zone\"; }};\n");
        }
        // Name servers that do not exist, many of them: who looks for each is used against whoever is to know (NXNSAttack).
        for number in 0..100 {
            top += &format!("nxns NS v{number}.unsigned\n");
            top += &format!("chain{number} CNAME chain{}\n", number + 1);
        }
        top += "ring0 CNAME ring1\nring1 CNAME ring0\nchain100 A 192.0.2.85\n";
        write("tree.db", &top);
        let test = sign(&folder, "tree.", "tree.db", "ECDSAP256SHA256", &[]);
        write("tree.zone", &test);
        let ds = std::fs::read_to_string(folder.join("dsset-tree.")).unwrap();
        let root = format!(
            "$TTL 300\n. SOA ns.root. host.root. 1 3600 600 86400 300\n. NS ns.root.\nns.root. A {ABOVE}\ntree. NS ns.tree.\nns.tree. A {ABOVE}\n{ds}"
        );
        write("root.db", &root);
        let root = sign(&folder, ".", "root.db", "ECDSAP256SHA256", ROOT);
        write("root.zone", &root);
        write("anchors", &key(&folder, "."));
        write("hints", &format!(". 3600 NS ns.root.\nns.root. 3600 A {ABOVE}\n"));
        let above = "zone \".\" { type primary; file \"root.zone\"; };\nzone \"tree.\" { type primary; file \"tree.zone\"; };\n";
        let mut tree = Self { folder: temporary, children: Vec::new() };
        for (address, zones) in [(ABOVE, above), (BELOW, below.as_str())] {
            let directory = folder.display();
            let text = format!(
                "options {{ directory \"{directory}\"; listen-on port 53 {{ {address}; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no;\n\
                 pid-file none; session-keyfile none; notify no; minimal-responses no; check-names primary ignore; max-records-per-type 0; }};\ncontrols {{ }};\n{zones}"
            );
            let name = format!("named-{address}.conf");
            write(&name, &text);
            tree.spawn("/usr/sbin/named", &["-g", "-c", &name]);
        }
        // Of the last zone that was loaded.
        tree.wait(ABOVE, 53, "tree");
        tree.wait(BELOW, 53, "www.island.tree");
        tree
    }

    /// Gives the root another key beside those it has, with which it signs its keys too.
    pub fn add_root_key(&self) {
        run(self.folder.path(), "dnssec-keygen", &["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "."]);
        self.sign_root();
    }

    /// Has the root say of its key that begins trust in the file `anchors` that it is revoked.
    pub fn revoke_root_key(&self) {
        let public = std::fs::read_to_string(self.path("anchors")).unwrap();
        let file = self.root_keys().into_iter().find(|file| {
            let text = std::fs::read_to_string(self.path(&format!("{file}.key"))).unwrap();
            text.contains(public.split_whitespace().last().unwrap())
        });
        run(self.folder.path(), "dnssec-revoke", &["-r", &file.unwrap()]);
        self.sign_root();
    }

    /// Takes what was revoked out of the root.
    pub fn remove_revoked_key(&self) {
        for file in self.root_keys() {
            let path = self.path(&format!("{file}.key"));
            if std::fs::read_to_string(&path).unwrap().contains(" 385 ") {
                std::fs::remove_file(path).unwrap();
                std::fs::remove_file(self.path(&format!("{file}.private"))).unwrap();
            }
        }
        self.sign_root();
    }

    /// The names of the files with the root's keys, without their ends.
    fn root_keys(&self) -> Vec<String> {
        let names = self.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        names
            .filter_map(|name| Some(name.to_str()?.strip_suffix(".key")?.to_owned()))
            .filter(|name| name.starts_with("K.+"))
            .collect()
    }

    fn sign_root(&self) {
        let root = sign_again(self.folder.path(), ".", "root.db", ROOT);
        std::fs::write(self.path("root.zone"), root).unwrap();
        let first = self.children.first().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-HUP", &first]).status().unwrap().success());
    }

    /// A file of the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let mut log = std::fs::File::options().append(true).create(true).open(self.path("log")).unwrap();
        writeln!(log, "== {program} {arguments:?}").unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.push(child);
    }

    fn wait(&self, address: &str, port: u16, name: &str) {
        for _ in 0..200 {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
            socket.connect((address, port)).unwrap();
            let _lost = socket.send(&query(1, 0x0100, name, 1, None));
            let mut reply = [0; 1500];
            if socket.recv(&mut reply).is_ok() && matches!(reply[3] & 15, 0 | 3) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.path("log")).unwrap();
        panic!("{address} does not answer: {log}");
    }

    /// Starts Unbound at 127.0.0.1 and that port, validating or not. It answers from what it is told of the very name: of what is below an
    /// alias that leads nowhere it would otherwise show the alias, which has nothing to do with it.
    pub fn unbound(&mut self, port: u16, validates: bool) {
        let modules = if validates { "validator iterator" } else { "iterator" };
        let anchors = if validates { " trust-anchor-file: anchors\n" } else { "" };
        let text = format!(
            "server:\n interface: 127.0.0.1@{port}\n directory: \"{}\"\n root-hints: hints\n{anchors} module-config: \"{modules}\"\n ede: yes\n \
             do-not-query-localhost: no\n do-ip6: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n \
             val-log-level: 2\n minimal-responses: no\n aggressive-nsec: no\n harden-below-nxdomain: no\n\
             remote-control:\n control-enable: no\n",
            self.folder.path().display()
        );
        let name = format!("unbound-{port}.conf");
        std::fs::write(self.path(&name), text).unwrap();
        self.spawn("/usr/sbin/unbound", &["-d", "-c", &name]);
        self.wait("127.0.0.1", port, "www.unsigned.tree");
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}
