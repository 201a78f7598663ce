//! The query log where others read it: syslog collectors, dnstap readers, schemas; and what becomes of it when they are gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may read any file"
)]
#![allow(dead_code, reason = "shares files with other suites")]

#[path = "querylog/answers.rs"]
mod answers;
#[path = "querylog/encrypted.rs"]
mod encrypted;
#[path = "querylog/journal.rs"]
mod journal;
#[path = "support/lists.rs"]
mod lists;
#[path = "querylog/search.rs"]
mod search;
mod support;

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use interdict::clock::Clock;
use serde_json::Value;
use support::operator::until;
use support::{Program, Site, free_port};

/// A site with these sinks beside its file.
fn site(sinks: &str) -> Site {
    started(Site::prepare("", Clock::system()), sinks)
}

/// A prepared site, started with these sinks.
fn started(site: Site, sinks: &str) -> Site {
    let text = support::read(&site.config);
    let folder = site.folder.path().to_str().unwrap();
    let sinks = sinks.replace("$DIR", folder);
    std::fs::write(&site.config, text.replace("[upstream]\n", &format!("{sinks}\n[upstream]\n"))).unwrap();
    site.started()
}

fn count(site: &Site, metric: &str, sink: &str) -> f64 {
    site.metric(&format!("interdict_querylog_{metric}_total{{sink=\"{sink}\"}}"))
}

#[test]
fn each_form_says_what_its_schema_wants() {
    let sink = |form: &str| {
        format!(
            "[[querylog.sink]]\nname = \"{form}\"\nto = \"file:$DIR/{form}\"\nform = \"{form}\"\nwhich = \"all\"\n"
        )
    };
    let site = site(&format!("{}{}", sink("ecs"), sink("ocsf")));
    site.ask("www.wechat.com", 28);
    site.ask("www.canada.ca", 1);
    for form in ["ecs", "ocsf"] {
        until(10, "a line", || count(&site, "records", form) >= 2.0);
    }
    assert_eq!(count(&site, "records", "file"), 1.0, "blocked alone");
    // Each worker's lines are in order; whose come first is chance.
    let lines = |name: &str| -> Vec<Value> {
        let text = support::read(&site.path(name));
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_by_key(|line| !line.contains("wechat"));
        lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let [blocked, allowed] = lines("ecs").try_into().unwrap();
    assert_eq!(blocked["dns"]["question"]["name"], "www.wechat.com");
    assert_eq!(blocked["dns"]["question"]["type"], "AAAA");
    assert_eq!(
        (&blocked["event"]["outcome"], &allowed["event"]["outcome"]),
        (&"failure".into(), &"success".into())
    );
    assert_eq!(
        (&blocked["rule"]["category"], &blocked["source"]["ip"]),
        (&"wechat".into(), &"127.0.0.1".into())
    );
    assert!(allowed.get("rule").is_none());
    assert!(allowed["event"]["duration"].as_u64().unwrap() >= 1000, "asked upstream: {allowed}");
    assert!(blocked["event"].get("duration").is_none(), "answered at once: {blocked}");
    let [blocked, allowed] = lines("ocsf").try_into().unwrap();
    for one in [&blocked, &allowed] {
        // What the class DNS Activity requires.
        for field in [
            "activity_id",
            "category_uid",
            "class_uid",
            "metadata",
            "severity_id",
            "time",
            "type_uid",
            "src_endpoint",
        ] {
            assert!(one.get(field).is_some(), "{field}: {one}");
        }
        let number = |field: &str| one[field].as_i64().unwrap();
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
        assert_eq!(one["time"].as_i64().unwrap() / 1_000_000_000_000, 1, "milliseconds");
        assert!(number("query_time") <= number("response_time"));
    }
    assert_eq!((&blocked["disposition_id"], &allowed["disposition_id"]), (&2.into(), &1.into()));
    assert_eq!(blocked["policy"]["uid"], "wechat");
}

/// rsyslog with these inputs and global settings, writing what it takes into the site's file `collected`; says so and gives nothing where it is
/// not installed.
fn rsyslog(site: &Site, settings: &str, inputs: &str) -> Option<Program> {
    let path = |name: &str| site.path(name).display().to_string();
    let config = format!(
        "global(workDirectory=\"{}\" {settings})\n\
         template(name=\"whole\" type=\"list\") {{ property(name=\"app-name\") constant(value=\"|\") property(name=\"msgid\") constant(value=\"|\")\n\
           property(name=\"syslogseverity-text\") constant(value=\"|\") property(name=\"inputname\") constant(value=\"|\") property(name=\"msg\") constant(value=\"\\n\") }}\n\
         {inputs}action(type=\"omfile\" file=\"{}\" template=\"whole\")\n",
        path(""),
        path("collected")
    );
    std::fs::write(site.path("rsyslog.conf"), config).unwrap();
    let log = std::fs::File::create(site.path("rsyslog.log")).unwrap();
    let started = Command::new("/usr/sbin/rsyslogd")
        .args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("rsyslog.pid")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    started.map(Program).map_err(|error| eprintln!("skipped: rsyslogd: {error}")).ok()
}

/// The lines that rsyslog has written by now.
fn collected(site: &Site) -> Vec<String> {
    let path = site.path("collected");
    if path.exists() { support::read(&path).lines().map(str::to_owned).collect() } else { Vec::new() }
}

#[test]
fn rsyslog_takes_datagrams_and_a_stream() {
    let (udp, tcp) = (free_port(), free_port());
    let site = Site::prepare("", Clock::system());
    let inputs = format!(
        "module(load=\"imudp\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")\n",
    );
    let Some(_running) = rsyslog(&site, "", &inputs) else { return };
    until(10, "rsyslog", || std::net::TcpStream::connect(("127.0.0.1", tcp)).is_ok());
    let sinks = format!(
        "[[querylog.sink]]\nname = \"datagrams\"\nto = \"syslog://127.0.0.1:{udp}\"\nclients = \"none\"\n\
         [[querylog.sink]]\nname = \"stream\"\nto = \"syslog+tcp://127.0.0.1:{tcp}\"\nwhich = \"all\"\n"
    );
    let site = started(site, &sinks);
    site.ask("www.wechat.com", 1);
    site.ask("www.canada.ca", 1);
    until(10, "three messages", || {
        collected(&site).iter().filter(|line| line.contains("|query|")).count() >= 3
    });
    let lines: Vec<Vec<String>> =
        collected(&site).iter().map(|line| line.splitn(5, '|').map(str::to_owned).collect()).collect();
    let of = |input: &str| lines.iter().filter(|line| line[3] == input).collect::<Vec<_>>();
    let said =
        |line: &[String]| serde_json::from_str::<Value>(&line[4]).unwrap_or_else(|_| panic!("{line:?}"));
    let [datagram] = of("imudp")[..] else { panic!("{lines:?}") };
    assert_eq!((datagram[0].as_str(), datagram[2].as_str()), ("interdict", "notice"));
    assert_eq!((&said(datagram)["app"], &said(datagram)["client"]), (&"wechat".into(), &Value::Null));
    let mut stream = of("imtcp");
    stream.sort_by_key(|line| !line[4].contains("wechat"));
    assert_eq!(stream.len(), 2, "{lines:?}");
    assert_eq!(
        (&said(stream[0])["name"], &said(stream[1])["name"]),
        (&"www.wechat.com".into(), &"www.canada.ca".into())
    );
    assert_eq!(stream[1][2], "info");
}

/// The messages of a stream with their lengths in front.
fn messages(bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = String::from_utf8_lossy(&rest[..space]).parse().expect("a length");
        let Some(message) = rest.get(space + 1..space + 1 + length) else { break };
        out.push(String::from_utf8(message.to_vec()).unwrap());
        rest = &rest[space + 1 + length..];
    }
    out
}

#[test]
fn a_collector_that_comes_late_or_goes_and_comes_back_gets_what_waited_and_delays_nobody() {
    let port = free_port();
    let site = site(&format!("[[querylog.sink]]\nto = \"syslog+tcp://127.0.0.1:{port}\"\n"));
    for number in 0..5 {
        site.ask(&format!("n{number}.wechat.com"), 1);
    }
    until(10, "the file", || count(&site, "records", "file") >= 5.0);
    assert_eq!((count(&site, "records", "syslog"), count(&site, "lost", "syslog")), (0.0, 0.0), "they wait");
    let take = |least: usize| {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut bytes = Vec::new();
        while messages(&bytes).len() < least {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
            bytes.extend(&buffer[..read]);
        }
        messages(&bytes)
    };
    let first = take(5);
    assert!(
        first[0].starts_with("<133>1 20")
            && first[0].contains(" interdict ")
            && first[0].contains("query - {")
    );
    // It went away with its last connection; what comes now waits for the next.
    for number in 0..3 {
        site.ask(&format!("m{number}.wechat.com"), 1);
        std::thread::sleep(Duration::from_millis(50));
    }
    let second = take(3);
    for (number, message) in second.iter().enumerate() {
        assert!(message.contains(&format!("\"m{number}.wechat.com\"")), "{second:?}");
    }
    assert_eq!((count(&site, "lost", "file"), count(&site, "lost", "syslog")), (0.0, 0.0));
}

#[test]
fn a_dnstap_reader_gets_replies_with_the_policys_words() {
    let list = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.rpz\"\nformat = \"rpz\"\nzone = \"rpz.example\"\n";
    let site = Site::prepare(list, Clock::system());
    std::fs::write(
        site.path("own.rpz"),
        "$TTL 60\n@ SOA ns. a. 1 2 3 4 5\ndropped.example CNAME rpz-drop.\n",
    )
    .unwrap();
    let (socket, file) = (site.path("tap.sock"), site.path("tap"));
    let capturing = Command::new("fstrm_capture")
        .args(["-t", "protobuf:dnstap.Dnstap", "-u", socket.to_str().unwrap(), "-w", file.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut running = match capturing {
        Ok(child) => Program(child),
        Err(error) => return eprintln!("skipped: fstrm_capture: {error}"),
    };
    until(10, "the reader", || socket.exists());
    let sinks = format!("[[querylog.sink]]\nto = \"dnstap:unix:{}\"\nwhich = \"all\"\n", socket.display());
    let mut site = started(site, &sinks);
    site.ask("www.wechat.com", 28);
    site.ask("www.canada.ca", 1);
    // Longer than what is kept of it.
    site.tcp(&support::query(7, 0x0100, "large.example", 1, Some(1232))).expect("a reply");
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| {
            socket.send_to(&support::query(7, 0x0100, "dropped.example", 1, None), site.address())
        })
        .unwrap();
    until(10, "four records", || count(&site, "records", "dnstap") >= 4.0);
    site.stop();
    // It writes what it has when it is told to end.
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let _status = running.0.wait();
    let shown = Command::new("dnstap-read").arg("-y").arg(&file).output();
    let Ok(shown) = shown else { return eprintln!("skipped: dnstap-read is not installed") };
    let said = String::from_utf8_lossy(&shown.stdout).into_owned() + &String::from_utf8_lossy(&shown.stderr);
    for word in [
        "CLIENT_RESPONSE",
        "query_time",
        "response_time",
        "CLIENT_QUERY",
        "www.wechat.com",
        "AAAA",
        "UDP",
        "query_address: \"127.0.0.1\"",
    ] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    let count_of = |word: &str| said.matches(word).count();
    assert_eq!((count_of("type: CLIENT_RESPONSE"), count_of("type: CLIENT_QUERY")), (3, 1), "{said}");
    assert_eq!(count_of("A 192.0.2.7"), 1 + (512 - 12 - 19) / 16, "{said}");
    assert!(said.contains("status: NXDOMAIN"), "{said}");
    let bytes = std::fs::read(&file).unwrap();
    let has = |word: &[u8]| bytes.windows(word.len()).any(|found| found == word);
    assert!(has(b"ca-tbs-2023-10-30-wechat-kaspersky") && has(b"wechat"), "the policy's words");
}

#[test]
fn datagrams_to_nobody_are_no_error_of_anybody_else() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let site = site(&format!("[[querylog.sink]]\nto = \"syslog://{address}\"\n"));
    for number in 0..20 {
        site.ask(&format!("n{number}.wechat.com"), 1);
    }
    until(10, "the file", || count(&site, "records", "file") >= 20.0);
    until(10, "an end", || count(&site, "records", "syslog") + count(&site, "lost", "syslog") >= 20.0);
    assert_eq!(count(&site, "lost", "file"), 0.0);
}
