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

/// A resolver that recurses in the tree and validates, one that validates and forwards to an Unbound that does not, and the Unbound that both are
/// compared with.
fn compared(tree: &mut Tree) -> (Site, Site, SocketAddr) {
    tree.unbound(UNBOUND, true);
    tree.unbound(PLAIN_UNBOUND, false);
    let anchors = format!("trust_anchor = \"{}\"", tree.path("anchors").display());
    let recursive = resolver(&recursion(tree, &anchors));
    let forwarding = resolver(&format!(
        "servers = [\"udp://127.0.0.1:{PLAIN_UNBOUND}\"]\ndnssec = \"validate\"\n{anchors}"
    ));
    let unbound: SocketAddr = format!("127.0.0.1:{UNBOUND}").parse().unwrap();
    (recursive, forwarding, unbound)
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
    let (recursive, forwarding, unbound) = compared(&mut tree);
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
        ("www.stolen.tree", 9),
        ("www.keyless.tree", 9),
        ("www.expired.tree", 7),
        ("www.future.tree", 8),
        ("www.missing.tree", 10),
        ("www.bare.tree", 10),
        ("nothing.unproved.tree", 10),
        ("nothing.gap.tree", 12),
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
        assert!(page.contains("interdict_dnssec_answers_total{result=\"bogus\"} 9\n"), "{page}");
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
    let list = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";
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

/// Where the reason that a client gets is another than Unbound's: the end of the question's name, this resolver's code, Unbound's (0 for
/// none), and why.
const OTHER_REASONS: &[(&str, u16, u16, &str)] = &[(
    "stolen.tree",
    9,
    6,
    "the first question gets 9 from both; of a zone whose keys it has found wrong before, Unbound 1.17 remembers that it is bogus and \
     not why",
)];

#[test]
fn the_reasons_for_failures_are_those_of_unbound() {
    in_namespaces(&["--net"], NETWORK, "reasons_inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn reasons_inside_the_tree() {
    let mut tree = Tree::grow();
    let (recursive, forwarding, unbound) = compared(&mut tree);
    let (mut unexplained, mut explained, mut failures) = (Vec::new(), BTreeMap::new(), 0);
    for zone in tree::zones() {
        for (label, kind) in QUESTIONS {
            let name = format!("{label}.{zone}.tree");
            let name = name.trim_start_matches('.');
            let expected = ask(unbound, name, *kind, Client::Plain);
            for (who, site) in [("recursing", &recursive), ("forwarding", &forwarding)] {
                let got = ask(site.address(), name, *kind, Client::Plain);
                failures += usize::from(!got.why.is_empty());
                let code = |got: &Got| got.why.first().copied().unwrap_or(0);
                if code(&got) == code(&expected) {
                    continue;
                }
                let alike = |(end, own, other, _): &&(&str, u16, u16, &str)| {
                    name.ends_with(end) && (*own, *other) == (code(&got), code(&expected))
                };
                match OTHER_REASONS.iter().find(alike) {
                    Some((end, ..)) => *explained.entry(*end).or_insert(0) += 1,
                    None => unexplained.push(format!("{who} {name} {kind}: {got:?}, Unbound {expected:?}")),
                }
            }
        }
    }
    println!("{failures} failures with a reason; other than Unbound's and explained: {explained:?}");
    assert_eq!(unexplained, Vec::<String>::new());
    assert!(OTHER_REASONS.iter().all(|(end, ..)| explained.contains_key(end)), "what is explained occurs");
}

/// The value of a metric, with its labels as the page writes them.
fn metric(site: &Site, name: &str) -> u64 {
    let page = site.http("GET", "/metrics", None).1;
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0)
}

fn synthesised(site: &Site) -> u64 {
    ["nodata", "nxdomain", "wildcard"]
        .map(|result| {
            metric(site, &format!("interdict_dnssec_synthesised_answers_total{{result=\"{result}\"}}"))
        })
        .iter()
        .sum()
}

#[test]
fn what_is_made_of_proofs_is_what_unbound_finds() {
    in_namespaces(&["--net"], NETWORK, "proofs_inside_the_tree");
}

#[test]
fn the_roots_keys_are_followed_when_they_roll() {
    in_namespaces(&["--net"], NETWORK, "rollover_inside_the_tree");
}

/// The states of the root's keys, those that were configured first.
fn anchors_of(site: &Site) -> Vec<String> {
    let status: serde_json::Value =
        serde_json::from_str(&site.http("GET", "/api/v1/status", None).1).unwrap();
    let all = status["trust_anchors"].as_array().unwrap();
    all.iter().map(|anchor| anchor["state"].as_str().unwrap().to_owned()).collect()
}

fn await_anchors(site: &Site, states: &[&str]) {
    for _ in 0..300 {
        if anchors_of(site) == states {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{:?} instead of {states:?}\n{}", anchors_of(site), site.http("GET", "/metrics", None).1);
}

#[test]
#[ignore = "run in a namespace by another test"]
fn rollover_inside_the_tree() {
    let mut tree = Tree::grow();
    tree.unbound(PLAIN_UNBOUND, false);
    let trust =
        format!("trust_anchor = \"{}\"\ntrust_anchor_hold_down = \"4s\"\n", tree.path("anchors").display());
    let forwarding =
        format!("servers = [\"udp://127.0.0.1:{PLAIN_UNBOUND}\"]\ndnssec = \"validate\"\n{trust}");
    let mut sites = [resolver(&recursion(&tree, &trust)), resolver(&forwarding)];
    let mut number = 0;
    let mut is_secure = |site: &Site| {
        number += 1;
        let got = ask(site.address(), &format!("n{number}.wild.rsa.tree"), 1, Client::Authentic);
        (got.code == "No Error", got.authentic)
    };
    for site in &sites {
        await_anchors(site, &["valid"]);
        assert_eq!(is_secure(site), (true, true));
    }
    tree.add_root_key();
    let began = std::time::Instant::now();
    for site in &sites {
        await_anchors(site, &["valid", "add_pend"]);
    }
    for site in &sites {
        await_anchors(site, &["valid", "valid"]);
        assert!(began.elapsed() >= Duration::from_secs(4), "before its time: {:?}", began.elapsed());
        assert_eq!(metric(site, "interdict_trust_anchors{state=\"valid\"}"), 2);
    }
    tree.revoke_root_key();
    for site in &sites {
        await_anchors(site, &["revoked", "valid"]);
        assert_eq!(is_secure(site), (true, true), "by the new key");
    }
    tree.remove_revoked_key();
    for site in &mut sites {
        await_anchors(site, &["removed", "valid"]);
        assert_eq!(is_secure(site), (true, true));
        // An operator sees it; nothing is wrong.
        let page = site.http("GET", "/api/v1/status", None).1;
        assert!(!page.contains("root key"), "{page}");
        let asks = site.path("asks.toml");
        std::fs::write(&asks, format!("[admin]\nlisten = \"{}\"\n", site.running.as_ref().unwrap().admin))
            .unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_interdict"))
            .args(["-c", asks.to_str().unwrap(), "status"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("root key ")).collect();
        assert!(
            lines.len() == 2 && lines[0].contains(" removed since ") && lines[1].contains(" valid since "),
            "{said}"
        );
        // A restart knows what was learned, though only the old key is configured.
        site.stop();
    }
    for site in sites {
        let mut site = site.started();
        assert_eq!(anchors_of(&site), ["removed", "valid"]);
        assert_eq!(is_secure(&site), (true, true));
        site.stop();
        std::fs::remove_file(site.path("state/root-keys")).unwrap();
        std::fs::remove_file(site.path("state/answers")).unwrap();
        let site = site.started();
        assert_eq!(is_secure(&site), (false, false), "trust starts at a key that is gone");
    }
}

/// What the Unbound that does not validate answers.
fn passed_on(question: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.connect(("127.0.0.1", PLAIN_UNBOUND)).unwrap();
    socket.send(question).unwrap();
    let mut reply = vec![0; 4096];
    let length = socket.recv(&mut reply).ok()?;
    reply.truncate(length);
    Some(reply)
}

/// Where a question ends in its query.
fn question_end(query: &[u8]) -> Option<usize> {
    Some(12 + query[12..].iter().position(|byte| *byte == 0)? + 5)
}

/// Passes questions about keys on, or all others, and fails with the rest.
fn passing(query: &[u8], keys: bool) -> Option<Vec<u8>> {
    let end = question_end(query)?;
    let is_about_keys = matches!(query[end - 4..end - 2], [0, 43 | 48]);
    if is_about_keys == keys {
        return passed_on(query);
    }
    Some([&query[..2], &[0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0], &query[12..end]].concat())
}

/// Passes questions on to the Unbound that does not validate, but for some, of which it lies.
fn lying(question: &[u8]) -> Option<Vec<u8>> {
    let end = question_end(question)?;
    let name = question[12..end].to_ascii_lowercase();
    let is_address = question[end - 4..end - 2] == [0, 1];
    let real = || passed_on(question);
    let told = |code: u8, authority: Option<&[u8]>| {
        let mut out =
            [&question[..2], &[0x81, 0x80 | code, 0, 1, 0, 0, 0, u8::from(authority.is_some()), 0, 0]]
                .concat();
        out.extend_from_slice(&question[12..end]);
        if let Some(owner) = authority {
            // An SOA record of somebody else, whose zone is not signed.
            out.extend_from_slice(owner);
            out.extend_from_slice(&[0, 6, 0, 1, 0, 0, 1, 44, 0, 22, 0, 0]);
            out.extend_from_slice(&[0, 0, 1, 0].repeat(5));
        }
        out
    };
    let is = |label: &[u8]| is_address && name.starts_with(&[&[label.len() as u8], label].concat());
    if is(b"www") {
        return Some(told(3, Some(b"\x08unsigned\x04tree\0")));
    }
    if is(b"text") {
        return Some(told(3, None));
    }
    if is(b"alias") || is(b"lost") {
        // Its alias is real; what stands behind it is cut off, and the rest denied without a proof.
        let mut message = Message::from_vec(&real()?).unwrap();
        message.answers.retain(|record| {
            record.name.to_lowercase().to_string().starts_with(if is(b"alias") { "alias" } else { "lost" })
        });
        message.authorities.clear();
        message.additionals.clear();
        message.metadata.response_code = 3.into();
        return message.to_vec().ok();
    }
    real()
}

#[test]
fn what_an_upstream_makes_up_is_not_passed_on() {
    in_namespaces(&["--net"], NETWORK, "lies_inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn lies_inside_the_tree() {
    let mut tree = Tree::grow();
    tree.unbound(PLAIN_UNBOUND, false);
    let liar = support::Upstream::scripted(|question, _| lying(question));
    let site = resolver(&format!(
        "servers = [\"udp://{}\"]\ndnssec = \"validate\"\ntrust_anchor = \"{}\"",
        liar.address,
        tree.path("anchors").display()
    ));
    for zone in ["ecdsa", "ed25519", "nsec3"] {
        let got = |label: &str| ask(site.address(), &format!("{label}.{zone}.tree"), 1, Client::Authentic);
        assert_eq!(got("www").code, "Server Failure", "{zone}: by a zone that has nothing to do with it");
        assert_eq!(got("text").code, "Server Failure", "{zone}: by nobody");
        // Where the alias leads is asked for, and lied about.
        assert_eq!(got("alias").code, "Server Failure", "{zone}");
        // Or denied with its proof.
        let lost = got("lost");
        assert_eq!(
            (lost.code.as_str(), lost.authentic, lost.answers.len()),
            ("Non-Existent Domain", true, 1),
            "{zone}"
        );
    }
    // A zone without keys may be lied about.
    assert_eq!(ask(site.address(), "text.unsigned.tree", 1, Client::Plain).code, "Non-Existent Domain");
}

#[test]
fn the_log_names_who_gave_an_answer_that_was_validated() {
    in_namespaces(&["--net"], NETWORK, "answerers_inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn answerers_inside_the_tree() {
    let mut tree = Tree::grow();
    tree.unbound(PLAIN_UNBOUND, false);
    let anchors = format!("trust_anchor = \"{}\"", tree.path("anchors").display());
    let logged = |upstream: &str| {
        let site = prepared(upstream, "");
        let text = support::read(&site.config).replace("[querylog]\n", "[querylog]\nwhich = \"all\"\n");
        std::fs::write(&site.config, text).unwrap();
        site.started()
    };
    let recursive = logged(&recursion(&tree, &anchors));
    // Who answers is not who says what is to be believed.
    let (keys, others) = (
        support::Upstream::scripted(|query, _| passing(query, true)),
        support::Upstream::scripted(|query, _| passing(query, false)),
    );
    let upstream = format!("udp://{}", others.address);
    let servers = format!("servers = [\"udp://{}\", \"{upstream}\"]", keys.address);
    let forwarding = logged(&format!("{servers}\ndnssec = \"validate\"\n{anchors}"));
    for (site, expected) in [(&forwarding, Some(&*upstream)), (&recursive, None)] {
        // Secure, without a chain of trust, elsewhere, and not at all.
        let names = ["www.ecdsa.tree", "text.unsigned.tree", "alias.nsec3.tree", "lost.ed25519.tree"];
        for name in names {
            ask(site.address(), name, 1, Client::Plain);
        }
        let written = || metric(site, "interdict_querylog_records_total{sink=\"file\"}");
        support::operator::until(10, "lines", || written() >= names.len() as u64);
        let text = support::read(&site.path("queries.jsonl"));
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for name in names {
            let line = lines.iter().find(|line| line["name"] == name).unwrap();
            assert_eq!(
                (&line["answered_from"], line["upstream"].as_str()),
                (&"upstream".into(), expected),
                "{line}"
            );
        }
    }
}

/// Names about those of the zones: beside them, below them, in their gaps.
#[test]
#[ignore = "run in a namespace by another test"]
fn proofs_inside_the_tree() {
    const LABELS: &[&str] = &[
        "www", "alias", "lost", "wild", "empty", "deep", "sub", "ns", "new", "old", "host", "text", "a", "m",
        "z",
    ];
    // No asterisk among the labels: Unbound takes such a name that a wildcard answered for bogus. Not CNAME: below a DNAME, Unbound answers such a question with the code of where it leads, and BIND does not.
    const KINDS: &[u16] = &[1, 28, 16, 15, 43, 2, 52, 65];
    let mut tree = Tree::grow();
    let (recursive, forwarding, unbound) = compared(&mut tree);
    let (mut asked, mut wrong) = (0, Vec::new());
    for zone in ["rsa", "ed25519", "nsec3", "optout", "unsigned"] {
        for number in 0..600 {
            let label = || match fastrand::u8(..3) {
                0 => format!("x{}", fastrand::u16(..)),
                _ => LABELS[fastrand::usize(..LABELS.len())].to_owned(),
            };
            let labels: Vec<String> = (0..fastrand::usize(1..4)).map(|_| label()).collect();
            let name = format!("{}.{zone}.tree", labels.join("."));
            let kind = KINDS[fastrand::usize(..KINDS.len())];
            let client = [Client::Plain, Client::Authentic, Client::Signed][number % 3];
            let expected = ask(unbound, &name, kind, client);
            for (who, site) in [("recursing", &recursive), ("forwarding", &forwarding)] {
                let got = ask(site.address(), &name, kind, client);
                asked += 1;
                if (&got.code, &got.answers, got.authentic)
                    != (&expected.code, &expected.answers, expected.authentic)
                {
                    wrong.push(format!("{who} {name} {kind} {client:?}: {got:?}\n   Unbound {expected:?}"));
                }
            }
        }
    }
    let made = [synthesised(&recursive), synthesised(&forwarding)];
    println!("{asked} answers compared, {made:?} of them made of proofs");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(made.iter().all(|made| *made > 500), "{made:?}");
}

#[test]
fn a_flood_of_names_that_do_not_exist_costs_a_question_for_each_gap() {
    in_namespaces(&["--net"], NETWORK, "flood_inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn flood_inside_the_tree() {
    const FLOOD: u64 = 2000;
    let mut tree = Tree::grow();
    tree.unbound(PLAIN_UNBOUND, false);
    let anchors = format!("trust_anchor = \"{}\"\n", tree.path("anchors").display());
    let forwarding =
        format!("servers = [\"udp://127.0.0.1:{PLAIN_UNBOUND}\"]\ndnssec = \"validate\"\n{anchors}");
    let upstream =
        format!("interdict_upstream_queries_total{{upstream=\"udp://127.0.0.1:{PLAIN_UNBOUND}\"}}");
    let more = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n\
                [[upstream.route]]\nzone = \"inside.rsa.tree\"\nservers = [\"udp://127.0.0.11\"]\n\
                [[upstream.negative_trust_anchor]]\nzone = \"borne.rsa.tree\"\nuntil = \"2100-01-01\"\n";
    for (zone, extra, is_recursive) in [
        ("rsa", "", false),
        ("nsec3", "", false),
        ("rsa", "", true),
        ("nsec3", "", true),
        ("rsa", "aggressive_nsec = false\n", false),
    ] {
        let settings = if is_recursive { recursion(&tree, &anchors) } else { format!("{forwarding}{extra}") };
        let site = prepared(&settings, more);
        std::fs::write(site.path("own.txt"), "*.banned.rsa.tree\n*.banned.nsec3.tree\n").unwrap();
        let site = site.started();
        assert_eq!(ask(site.address(), &format!("www.{zone}.tree"), 1, Client::Plain).code, "No Error");
        let before = if is_recursive { datagrams() } else { metric(&site, &upstream) };
        for number in 0..FLOOD {
            let name = format!("{}{number}y{}.{zone}.tree", fastrand::lowercase(), fastrand::u32(..));
            let got = ask(site.address(), &name, 1, Client::Authentic);
            assert_eq!((got.code.as_str(), got.authentic), ("Non-Existent Domain", true), "{name}");
        }
        let made = synthesised(&site);
        let questions = if is_recursive {
            // What the client sends and gets, and what the servers send back, is counted too.
            (datagrams() - before - 2 * FLOOD) / 2
        } else {
            metric(&site, &upstream) - before
        };
        println!(
            "{zone} {extra:?} recursive {is_recursive}: {FLOOD} names, {questions} questions upstream, {made} made of proofs"
        );
        if extra.is_empty() {
            assert!(questions <= 60 && made >= FLOOD - 40, "{zone}: {questions} questions, {made} made");
        } else {
            assert!(questions >= FLOOD && made == 0, "{questions} questions, {made} made");
            continue;
        }
        // A ban stands before any proof, and where somebody else answers, or nobody is checked, none is used.
        let banned = ask(site.address(), &format!("a.banned.{zone}.tree"), 1, Client::Authentic);
        assert_eq!((banned.authentic, banned.why), (false, vec![15]));
        let before = synthesised(&site);
        for name in ["a.inside.rsa.tree", "b.inside.rsa.tree", "a.borne.rsa.tree", "b.borne.rsa.tree"] {
            let got = ask(site.address(), name, 1, Client::Authentic);
            assert_eq!((got.code.as_str(), got.authentic), ("Non-Existent Domain", false), "{name}");
        }
        assert_eq!(
            ask(site.address(), &format!("q1.{zone}.tree"), 1, Client::Unchecked).code,
            "Non-Existent Domain"
        );
        assert_eq!(synthesised(&site), before);
    }
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

/// Time that a process had from the processor so far.
fn worked(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let words: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| words[at].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Asks once; false when no answer comes in three seconds.
fn is_answered(server: SocketAddr, name: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.connect(server).unwrap();
    socket.send(&query(7, 0x0100, name, 1, Some(1232))).unwrap();
    socket.recv(&mut [0; 4096]).is_ok()
}

/// What an innocent client sees of a name that is kept, while `attack` runs: how long an answer takes, and how many were lost.
fn innocent(server: SocketAddr, attack: impl FnOnce()) -> (Vec<Duration>, usize) {
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = std::sync::Arc::clone(&over);
    let client = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.connect(server).unwrap();
        let (mut times, mut lost, mut buffer) = (Vec::new(), 0, [0; 4096]);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let began = std::time::Instant::now();
            socket.send(&query(9, 0x0100, "www.rsa.tree", 1, Some(1232))).unwrap();
            match socket.recv(&mut buffer) {
                Ok(_) => times.push(began.elapsed()),
                Err(_) => lost += 1,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        (times, lost)
    });
    attack();
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let (mut times, lost) = client.join().unwrap();
    times.sort();
    (times, lost)
}

/// The name of a question by its number.
type Named = Box<dyn Fn(usize) -> String>;

#[test]
fn attackers_zones_cost_little() {
    in_namespaces(&["--net"], NETWORK, "attackers_inside_the_tree");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn attackers_inside_the_tree() {
    const QUESTIONS: usize = 120;
    let mut tree = Tree::grow_with_attackers();
    let (recursive, forwarding, unbound) = compared(&mut tree);
    let (own, other) = (std::process::id(), tree.last_process());
    let deep = "a.".repeat(100);
    let attacks: [(&str, Named); 6] = [
        ("none", Box::new(|at| format!("www{at}.wild.rsa.tree"))),
        ("keytrap", Box::new(|at| format!("www{}.keytrap.tree", at % 40))),
        ("sigflood", Box::new(|at| format!("www{}.sigflood.tree", at % 40))),
        ("iterations", Box::new(move |at| format!("{deep}x{at}.iterations.tree"))),
        ("nxns", Box::new(|at| format!("a{at}.nxns.tree"))),
        ("chain", Box::new(|at| format!("chain{}.tree", at % 90))),
    ];
    println!("| attack | who | CPU a question | questions it made | longest | innocent p50 | p99 | lost |");
    for (attack, name) in &attacks {
        for (who, server, process) in [
            ("recursing", recursive.address(), own),
            ("forwarding", forwarding.address(), own),
            ("Unbound", unbound, other),
        ] {
            ask(server, "www.rsa.tree", 1, Client::Plain);
            let (before, sent) = (worked(process), datagrams());
            let (mut longest, mut unanswered, mut asked) = (Duration::ZERO, 0, 0);
            let (times, lost) = innocent(server, || {
                // Who does not answer four is given up.
                while asked < QUESTIONS && unanswered < 4 {
                    let began = std::time::Instant::now();
                    unanswered += usize::from(!is_answered(server, &name(asked)));
                    longest = longest.max(began.elapsed());
                    asked += 1;
                }
            });
            let made = ((datagrams() - sent) / 2).saturating_sub((times.len() + lost + asked) as u64);
            // The innocent client and the attacker run in this process too.
            let cost = (worked(process) - before) / asked as u32;
            let at = |share: usize| times[times.len() * share / 100];
            println!(
                "| {attack} | {who} | {cost:?} | {:.1} | {longest:?}, {unanswered} without | {:?} | {:?} | {lost} |",
                made as f64 / asked as f64,
                at(50),
                at(99)
            );
            if who != "Unbound" {
                assert!(cost < Duration::from_millis(60), "{attack} {who}: {cost:?}");
                assert!(made < 60 * QUESTIONS as u64, "{attack} {who}: {made} questions");
                assert_eq!(unanswered, 0, "{attack} {who}");
                assert!(
                    lost == 0 && at(99) < Duration::from_millis(100),
                    "{attack} {who}: {:?} {lost}",
                    at(99)
                );
            }
        }
    }
}
