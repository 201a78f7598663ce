//! Rules of response policy zones about the servers of zones, by name and by address: in a small world of zones on loopback, while recursing and
//! while forwarding, beside what BIND makes of the same rules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may read any file"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares files with other suites")]

mod support;
#[path = "support/tree.rs"]
mod tree;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use support::operator::until;
use support::{Site, Upstream, in_namespaces, query};

/// BIND listens only at addresses that an interface has.
const NETWORK: &str =
    "ip link set lo up && for a in 10 11 12 13; do ip address add 127.0.0.$a/8 dev lo; done";
/// Serves the root and `tree.`.
const ABOVE: &str = "127.0.0.10";
/// Serves the zones of the other hosts.
const HOST: &str = "127.0.0.11";
/// Serves what `ns.evil.tree` does, and `ns.deep.wild.tree`.
const EVIL: &str = "127.0.0.12";
/// Serves what is met by its address.
const LISTED: &str = "127.0.0.13";
const BIND: u16 = 5301;
const A: u16 = 1;
const TXT: u16 = 16;

/// A zone, the names of its servers, and where they are.
const ZONES: &[(&str, &[(&str, &str)])] = &[
    ("good.tree", &[("ns.host.tree", HOST)]),
    ("child.good.tree", &[("ns.evil.tree", EVIL)]),
    ("bad.tree", &[("ns.evil.tree", EVIL)]),
    ("child.bad.tree", &[("ns.host.tree", HOST)]),
    ("mixed.tree", &[("ns.host.tree", HOST), ("ns.evil.tree", EVIL)]),
    ("wide.tree", &[("ns.deep.wild.tree", EVIL)]),
    ("itself.tree", &[("wild.tree", EVIL)]),
    ("address.tree", &[("ns.address.tree", LISTED)]),
    ("listed.tree", &[("ns.listed.tree", LISTED)]),
    ("freed.tree", &[("ns.evil.tree", EVIL)]),
    ("both.tree", &[("ns.address.tree", LISTED), ("ns.evil.tree", EVIL)]),
];

const RULES: &str = "ns.evil.tree.rpz-nsdname CNAME .\n*.wild.tree.rpz-nsdname CNAME *.\n\
                     32.13.0.0.127.rpz-nsip A 203.0.113.13\nwww.freed.tree CNAME rpz-passthru.\n\
                     *.named.good.tree A 203.0.113.1\n";
/// Stands before the other zone.
const FIRST: &str = "first.mixed.tree.unused CNAME .\nns.address.tree.rpz-nsdname CNAME rpz-passthru.\n";

/// Names of blocked zones that do not exist: BIND's answer is that without rules, ours says less.
const ABSENT: [&str; 2] = ["nothing.bad.tree", "other.freed.tree"];

/// Programs that end with the test.
struct World(tempfile::TempDir, Vec<Child>);

impl World {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn start() -> Self {
        let mut world = Self(tempfile::tempdir().unwrap(), Vec::new());
        let glue = format!(
            "ns.host A {HOST}\nns.evil A {EVIL}\nns.deep.wild A {EVIL}\nwild A {EVIL}\nns.address A {LISTED}\nns.listed A {LISTED}\n"
        );
        let mut top = format!(
            "$TTL 300\n$ORIGIN tree.\n@ SOA ns.top host 1 3600 600 86400 300\n@ NS ns.top\nns.top A {ABOVE}\n{glue}"
        );
        for (zone, servers) in ZONES {
            let names: String = servers.iter().map(|(server, _)| format!("{zone}. NS {server}.\n")).collect();
            // A child is delegated by its parent, which is a zone of its own below.
            if zone.split('.').count() == 2 {
                top += &names;
            }
            let children: String = ZONES
                .iter()
                .filter(|(child, _)| child.ends_with(&format!(".{zone}")))
                .flat_map(|(child, servers)| {
                    servers.iter().map(move |(server, _)| format!("{child}. NS {server}.\n"))
                })
                .collect();
            let more = if *zone == "good.tree" {
                "alias CNAME www.bad.tree.\nlisted CNAME www.address.tree.\nto CNAME www.child.bad.tree.\na.named A 192.0.2.81\n"
            } else {
                ""
            };
            // A server inside its zone stands below a cut, and that zone answers for it.
            let inside = servers.iter().filter(|(server, _)| *server == format!("ns.{zone}"));
            let own: String = inside.map(|(_, at)| format!("ns A {at}\n")).collect();
            world.write(
                &format!("{zone}.zone"),
                &format!(
                    "$TTL 300\n$ORIGIN {zone}.\n@ SOA ns.host.tree. host 1 3600 600 86400 300\n{names}www A 192.0.2.80\nwww TXT text\n\
                     deep.empty A 192.0.2.83\n{own}{more}{children}"
                ),
            );
        }
        world.write("tree.zone", &top);
        world.write("root.zone", &format!("$TTL 300\n. SOA ns.root. host.root. 1 3600 600 86400 300\n. NS ns.root.\nns.root. A {ABOVE}\ntree. NS ns.top.tree.\nns.top.tree. A {ABOVE}\n"));
        world.write("hints", &format!(". 3600 NS ns.root.\nns.root. 3600 A {ABOVE}\n"));
        for address in [ABOVE, HOST, EVIL, LISTED] {
            let zones: String = if address == ABOVE {
                "zone \".\" { type primary; file \"root.zone\"; };\nzone \"tree.\" { type primary; file \"tree.zone\"; };\n".to_owned()
            } else {
                ZONES
                    .iter()
                    .filter(|(_, servers)| servers.iter().any(|(_, at)| *at == address))
                    .map(|(zone, _)| format!("zone \"{zone}\" {{ type primary; file \"{zone}.zone\"; }};\n"))
                    .collect()
            };
            world.named(
                address,
                53,
                &format!("recursion no; minimal-responses yes; }};\ncontrols {{ }};\n{zones}"),
            );
        }
        for (address, name) in
            [(ABOVE, "tree"), (HOST, "www.good.tree"), (EVIL, "www.bad.tree"), (LISTED, "www.address.tree")]
        {
            asked((address.parse::<Ipv4Addr>().unwrap(), 53).into(), name, A);
        }
        world
    }

    fn named(&mut self, address: &str, port: u16, more: &str) {
        let directory = self.path().display();
        let text = format!(
            "options {{ directory \"{directory}\"; listen-on port {port} {{ {address}; }}; listen-on-v6 {{ none; }}; pid-file none;\n\
             session-keyfile none; notify no; dnssec-validation no; check-names primary ignore; empty-zones-enable no; {more}"
        );
        let name = format!("named-{address}-{port}.conf");
        self.write(&name, &text);
        let log = std::fs::File::create(self.path().join(format!("{name}.log"))).unwrap();
        let child = Command::new("/usr/sbin/named")
            .args(["-g", "-n", "1", "-c", &name])
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.1.push(child);
    }

    /// BIND, which recurses, with both zones in their order or without.
    fn bind(&mut self, port: u16, rules: bool) -> SocketAddr {
        self.write("first.rpz", &zone(FIRST));
        self.write("rules.rpz", &zone(RULES));
        let policy = if rules {
            "response-policy { zone \"first\"; zone \"rules\"; } qname-wait-recurse no break-dnssec yes; };\ncontrols { };\n\
             zone \"first\" { type primary; file \"first.rpz\"; };\nzone \"rules\" { type primary; file \"rules.rpz\"; };\n"
        } else {
            "};\ncontrols { };\n"
        };
        let more = format!(
            "recursion yes; allow-recursion {{ any; }}; minimal-responses yes; {policy}zone \".\" {{ type hint; file \"hints\"; }};\n"
        );
        self.named("127.0.0.1", port, &more);
        let address = (Ipv4Addr::LOCALHOST, port).into();
        asked(address, "www.good.tree", A);
        address
    }

    fn recursing(&self) -> String {
        format!(
            "mode = \"recurse\"\ndnssec = \"pass\"\nroot_hints = \"{}\"",
            self.path().join("hints").display()
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.1 {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

fn zone(records: &str) -> String {
    format!("$TTL 60\n@ SOA a. b. 1 3600 600 86400 60\n  NS a.\n{records}")
}

/// What a server answers, asked until it does: its code and its records.
fn asked(server: SocketAddr, name: &str, record_type: u16) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2000))).unwrap();
    socket.connect(server).unwrap();
    for _ in 0..60 {
        let _lost = socket.send(&query(1, 0x0100, name, record_type, Some(1232)));
        let mut reply = [0; 1500];
        match socket.recv(&mut reply) {
            Ok(length) => return words(&reply[..length]),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    panic!("{server} does not answer for {name}");
}

fn words(reply: &[u8]) -> String {
    let reply = Message::from_vec(reply).unwrap();
    let mut words = vec![support::code(&reply).to_owned()];
    words.extend(reply.answers.iter().map(|record| format!("{} {}", record.name, record.data)));
    words.join(" ")
}

fn source(name: &str) -> String {
    format!("[[policy.source]]\nname = \"{name}\"\nfrom = \"$DIR/{name}.rpz\"\nformat = \"rpz\"\n")
}

/// A resolver with that `[upstream]` and both zones in their order.
fn resolver(upstream: &str, more: &str) -> Site {
    let policy = source("first")
        + &source("rules")
        + "[[policy.group]]\nname = \"default\"\nenforce = [\"first\", \"rules\"]\n"
        + more;
    let site = Site::prepare(&policy, Clock::system());
    let text = support::read(&site.config);
    let (begin, end) = (text.find("servers = ").unwrap(), text.find("timeout = ").unwrap());
    std::fs::write(&site.config, format!("{}{upstream}\n{}", &text[..begin], &text[end..])).unwrap();
    std::fs::write(site.path("first.rpz"), zone(FIRST)).unwrap();
    std::fs::write(site.path("rules.rpz"), zone(RULES)).unwrap();
    site.started()
}

#[test]
fn zones_are_judged_by_their_servers_as_bind_judges_them() {
    in_namespaces(&["--net"], NETWORK, "as_bind_judges_them");
}

#[test]
#[ignore = "run in a namespace by its caller"]
fn as_bind_judges_them() {
    let mut world = World::start();
    let bind = world.bind(BIND, true);
    let plain = world.bind(BIND + 1, false);
    let recursing = resolver(&world.recursing(), "");
    let forwarding = resolver(&format!("servers = [\"{plain}\"]"), "");
    let questions = [
        ("www.good.tree", A),
        ("www.child.good.tree", A),
        ("www.bad.tree", A),
        ("www.bad.tree", TXT),
        ("nothing.bad.tree", A),
        ("nothing.good.tree", A),
        ("bad.tree", A),
        ("deep.empty.bad.tree", A),
        ("empty.bad.tree", A),
        ("www.child.bad.tree", A),
        ("www.mixed.tree", A),
        ("www.wide.tree", A),
        ("www.itself.tree", A),
        ("www.address.tree", A),
        ("www.address.tree", TXT),
        ("www.listed.tree", A),
        ("www.listed.tree", TXT),
        ("www.freed.tree", A),
        ("other.freed.tree", A),
        ("www.both.tree", A),
        ("alias.good.tree", A),
        ("listed.good.tree", A),
        ("to.good.tree", A),
        ("a.named.good.tree", A),
    ];
    let mut differences = Vec::new();
    let mut blocked = 0;
    for (name, record_type) in questions {
        let (theirs, unruled) = (asked(bind, name, record_type), asked(plain, name, record_type));
        let is_rewritten = theirs != unruled || ABSENT.contains(&name);
        // What BIND says of a blocked name we say without the alias, and as NODATA, since names below it may live (RFC 8020).
        let expected = match theirs.split_once(' ').map_or(theirs.as_str(), |(code, _)| code) {
            "NXDOMAIN" if is_rewritten => "NOERROR".to_owned(),
            _ => theirs.clone(),
        };
        blocked += usize::from(is_rewritten);
        // Twice: an answer that is kept gets no other verdict.
        for round in ["first", "kept"] {
            for (kind, site) in [("recursing", &recursing), ("forwarding", &forwarding)] {
                let ours = asked(site.address(), name, record_type);
                if ours != expected {
                    differences.push(format!("{name} {record_type} {kind}, {round}: {ours}; BIND: {theirs}"));
                }
            }
        }
    }
    assert_eq!(differences.join("\n"), "");
    assert_eq!((blocked, questions.len()), (16, 24), "as many as the rules mean");
    for site in [&recursing, &forwarding] {
        // Not more than two or three a name, and none for what is kept.
        let questions = site.metric("interdict_name_server_questions_total");
        assert!((20.0..90.0).contains(&questions), "{questions}");
    }

    let line = |trigger: &str| {
        let log = support::read(&recursing.path("queries.jsonl"));
        log.lines().find(|line| line.contains(trigger)).map(str::to_owned)
    };
    until(5, "both triggers are logged", || {
        line("name-server-name").is_some() && line("name-server-address").is_some()
    });
    let logged = line("name-server-name").unwrap();
    assert!(logged.contains(r#""listed":"ns.evil.tree""#) && logged.contains("rules.rpz:4"), "{logged}");
    assert!(line("name-server-address").unwrap().contains(r#""listed":"127.0.0.13/32""#));

    // A rule that comes is held against what is kept, and one that goes is gone.
    let reload = |records: &str| {
        std::fs::write(forwarding.path("rules.rpz"), zone(records)).unwrap();
        let said = forwarding.reload("");
        // The change of the file may have been seen before.
        assert!(said["outcome"] == "published" || said["outcome"] == "unchanged", "{said}");
    };
    reload("ns.host.tree.rpz-nsdname A 203.0.113.7\n");
    assert_eq!(asked(forwarding.address(), "www.good.tree", A), "NOERROR www.good.tree. 203.0.113.7");
    reload("gone.example CNAME .\n");
    assert_eq!(asked(forwarding.address(), "www.bad.tree", A), "NOERROR www.bad.tree. 192.0.2.80");
    let before = forwarding.metric("interdict_name_server_questions_total");
    assert_eq!(
        asked(forwarding.address(), "deep.empty.good.tree", A),
        "NOERROR deep.empty.good.tree. 192.0.2.83"
    );
    // The zone in front has a rule still: it is asked for. Without any, nobody asks.
    assert!(forwarding.metric("interdict_name_server_questions_total") > before);
    std::fs::write(forwarding.path("first.rpz"), zone("gone.example CNAME .\n")).unwrap();
    reload("other.example CNAME .\n");
    let before = forwarding.metric("interdict_name_server_questions_total");
    assert_eq!(asked(forwarding.address(), "www.wide.tree", TXT), "NOERROR www.wide.tree. text");
    assert_eq!(forwarding.metric("interdict_name_server_questions_total"), before);
}

#[test]
fn servers_that_nobody_knows_meet_no_rule_and_are_asked_for_again() {
    // The upstream knows the name, and fails for every question about servers until it is told.
    let site = Site::prepare_with(
        Upstream::scripted(|packet, _| Some(answered(packet))),
        &(source("rules") + "app = \"tiktok\"\n"),
        Clock::manual("2026-01-01T00:00:00Z".parse().unwrap()),
    );
    std::fs::write(site.path("rules.rpz"), zone(RULES)).unwrap();
    let site = site.started();
    assert_eq!(asked(site.address(), "www.down.tree", A), "NOERROR www.down.tree. 192.0.2.80");
    // It is not noted as passed: a moment later it is looked at anew, by which time the servers are known.
    let asked_once = site.metric("interdict_name_server_questions_total");
    site.clock.advance(Duration::from_secs(10));
    assert_eq!(asked(site.address(), "www.down.tree", A), "NOERROR www.down.tree. 192.0.2.80");
    let asked_again = site.metric("interdict_name_server_questions_total");
    assert!(asked_again > asked_once, "{asked_again} of {asked_once}");
    assert_eq!(asked(site.address(), "www.evil.tree", A), "NOERROR");
    let page = site.http("GET", "/metrics", None).1;
    let line = "interdict_blocked_queries_total{app=\"tiktok\",instrument=\"none\",group=\"default\",action=\"nxdomain\",mode=\"enforce\"} 1";
    assert!(page.contains(line), "{page}");
    // Who wants no recursion gets nothing that would have to be looked at first.
    let fresh = |name: &str| {
        let reply = site.udp(&query(2, 0, name, A, None)).unwrap();
        words(&reply)
    };
    site.clock.advance(Duration::from_secs(400));
    assert_eq!(fresh("www.evil.tree"), "REFUSED");
}

/// Everything has an address; `down.tree` is served by nobody who can be found out, all else by `ns.evil.tree`.
fn answered(packet: &[u8]) -> Vec<u8> {
    use hickory_proto::rr::rdata::{A as Address, NS};
    use hickory_proto::rr::{Name, RData, Record, RecordType};
    let mut message = Message::from_vec(packet).unwrap();
    let question = message.queries[0].clone();
    let name = question.name().to_lowercase().to_string();
    message.metadata.message_type = hickory_proto::op::MessageType::Response;
    message.metadata.recursion_available = true;
    let data = match question.query_type() {
        RecordType::NS if name.contains("down") => {
            message.metadata.response_code = hickory_proto::op::ResponseCode::ServFail;
            None
        }
        RecordType::NS => Some(RData::NS(NS(Name::from_ascii("ns.evil.tree.").unwrap()))),
        RecordType::A => Some(RData::A(Address::new(192, 0, 2, 80))),
        _ => None,
    };
    message.answers.extend(data.map(|data| Record::from_rdata(question.name().clone(), 300, data)));
    message.to_vec().unwrap()
}

#[test]
fn explain_tells_what_a_server_would_make_of_a_name() {
    let site = Site::prepare(&source("rules"), Clock::system());
    std::fs::write(site.path("rules.rpz"), zone(RULES)).unwrap();
    let site = site.started();
    let typed = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_interdict"))
            .args(["--config", site.config.to_str().unwrap(), "explain"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = typed(&["www.canada.ca", "--name-server", "ns.evil.tree"]);
    assert!(code == Some(1) && said.contains("name-server-name"), "{said}");
    assert!(said.contains("ns.evil.tree (name server)") && said.contains("rules.rpz:4"), "{said}");
    let (code, said) = typed(&["www.canada.ca", "--name-server", "a.wild.tree"]);
    assert!(code == Some(1) && said.contains("wild.tree (name servers below)"), "{said}");
    assert_eq!(typed(&["www.canada.ca", "--name-server", "wild.tree"]).0, Some(0));
    let (code, said) = typed(&["--name-server", "127.0.0.13"]);
    assert!(code == Some(1) && said.contains("127.0.0.13/32 (name server)"), "{said}");
    assert_eq!(
        typed(&["www.freed.tree", "--name-server", "ns.evil.tree"]).0,
        Some(0),
        "let pass by its name"
    );
    // A server's name is no name that is blocked.
    assert_eq!(typed(&["ns.evil.tree"]).0, Some(0));
    let (status, body) = site.http("GET", "/api/v1/explain?name_server=ns.evil.tree", None);
    assert!(status == 200 && body.contains("name-server-name"), "{body}");
    let (status, body) = site.http("GET", "/api/v1/explain?name=a.example&name_server=-..-", None);
    assert!(status == 400 && body.contains("?name_server="), "{body}");
}
