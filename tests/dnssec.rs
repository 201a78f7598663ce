//! DNSSEC and recursion on a world of signed and broken zones: what clients get, beside what Unbound gives them.
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

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use support::{Site, in_namespaces, query, read_framed};
use tree::Tree;

/// BIND listens only at addresses that an interface has.
const NETWORK: &str =
    "ip link set lo up && ip address add 127.0.0.10/8 dev lo && ip address add 127.0.0.11/8 dev lo";
const UNBOUND: u16 = 5301;
const PLAIN_UNBOUND: u16 = 5302;

/// A resolver whose `[upstream]` is that, with tables after it.
fn prepared(upstream: &str, more: &str) -> Site {
    let site = Site::prepare(more, Clock::system());
    let text = support::read(&site.config);
    let (begin, end) = (text.find("servers = ").unwrap(), text.find("timeout = ").unwrap());
    std::fs::write(&site.config, format!("{}{upstream}\n{}", &text[..begin], &text[end..])).unwrap();
    site
}

fn resolver_with(upstream: &str, more: &str) -> Site {
    prepared(upstream, more).started()
}

fn resolver(upstream: &str) -> Site {
    resolver_with(upstream, "")
}

fn recursion(tree: &Tree, more: &str) -> String {
    format!("mode = \"recurse\"\n{more}\nroot_hints = \"{}\"", tree.path("hints").display())
}

/// What a client gets: code, AD, the answer's records in no order, and the codes of extended errors.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    code: String,
    authentic: bool,
    answers: Vec<String>,
    why: Vec<u16>,
}

/// Which bits a client sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Plain,
    Authentic,
    Signed,
    Unchecked,
}

fn ask(server: SocketAddr, name: &str, kind: u16, client: Client) -> Got {
    let flags = match client {
        Client::Plain | Client::Signed => 0x0100,
        Client::Authentic => 0x0120,
        Client::Unchecked => 0x0110,
    };
    let mut packet = query(7, flags, name, kind, Some(4096));
    if client == Client::Signed || client == Client::Unchecked {
        let at = packet.len() - 4;
        packet[at] |= 0x80;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    socket.connect(server).unwrap();
    let mut buffer = [0; 8192];
    let length = (0..2)
        .find_map(|_| {
            socket.send(&packet).unwrap();
            socket.recv(&mut buffer).ok()
        })
        .unwrap_or_else(|| panic!("{server} does not answer {name} {kind} {client:?}"));
    let mut message = Message::from_vec(&buffer[..length]).unwrap();
    if message.metadata.truncation {
        // Long signatures; Unbound sends longer datagrams.
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        stream.write_all(&(packet.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&packet).unwrap();
        message = Message::from_vec(&read_framed(&mut stream).unwrap()).unwrap();
    }
    let mut answers: Vec<String> = message
        .answers
        .iter()
        .map(|record| {
            let shown = match record.record_type().to_string().as_str() {
                // Which signature of several it is, and when it was made, is all the same.
                "RRSIG" => String::new(),
                _ => record.data.to_string(),
            };
            format!("{} {} {shown}", record.name.to_lowercase(), record.record_type())
        })
        .collect();
    answers.sort();
    let option = message.edns.as_ref().and_then(|edns| edns.option(15.into()).cloned());
    let why = option.map(|option| {
        let bytes = Vec::<u8>::try_from(&option).unwrap();
        u16::from_be_bytes([bytes[0], bytes[1]])
    });
    Got {
        code: message.metadata.response_code.to_string(),
        authentic: message.metadata.authentic_data,
        answers,
        why: why.into_iter().collect(),
    }
}

/// Every question of the comparison: name below the zone, type.
const QUESTIONS: &[(&str, u16)] = &[
    ("www", 1),
    ("www", 28),
    ("www", 16),
    ("alias", 1),
    ("beyond", 1),
    ("lost", 1),
    ("a.wild", 1),
    ("a.wild", 16),
    ("host.old", 1),
    ("text", 16),
    ("empty", 1),
    ("nothing", 1),
    ("a.b.nothing", 16),
    ("www.sub", 1),
    ("sub", 43),
    ("", 2),
    ("", 6),
    ("", 43),
    ("", 48),
];

#[test]
fn clients_get_what_unbound_gives_them() {
    in_namespaces(&["--net"], NETWORK, "inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn inside_the_tree() {
    let mut tree = Tree::grow();
    tree.unbound(UNBOUND, true);
    tree.unbound(PLAIN_UNBOUND, false);
    let anchors = format!("trust_anchor = \"{}\"", tree.path("anchors").display());
    let recursive = resolver(&recursion(&tree, &anchors));
    let forwarding = resolver(&format!(
        "servers = [\"udp://127.0.0.1:{PLAIN_UNBOUND}\"]\ndnssec = \"validate\"\n{anchors}"
    ));
    let unbound: SocketAddr = format!("127.0.0.1:{UNBOUND}").parse().unwrap();
    let mut differences: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut asked = 0;
    for zone in tree::zones() {
        for (label, kind) in QUESTIONS {
            let name = format!("{label}.{zone}.tree");
            let name = name.trim_start_matches('.');
            for client in [Client::Plain, Client::Authentic, Client::Signed, Client::Unchecked] {
                let expected = ask(unbound, name, *kind, client);
                for (who, site) in [("recursing", &recursive), ("forwarding", &forwarding)] {
                    asked += 1;
                    let got = ask(site.address(), name, *kind, client);
                    // Whether AD is told to who wants nothing checked is either's to choose (RFC 4035 section 3.2.2 and RFC 6840
                    // section 5.9): Unbound tells what it happens to know.
                    let marked = client == Client::Unchecked || got.authentic == expected.authentic;
                    let alike = (&got.code, &got.answers) == (&expected.code, &expected.answers) && marked;
                    if !alike {
                        let line = format!("{who} {client:?}: {got:?}\n      unbound: {expected:?}");
                        differences.entry(format!("{name} {kind}")).or_default().push(line);
                    }
                }
            }
        }
    }
    for (question, lines) in &differences {
        println!("{question}");
        lines.iter().for_each(|line| println!("   {line}"));
    }
    println!("{asked} answers compared, {} questions differ", differences.len());
    assert!(differences.is_empty());
}

#[test]
fn failures_say_why_and_are_borne_where_somebody_said_so() {
    in_namespaces(&["--net"], NETWORK, "failures_inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn failures_inside_the_tree() {
    let mut tree = Tree::grow();
    tree.unbound(PLAIN_UNBOUND, false);
    let anchors = format!("trust_anchor = \"{}\"", tree.path("anchors").display());
    let validating = format!("servers = [\"udp://127.0.0.1:{PLAIN_UNBOUND}\"]\ndnssec = \"validate\"\n");
    let both = [recursion(&tree, &anchors), format!("{validating}{anchors}")];
    let reasons = [
        ("www.bogus.tree", 6),
        ("www.stolen.tree", 6),
        ("www.expired.tree", 7),
        ("www.future.tree", 8),
        ("www.missing.tree", 10),
        ("nothing.unproved.tree", 10),
    ];
    for upstream in &both {
        let site = resolver(upstream);
        for (name, why) in reasons {
            let got = ask(site.address(), name, 1, Client::Plain);
            assert_eq!(
                (got.code.as_str(), got.why.as_slice()),
                ("Server Failure", &[why][..]),
                "{name} {upstream}"
            );
            let again = ask(site.address(), name, 1, Client::Plain);
            assert_eq!(
                (again.code, again.why),
                (got.code, got.why),
                "{name}: a failure is kept with its reason"
            );
            assert_ne!(ask(site.address(), name, 1, Client::Unchecked).code, "Server Failure", "{name}");
        }
        let page = site.http("GET", "/metrics", None).1;
        assert!(page.contains("interdict_dnssec_answers_total{result=\"bogus\"} 6\n"), "{page}");
    }

    // Borne with until its end, and only there.
    let exempt = |zone: &str, until: &str| {
        format!(
            "[[upstream.negative_trust_anchor]]\nzone = \"{zone}\"\nuntil = \"{until}\"\nreason = \"ticket 4711\"\n"
        )
    };
    for upstream in &both {
        let text = exempt("expired.tree", "2100-01-01") + &exempt("future.tree", "2020-01-01T00:00Z");
        let site = resolver_with(upstream, &text);
        let got = ask(site.address(), "www.expired.tree", 1, Client::Authentic);
        assert_eq!((got.code.as_str(), got.authentic), ("No Error", false));
        assert_eq!(
            ask(site.address(), "www.future.tree", 1, Client::Plain).code,
            "Server Failure",
            "it has ended"
        );
        assert_eq!(ask(site.address(), "www.bogus.tree", 1, Client::Plain).code, "Server Failure");
    }

    // A zone with servers of its own is answered as they answer.
    let route = "[[upstream.route]]\nzone = \"bogus.tree\"\nservers = [\"udp://127.0.0.11:53\"]\n";
    let site = resolver_with(&both[0], route);
    assert_eq!(ask(site.address(), "www.bogus.tree", 1, Client::Plain).answers.len(), 1);

    // What is blocked stays blocked whatever the chain says.
    let list = "[[policy.source]]\nname = \"own\"\nfrom = \"DIR/own.txt\"\nformat = \"domains\"\n";
    for upstream in &both {
        let site = prepared(upstream, list);
        std::fs::write(site.path("own.txt"), "www.bogus.tree\nwww.rsa.tree\n").unwrap();
        let site = site.started();
        for name in ["www.bogus.tree", "www.rsa.tree", "alias.rsa.tree"] {
            for client in [Client::Plain, Client::Signed, Client::Unchecked] {
                let got = ask(site.address(), name, 1, client);
                assert_eq!(
                    (got.answers.len(), got.authentic, got.why),
                    (0, false, vec![15]),
                    "{name} {client:?}"
                );
            }
        }
    }

    // Trust that starts elsewhere ends at once, and trouble on the way is no forgery.
    let other = tree.path("other");
    std::fs::write(&other, tree.key("tree.").replace("tree. ", ". ")).unwrap();
    let site = resolver(&recursion(&tree, &format!("trust_anchor = \"{}\"", other.display())));
    assert_eq!(ask(site.address(), "www.rsa.tree", 1, Client::Plain).code, "Server Failure");
    let dead = format!("servers = [\"udp://127.0.0.1:9\"]\ndnssec = \"validate\"\n{anchors}");
    let got = ask(resolver(&dead).address(), "www.rsa.tree", 1, Client::Plain);
    assert_eq!((got.code.as_str(), got.why.as_slice()), ("Server Failure", &[23][..]));
}

/// Datagrams that went out in this namespace so far.
fn datagrams() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:")).map(|line| line.split(' '));
    let (mut names, mut values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.position(|name| name == "OutDatagrams").unwrap();
    values.nth(at).unwrap().parse().unwrap()
}

#[test]
fn one_question_makes_only_so_many() {
    in_namespaces(&["--net"], NETWORK, "attacks_inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn attacks_inside_the_tree() {
    let mut tree = Tree::grow();
    tree.unbound(UNBOUND, true);
    let site = resolver(&recursion(&tree, &format!("trust_anchor = \"{}\"", tree.path("anchors").display())));
    let unbound: SocketAddr = format!("127.0.0.1:{UNBOUND}").parse().unwrap();
    for server in [site.address(), unbound] {
        assert_eq!(ask(server, "www.unsigned.tree", 1, Client::Plain).code, "No Error");
    }
    for (name, most) in [("a.nxns.tree", 400), ("chain0.tree", 150), ("ring0.tree", 60)] {
        let mut sent = Vec::new();
        for server in [site.address(), unbound] {
            let before = datagrams();
            let got = ask(server, name, 1, Client::Plain);
            // Answers are datagrams too.
            sent.push(((datagrams() - before) / 2, got.code));
        }
        println!(
            "{name}: questions that one made, and what came of it: {:?}; Unbound: {:?}",
            sent[0], sent[1]
        );
        assert!(sent[0].0 <= most, "{name}: {sent:?}");
        assert_eq!(sent[0].1, "Server Failure", "{name}");
    }
    assert_eq!(
        ask(site.address(), "www.rsa.tree", 1, Client::Authentic).answers.len(),
        1,
        "others are served"
    );
}
