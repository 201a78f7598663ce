//! What a query was answered, in every form: blocked, fetched, kept, stale, failed, dropped, truncated, too long; one line a query, however many wait
//! for one answer; and lines held against their schemas.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use interdict::clock::Clock;
use serde_json::{Value, json};

use super::count;
use crate::support::operator::until;
use crate::support::{self, Site, Upstream, query};

/// A list of the operator's own with every kind of answer.
const LIST: &str =
    "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.rpz\"\nformat = \"rpz\"\nzone = \"rpz.example\"\n";
const ZONE: &str = "$TTL 60\n@ SOA ns. contact. 1 2 3 4 5\n@ NS ns.\ndropped.example CNAME rpz-drop.\nsunk.example A 192.0.2.99\n\
                    sent.example CNAME www.canada.ca.\ntcp.example CNAME rpz-tcp-only.\npassed.example CNAME rpz-passthru.\n\
                    32.66.2.0.192.rpz-ip CNAME www.canada.ca.\n";

/// The upstream of all suites, with aliases, answers that take a while, and an address that leads elsewhere.
fn upstream() -> Upstream {
    Upstream::scripted(|packet, tcp| {
        let mut answer = support::answer(packet, tcp)?;
        let has = |word: &[u8]| packet.windows(word.len()).any(|found| found.eq_ignore_ascii_case(word));
        if has(b"slow") {
            std::thread::sleep(Duration::from_millis(200));
        }
        if has(b"chain") {
            // CNAME www.CHAINED.example, and that one's address.
            let end = answer.len() - 16;
            answer.truncate(end);
            answer[7] = 2;
            answer.extend(b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x15\x03www\x07CHAINED\x07example\0");
            answer.extend(b"\x03www\x07chained\x07example\0\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x08");
        }
        if has(b"there") {
            let last = answer.len() - 1;
            answer[last] = 66;
        }
        Some(answer)
    })
}

/// A site that logs everything in every form, `json` into the file that it has anyway.
fn site(upstream: Upstream, sinks: &str, clock: Clock) -> Site {
    let site = Site::prepare_with(upstream, LIST, clock);
    std::fs::write(site.path("own.rpz"), ZONE).unwrap();
    let folder = site.folder.path().to_str().unwrap();
    let text = support::read(&site.config).replace("[querylog]\n", "[querylog]\nwhich = \"all\"\n");
    let text = text.replace("[upstream]\n", &format!("{}\n[upstream]\n", sinks.replace("$DIR", folder)));
    std::fs::write(&site.config, text).unwrap();
    site.started()
}

/// The lines of a file once the sink took so many, which must be all.
fn lines(site: &Site, sink: &str, file: &str, number: usize) -> Vec<Value> {
    until(10, "lines", || count(site, "records", sink) >= number as f64);
    // Time for one too many.
    std::thread::sleep(Duration::from_millis(100));
    let text = support::read(&site.path(file));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), count(site, "lost", sink)), (number, 0.0), "{text}");
    lines
}

/// What a line says of an answer: verdict, code, where from, flags, extended error, answers.
fn said(line: &Value) -> Value {
    let answers = line["answers"].as_array().map(|answers| {
        answers
            .iter()
            .map(|one| {
                format!(
                    "{} {} {}",
                    one["name"].as_str().or(line["name"].as_str()).unwrap(),
                    one["type"].as_str().unwrap(),
                    one["data"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    });
    json!([
        line["verdict"],
        line["rcode"],
        line["answered_from"],
        line["flags"],
        line["extended_error"],
        answers
    ])
}

/// Asks, and gives the line that was written of it.
fn told(site: &Site, asked: &mut usize, packet: &[u8], tcp: bool) -> Value {
    if tcp { site.tcp(packet) } else { site.udp(packet) }.expect("a reply");
    *asked += 1;
    lines(site, "file", "queries.jsonl", *asked).pop().unwrap()
}

#[test]
fn each_answer_is_told_with_its_code_and_where_it_comes_from() {
    let site = site(upstream(), "", Clock::system());
    let plain = json!(["RD", "RA"]);
    let address = "www.canada.ca A 192.0.2.7";
    let (mut asked, mut wrong) = (0, Vec::new());
    for (name, record_type, expected) in [
        ("www.wechat.com", 1, json!(["blocked", "NXDOMAIN", "policy", plain, 15, []])),
        ("sunk.example", 1, json!(["blocked", "NOERROR", "policy", plain, 4, ["sunk.example A 192.0.2.99"]])),
        ("www.canada.ca", 1, json!(["allowed", "NOERROR", "upstream", plain, null, [address]])),
        ("www.canada.ca", 1, json!(["allowed", "NOERROR", "cache", plain, null, [address]])),
        (
            "chain.example",
            1,
            json!([
                "allowed",
                "NOERROR",
                "upstream",
                plain,
                null,
                ["chain.example CNAME www.chained.example", "www.chained.example A 192.0.2.8"]
            ]),
        ),
        ("cloaked.example", 1, json!(["blocked", "NOERROR", "policy", plain, null, []])),
        ("nxdomain.example", 1, json!(["allowed", "NXDOMAIN", "upstream", plain, null, []])),
        ("broken4.example", 1, json!(["allowed", "SERVFAIL", "upstream", plain, null, []])),
        ("silent.example", 1, json!(["allowed", "SERVFAIL", "resolver", plain, 22, []])),
        (
            "passed.example",
            1,
            json!(["permitted", "NOERROR", "upstream", plain, null, ["passed.example A 192.0.2.7"]]),
        ),
        (
            "www.canada.ca",
            255,
            json!(["allowed", "NOERROR", "resolver", plain, null, ["www.canada.ca HINFO \"RFC8482\" \"\""]]),
        ),
        (
            "sent.example",
            1,
            json!([
                "blocked",
                "NOERROR",
                "policy",
                plain,
                null,
                ["sent.example CNAME www.canada.ca", address]
            ]),
        ),
        (
            "there.example",
            1,
            json!([
                "blocked",
                "NOERROR",
                "policy",
                plain,
                null,
                ["there.example CNAME www.canada.ca", address]
            ]),
        ),
        ("large.example", 1, json!(["allowed", "NOERROR", "upstream", ["TC", "RD", "RA"], null, []])),
        ("tcp.example", 1, json!(["blocked", "NOERROR", "policy", ["TC", "RD", "RA"], null, []])),
    ] {
        let line = told(&site, &mut asked, &query(7, 0x0100, name, record_type, Some(1232)), false);
        assert_eq!(line["name"], name);
        let mut found = said(&line);
        // Which error a chain or an upstream's silence has is others' tests' matter.
        if expected[4].is_null() && matches!(name, "cloaked.example" | "broken4.example") {
            found[4] = Value::Null;
        }
        if found != expected {
            wrong.push(format!("{name}: {found}, not {expected}"));
        }
        assert!(line.get("answers_cut").is_none(), "{line}");
        match line["answered_from"].as_str() {
            Some("upstream") => assert!(line["took_us"].as_u64().unwrap() > 0, "{line}"),
            Some("cache") => assert!(line.get("took_us").is_none(), "{line}"),
            _ => {}
        }
        assert_eq!(line.get("app").is_none(), line["verdict"] == "allowed", "{line}");
    }
    assert_eq!(wrong, Vec::<String>::new());
    // Over a connection a reply of any size is whole; 512 bytes of it are told.
    let line = told(&site, &mut asked, &query(7, 0x0100, "large.example", 1, Some(1232)), true);
    assert_eq!((&line["answers_cut"], &line["answered_from"]), (&true.into(), &"cache".into()));
    assert_eq!(line["answers"].as_array().unwrap().len(), (512 - 12 - 19) / 16);
    let line = told(&site, &mut asked, &query(7, 0x0100, "tcp.example", 1, None), true);
    assert_eq!((&line["rcode"], &line["answered_from"]), (&"NOERROR".into(), &"upstream".into()));
    // No EDNS, no extended error.
    let line = told(&site, &mut asked, &query(7, 0x0100, "www.wechat.com", 1, None), false);
    assert_eq!(said(&line), json!(["blocked", "NXDOMAIN", "policy", plain, null, []]));
    // What gets no reply has none in the log.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&query(7, 0x0100, "dropped.example", 1, None), site.address()).unwrap();
    let dropped = lines(&site, "file", "queries.jsonl", asked + 1).pop().unwrap();
    assert_eq!(
        (&dropped["action"], said(&dropped)),
        (&"drop".into(), json!(["blocked", null, null, null, null, null]))
    );
}

#[test]
fn the_upstream_that_answered_is_named() {
    let refusing = Upstream::scripted(|packet, tcp| {
        let mut answer = support::answer(packet, tcp)?;
        answer[3] = answer[3] & 0xF0 | 2;
        Some(answer)
    });
    let site = Site::prepare_with(upstream(), "", Clock::system());
    let [bad, good] = [&refusing, &site.upstream].map(|upstream| format!("udp://{}", upstream.address));
    let servers = format!("servers = [\"{bad}\", \"{good}\"]");
    let own = format!("servers = [\"udp://{}\"]", site.upstream.address);
    let text = support::read(&site.config).replace(&own, &servers);
    std::fs::write(&site.config, text.replace("[querylog]\n", "[querylog]\nwhich = \"all\"\n")).unwrap();
    let site = site.started();
    let mut asked = 0;
    let mut by = |name: &str| {
        let line = told(&site, &mut asked, &query(7, 0x0100, name, 1, Some(1232)), false);
        line["upstream"].as_str().map(str::to_owned)
    };
    // Whoever was asked first.
    for number in 0..10 {
        assert_eq!(by(&format!("{number}.example")), Some(good.clone()));
    }
    assert_eq!(by("0.example"), None, "it is kept");
    assert_eq!(by("cloaked.example"), None, "the policy's answer");
    let failed = by("broken4.example").unwrap();
    assert!([&bad, &good].contains(&&failed), "one of those that failed: {failed}");
    // What operators know it by.
    for upstream in [bad, good] {
        assert!(site.metric(&format!("interdict_upstream_queries_total{{upstream=\"{upstream}\"}}")) >= 1.0);
    }
}

#[test]
fn many_who_wait_for_one_answer_have_a_line_each() {
    let site = site(upstream(), "", Clock::system());
    let sockets: Vec<_> = (0..20).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (id, socket) in (100..).zip(&sockets) {
        socket.send_to(&query(id, 0x0100, "slow.example", 1, None), site.address()).unwrap();
    }
    for line in lines(&site, "file", "queries.jsonl", 20) {
        let expected =
            json!(["allowed", "NOERROR", "upstream", ["RD", "RA"], null, ["slow.example A 192.0.2.7"]]);
        assert_eq!(said(&line), expected);
    }
    assert!(site.metric("interdict_coalesced_queries_total") >= 10.0);
    // And none for what nobody asked.
    assert_eq!(lines(&site, "file", "queries.jsonl", 20).len(), 20);
}

#[test]
fn a_stale_answer_says_that_it_is() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let upstream = Upstream::scripted(move |packet, tcp| {
        let mut answer = support::answer(packet, tcp)?;
        if failing.load(Ordering::Relaxed) {
            answer[3] = answer[3] & 0xF0 | 2;
        }
        Some(answer)
    });
    let site = site(upstream, "", Clock::manual("2026-01-01T00:00:00Z".parse().unwrap()));
    let mut asked = 0;
    let packet = query(7, 0x0100, "www.canada.ca", 1, Some(1232));
    assert_eq!(told(&site, &mut asked, &packet, false)["answered_from"], "upstream");
    fails.store(true, Ordering::Relaxed);
    site.clock.advance(Duration::from_secs(400));
    let line = told(&site, &mut asked, &packet, false);
    assert_eq!(
        said(&line),
        json!(["allowed", "NOERROR", "stale", ["RD", "RA"], 3, ["www.canada.ca A 192.0.2.7"]])
    );
    assert_eq!(line["answers"], json!([{"type": "A", "ttl": 30, "data": "192.0.2.7"}]));
}

/// Holds a log against a schema; says so and does nothing without the validator.
fn validate(schema: &str, log: &Path, number: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/jsonschema/bin/python");
    if !python.exists() {
        return eprintln!("skipped: tests/run makes the environment of jsonschema");
    }
    let output = Command::new(python)
        .arg(root.join("tests/querylog/validate.py"))
        .args([root.join(schema).as_path(), log])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim() == number.to_string(), "{schema}: {said}");
}

#[test]
fn lines_of_every_form_hold_to_their_schemas() {
    let forms = ["json", "ecs", "ocsf"];
    let clients = ["full", "none", "prefix", "hmac"];
    let sinks = forms.iter().flat_map(|form| {
        clients.map(|clients| {
            let name = format!("{form}-{clients}");
            // One of each form without answers.
            let answers = clients != "hmac";
            format!(
                "[[querylog.sink]]\nname = \"{name}\"\nto = \"file:$DIR/{name}\"\nform = \"{form}\"\nclients = \"{clients}\"\nanswers = {answers}\n"
            )
        })
    });
    let site = site(upstream(), &sinks.collect::<String>(), Clock::system());
    let names = [
        "www.wechat.com",
        "sunk.example",
        "www.canada.ca",
        "chain.example",
        "cloaked.example",
        "nxdomain.example",
        "broken4.example",
        "silent.example",
        "passed.example",
        "sent.example",
        "large.example",
    ];
    for name in names {
        for record_type in [1, 28, 255, 65] {
            site.udp(&query(7, 0x0100, name, record_type, Some(1232))).expect("a reply");
        }
    }
    site.tcp(&query(9, 0x0110, "large.example", 1, Some(1232))).expect("a reply");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&query(7, 0x0100, "dropped.example", 1, None), site.address()).unwrap();
    let number = names.len() * 4 + 2;
    let upstream = format!("udp://{}", site.upstream.address);
    for form in forms {
        let schema = match form {
            "json" => "deploy/querylog.schema.json".to_owned(),
            form => format!("tests/querylog/{form}.schema.json"),
        };
        for clients in clients {
            let name = format!("{form}-{clients}");
            let lines = lines(&site, &name, &name, number);
            validate(&schema, &site.path(&name), number);
            let text = support::read(&site.path(&name)).replace(&upstream, "");
            assert_eq!(text.contains("127.0.0.1"), clients == "full", "{name}");
            assert_eq!(text.contains("192.0.2.7"), clients != "hmac", "{name}: answers");
            assert_eq!(
                lines.iter().filter(|line| line.to_string().contains("NXDOMAIN")).count() >= 4,
                form != "ocsf"
            );
        }
    }
    let find = |form: &str, name: &str| {
        let lines = lines(&site, &format!("{form}-full"), &format!("{form}-full"), number);
        lines.into_iter().find(|line| line.to_string().contains(&format!("\"{name}\""))).unwrap()
    };
    let chain = find("ecs", "chain.example");
    assert_eq!(
        chain["dns"],
        json!({
            "type": "answer", "id": "7", "op_code": "QUERY", "response_code": "NOERROR", "header_flags": ["RD", "RA"],
            "question": {"name": "chain.example", "type": "A", "class": "IN"},
            "answers": [
                {"name": "chain.example", "type": "CNAME", "class": "IN", "ttl": 60, "data": "www.chained.example"},
                {"name": "www.chained.example", "type": "A", "class": "IN", "ttl": 30, "data": "192.0.2.8"},
            ],
            "resolved_ip": ["192.0.2.8"],
        })
    );
    let labels = &chain["labels"];
    assert_eq!((&labels["answered_from"], &labels["upstream"]), (&"upstream".into(), &(&*upstream).into()));
    let dropped = find("ecs", "dropped.example");
    assert_eq!((&dropped["dns"]["type"], dropped["dns"].get("response_code")), (&"query".into(), None));
    let chain = find("ocsf", "chain.example");
    assert_eq!(
        (&chain["activity_id"], &chain["type_uid"], &chain["rcode_id"]),
        (&6.into(), &400_306.into(), &0.into())
    );
    assert_eq!(chain["unmapped"]["upstream"], *upstream);
    assert_eq!(
        chain["answers"][0],
        json!({"type": "CNAME", "class": "IN", "ttl": 60, "rdata": "www.chained.example", "flag_ids": [3, 4]})
    );
    let blocked = find("ocsf", "www.wechat.com");
    assert_eq!(
        (&blocked["rcode_id"], &blocked["rcode"], &blocked["answers"]),
        (&3.into(), &"NXDomain".into(), &json!([]))
    );
    assert_eq!(find("ocsf", "dropped.example")["activity_name"], "Query");
}
