//! The policy served as a response policy zone: transfers as dig makes them, signed and not, serials and differences over many
//! generations, and secondaries that are told. `tests/secondaries.rs` has real resolvers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use interdict::clock::Clock;
use support::{Site, query, read_framed};

const SECRET: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";

/// A site that publishes one list, with `more` keys in its `[zone]`.
fn prepare(list: &str, more: &str) -> Site {
    let site = Site::prepare(&config(more), Clock::system());
    std::fs::write(site.path("own.txt"), list).unwrap();
    site
}

fn config(more: &str) -> String {
    format!(
        "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"rpz\"\n\
         [[policy.group]]\nname = \"published\"\nclients = [\"192.0.2.0/24\"]\nenforce = [\"own\"]\n\
         [[policy.tsig]]\nname = \"transfer.test\"\nalgorithm = \"hmac-sha256\"\nsecret = \"{SECRET}\"\n\
         [guard]\nmax_shrink = \"100%\"\nmax_growth = \"100000%\"\n\
         [zone]\nname = \"rpz.test.\"\nlisten = [\"127.0.0.1:0\"]\ngroup = \"published\"\n{more}"
    )
}

fn start(list: &str, more: &str) -> Site {
    let site = prepare(list, more).settled();
    within_seconds("a first version", || serial(&site) > 0);
    site
}

fn zone(site: &Site) -> SocketAddr {
    site.running.as_ref().unwrap().zone[0]
}

/// Writes the list and reloads.
fn publish(site: &Site, list: &str) {
    std::fs::write(site.path("own.txt"), list).unwrap();
    let (status, body) = site.http("POST", "/api/v1/reload", Some(&site.token()));
    assert_eq!(status, 200, "{body}");
}

fn metric(site: &Site, name: &str) -> f64 {
    let page = site.http("GET", "/metrics", None).1;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {page}")).parse().unwrap()
}

fn serial(site: &Site) -> u32 {
    metric(site, "interdict_zone_serial") as u32
}

/// Writes the list, reloads and waits for the serial to change; the new one.
fn publish_change(site: &Site, list: &str) -> u32 {
    let before = serial(site);
    publish(site, list);
    within_seconds("a new serial", || serial(site) != before);
    serial(site)
}

fn within_seconds(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What dig prints for a question about the zone; its own options first.
fn dig(site: &Site, options: &[&str]) -> String {
    let zone = zone(site);
    let (address, port) = (format!("@{}", zone.ip()), zone.port().to_string());
    let fixed = ["+time=5", "+tries=1", "+nocmd", "+nostats", "+nocookie", "-p", &port, &address];
    let output = Command::new("dig").args(fixed).args(options).output().expect("dig is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Records as dig prints them, blanks made one.
fn lines(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter(|line| !line.starts_with(';') && !line.trim().is_empty());
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn is_soa(line: &str) -> bool {
    line.split(' ').nth(3) == Some("SOA")
}

fn serial_of(line: &str) -> u32 {
    line.split(' ').nth(6).unwrap().parse().unwrap()
}

/// The records of a whole transfer without SOA, and the serial.
fn whole(printed: &str) -> (u32, BTreeSet<String>) {
    let lines = lines(printed);
    assert!(lines.len() > 2 && is_soa(&lines[0]) && lines.first() == lines.last(), "{printed}");
    let records: BTreeSet<String> = lines.iter().filter(|line| !is_soa(line)).cloned().collect();
    assert_eq!(records.len(), lines.len() - 2, "a record came twice: {printed}");
    (serial_of(&lines[0]), records)
}

/// Applies what an incremental transfer says (RFC 1995 section 4).
fn patched(mut records: BTreeSet<String>, from: u32, printed: &str) -> (u32, BTreeSet<String>) {
    let lines = lines(printed);
    let last = serial_of(&lines[0]);
    let (mut serial, mut adds) = (from, true);
    for line in &lines[1..lines.len() - 1] {
        if is_soa(line) {
            adds = !adds;
            let next = serial_of(line);
            assert!(adds || next == serial, "a difference from {next} where {serial} is held");
            serial = next;
        } else if adds {
            assert!(records.insert(line.clone()), "{line} was there");
        } else {
            assert!(records.remove(line), "{line} was not there");
        }
    }
    assert!(adds && serial == last && serial_of(lines.last().unwrap()) == last, "{printed}");
    (serial, records)
}

#[test]
fn axfr_holds_every_action_in_the_words_of_response_policy_zones() {
    let list = "$TTL 90\n\
        gone.example CNAME .\n*.gone.example CNAME .\n\
        name-only.example CNAME .\n\
        *.below.example CNAME .\n\
        empty.example CNAME *.\n\
        silent.example CNAME rpz-drop.\n\
        tcp.example CNAME rpz-tcp-only.\n\
        own.example A 192.0.2.1\nown.example AAAA 2001:db8::1\n\
        safe.example CNAME other.example.\n\
        good.gone.example CNAME rpz-passthru.\n";
    let site = start(list, "");
    let (first, records) = whole(&dig(&site, &["rpz.test", "AXFR"]));
    assert_eq!(first, serial(&site));
    let expected = "\
        rpz.test. 60 IN NS localhost.
        gone.example.rpz.test. 60 IN CNAME .
        *.gone.example.rpz.test. 60 IN CNAME .
        name-only.example.rpz.test. 60 IN CNAME *.
        *.below.example.rpz.test. 60 IN CNAME .
        empty.example.rpz.test. 60 IN CNAME *.
        silent.example.rpz.test. 60 IN CNAME rpz-drop.
        tcp.example.rpz.test. 60 IN CNAME rpz-tcp-only.
        own.example.rpz.test. 90 IN A 192.0.2.1
        own.example.rpz.test. 90 IN AAAA 2001:db8::1
        safe.example.rpz.test. 60 IN CNAME other.example.
        good.gone.example.rpz.test. 60 IN CNAME rpz-passthru.
        *.good.gone.example.rpz.test. 60 IN CNAME .";
    let mut expected: BTreeSet<String> = expected.lines().map(|line| line.trim().to_owned()).collect();
    // Canaries are answered negatively for everybody, so they are in the zone.
    let canaries: BTreeSet<String> =
        records.difference(&expected).filter(|record| record.ends_with("CNAME .")).cloned().collect();
    assert!(canaries.contains("use-application-dns.net.rpz.test. 60 IN CNAME ."), "{canaries:?}");
    expected.extend(canaries);
    assert_eq!(records, expected);
    assert!(metric(&site, "interdict_zone_records") as usize == records.len() - 1);
}

#[test]
fn soa_and_ns_are_answered_and_everything_else_is_refused() {
    let site = start("a.example CNAME .\n", "");
    for transport in ["+notcp", "+tcp"] {
        let soa = dig(&site, &["rpz.test", "SOA", transport]);
        assert!(soa.contains("NOERROR") && soa.contains("qr aa"), "{soa}");
        assert!(serial_of(&lines(&soa)[0]) == serial(&site), "{soa}");
        assert!(dig(&site, &["RPZ.Test", "NS", transport]).contains("localhost."));
        for question in [
            ["rpz.test", "A"],
            ["rpz.test", "ANY"],
            ["a.example.rpz.test", "CNAME"],
            ["other.test", "SOA"],
            [".", "NS"],
        ] {
            let refused = dig(&site, &[question[0], question[1], transport]);
            assert!(refused.contains("REFUSED") && refused.contains("ANSWER: 0"), "{question:?}: {refused}");
        }
        assert!(dig(&site, &["rpz.test", "SOA", "-c", "CH", transport]).contains("REFUSED"));
        assert!(dig(&site, &["rpz.test", "SOA", "+edns=1", "+noednsneg", transport]).contains("BADVERS"));
        assert!(dig(&site, &["rpz.test", "SOA", "+opcode=4", transport]).contains("NOTIMP"));
    }
    // Over UDP there is no transfer, and an incremental one is told to come by TCP (RFC 1995 section 2).
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut reply = [0; 1500];
    socket.send_to(&query(7, 0, "rpz.test", 252, None), zone(&site)).unwrap();
    socket.recv(&mut reply).unwrap();
    assert_eq!(reply[3] & 15, 5, "AXFR over UDP is refused");
    socket.send_to(&ixfr(1), zone(&site)).unwrap();
    let length = socket.recv(&mut reply).unwrap();
    assert_eq!((reply[3] & 15, reply[7]), (0, 1), "one SOA");
    assert!(length < 200);
}

/// An incremental request of somebody who has that serial.
fn ixfr(serial: u8) -> Vec<u8> {
    let mut request = query(9, 0, "rpz.test", 251, None);
    request[9] = 1;
    request.extend(b"\xC0\x0C\0\x06\0\x01\0\0\0\0\0\x16\0\0");
    request.extend([0, 0, 0, serial]);
    request.extend([0; 16]);
    request
}

#[test]
fn who_may_not_transfer_is_told_so_and_hurts_nobody() {
    let site = start("a.example CNAME .\n", "allow = [\"127.0.0.1/32\"]\n");
    assert_eq!(whole(&dig(&site, &["rpz.test", "AXFR"])).0, serial(&site));
    for question in [["rpz.test", "SOA"], ["rpz.test", "NS"]] {
        let refused = dig(&site, &["-b", "127.0.0.9", question[0], question[1]]);
        assert!(refused.contains("REFUSED"), "{refused}");
    }
    let refused = dig(&site, &["-b", "127.0.0.9", "rpz.test", "AXFR"]);
    assert!(refused.contains("Transfer failed") && lines(&refused).is_empty(), "{refused}");
    assert!(metric(&site, "interdict_zone_refused_total{reason=\"address\"}") >= 3.0);
    // Strangers who hold connections open do not keep others out.
    let strangers: Vec<TcpStream> = (0..40)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
            socket.connect(&zone(&site).into()).unwrap();
            socket.into()
        })
        .collect();
    assert_eq!(whole(&dig(&site, &["rpz.test", "AXFR"])).0, serial(&site));
    drop(strangers);
}

#[test]
fn bytes_that_are_no_request_end_in_a_code_or_in_silence() {
    let site = start("a.example CNAME .\n", "");
    let mut state = 7u64;
    for _ in 0..300 {
        let mut request = ixfr(1);
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % request.len();
            request[at] = (state >> 24) as u8;
        }
        let mut stream = TcpStream::connect(zone(&site)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(&(request.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        if let Some(reply) = read_framed(&mut stream) {
            assert!(reply.len() >= 12 && reply[2] & 0x80 != 0 && reply[..2] == request[..2]);
        }
    }
    assert_eq!(whole(&dig(&site, &["rpz.test", "AXFR"])).0, serial(&site));
}

#[test]
fn with_a_key_only_signed_requests_are_answered_and_long_transfers_are_signed_throughout() {
    let many: String = (0..20_000).map(|i| format!("n{i}.example CNAME .\n")).collect();
    let site = start(&many, "tsig = \"transfer.test\"\n");
    let good = format!("hmac-sha256:transfer.test:{SECRET}");
    let printed = dig(&site, &["-y", &good, "rpz.test", "AXFR"]);
    assert!(!printed.contains("Couldn't verify") && !printed.contains("WARNING"), "a signature is wrong");
    assert!(printed.matches("TSIG").count() > 10, "one signature a message");
    let records = lines(&printed).into_iter().filter(|line| !line.contains("TSIG"));
    let (first, records) = whole(&records.collect::<Vec<_>>().join("\n"));
    assert!(records.len() > 20_000);
    // A difference is signed too.
    let next = publish_change(&site, &format!("{many}one.more.example CNAME .\n"));
    let printed = dig(&site, &["-y", &good, "rpz.test", &format!("IXFR={first}")]);
    let difference: Vec<String> = lines(&printed).into_iter().filter(|line| !line.contains("TSIG")).collect();
    assert!(printed.contains("TSIG") && difference.len() < 10, "{printed}");
    let (serial, now) = patched(records.clone(), first, &difference.join("\n"));
    assert_eq!((serial, now.len()), (next, records.len() + 1));
    // Each fault is told as the standard says (RFC 8945 section 5.2).
    let unsigned = dig(&site, &["rpz.test", "SOA"]);
    assert!(unsigned.contains("REFUSED"), "{unsigned}");
    assert!(dig(&site, &["rpz.test", "AXFR"]).contains("Transfer failed"));
    let other = SECRET.replace("MT", "NT");
    for (key, error) in [
        (format!("hmac-sha256:transfer.test:{other}"), "BADSIG"),
        (format!("hmac-sha256:nobody.test:{SECRET}"), "BADKEY"),
        (format!("hmac-sha512:transfer.test:{SECRET}"), "BADKEY"),
    ] {
        let refused = dig(&site, &["-y", &key, "rpz.test", "SOA"]);
        assert!(refused.contains("NOTAUTH") && refused.contains(error), "{refused}");
        assert!(dig(&site, &["-y", &key, "rpz.test", "AXFR"]).contains("Transfer failed"));
    }
    assert!(metric(&site, "interdict_zone_refused_total{reason=\"signature\"}") >= 6.0);
    assert!(metric(&site, "interdict_zone_refused_total{reason=\"unsigned\"}") >= 2.0);
}

/// The list after so many changes: each adds a name, takes another out, and changes what is done with a third.
fn generation(number: usize) -> String {
    let names: String = (number..number + 30).map(|i| format!("n{i}.example CNAME .\n")).collect();
    let action = ["rpz-drop.", ".", "*."][number % 3];
    format!("{names}turns.example CNAME {action}\n*.n{}.example CNAME .\n", number + 3)
}

#[test]
fn differences_lead_from_twenty_versions_back_and_no_further() {
    let site = start(&generation(0), "");
    let mut versions = vec![whole(&dig(&site, &["rpz.test", "AXFR"]))];
    for number in 1..=25 {
        let serial = publish_change(&site, &generation(number));
        let version = whole(&dig(&site, &["rpz.test", "AXFR"]));
        assert_eq!(version.0, serial);
        assert!(serial.wrapping_sub(versions.last().unwrap().0) < 1 << 31, "it grows");
        versions.push(version);
    }
    let newest = versions.last().unwrap().clone();
    for (number, (from, records)) in versions.iter().enumerate() {
        let printed = dig(&site, &["rpz.test", &format!("IXFR={from}")]);
        match number {
            0..5 => assert_eq!(whole(&printed), newest, "version {number} is too old: everything"),
            5..25 => {
                assert!(serial_of(&lines(&printed)[1]) == *from, "{printed}");
                assert_eq!(patched(records.clone(), *from, &printed), newest, "version {number}");
            }
            _ => assert_eq!(lines(&printed).len(), 1, "up to date: {printed}"),
        }
    }
    // Who claims a serial that never was, or a later one.
    assert_eq!(whole(&dig(&site, &["rpz.test", &format!("IXFR={}", newest.0 - 100_000)])), newest);
    assert_eq!(lines(&dig(&site, &["rpz.test", &format!("IXFR={}", newest.0 + 5)])).len(), 1);
    assert!(metric(&site, "interdict_zone_transfers_total{sent=\"difference\"}") == 20.0);
    assert!(metric(&site, "interdict_zone_history_bytes") > 0.0);
}

#[test]
fn the_serial_moves_with_what_is_published_and_with_nothing_else() {
    let mut site = start("a.example CNAME .\nb.example CNAME .\n", "");
    let first = serial(&site);
    // Another order, another line, another group: the same zone.
    publish(&site, "; moved\n\nb.example CNAME .\na.example CNAME .\n");
    site.write_config(&format!("{}\n[access]\notherwise = \"drop\"\n", config("")));
    publish(&site, "; moved\n\nb.example CNAME .\na.example CNAME .\n");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(serial(&site), first);
    // A restart keeps it, and every secondary stays as it is.
    site.stop();
    let site = site.settled();
    within_seconds("the zone", || serial(&site) > 0);
    assert_eq!(serial(&site), first);
    assert_eq!(lines(&dig(&site, &["rpz.test", &format!("IXFR={first}")])).len(), 1);
    // What changed while nobody served is told by a greater one.
    let mut site = site;
    site.stop();
    std::fs::write(site.path("own.txt"), "a.example CNAME .\n").unwrap();
    let site = site.settled();
    within_seconds("a greater serial", || serial(&site) > first);
    let (later, records) = whole(&dig(&site, &["rpz.test", &format!("IXFR={first}")]));
    assert!(later > first && records.iter().all(|record| !record.starts_with("b.example")), "{records:?}");
    // A lost state directory is no reason to begin below what secondaries have.
    let mut site = site;
    site.stop();
    std::fs::remove_file(site.path("state/zone.json")).unwrap();
    let site = site.settled();
    within_seconds("a serial from the clock", || serial(&site) > 0);
    assert!(serial(&site) >= later);
    // Another TTL is other content.
    let before = serial(&site);
    let records = whole(&dig(&site, &["rpz.test", "AXFR"])).1;
    site.write_config(&format!("ttl = \"5m\"\n{}", config("")));
    let next = publish_change(&site, "a.example CNAME .\n");
    let printed = dig(&site, &["rpz.test", &format!("IXFR={before}")]);
    let (serial, records) = patched(records, before, &printed);
    assert_eq!((serial, records), whole(&dig(&site, &["rpz.test", "AXFR"])));
    assert_eq!(serial, next);
}

/// A secondary that hears NOTIFY and answers as the test says.
fn secondary() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// The next NOTIFY: the bytes, who sent it, and the serial in it.
fn notified(secondary: &UdpSocket) -> (Vec<u8>, SocketAddr, u32) {
    let mut buffer = [0; 2048];
    let (length, from) = secondary.recv_from(&mut buffer).expect("a NOTIFY in time");
    let message = hickory_proto::op::Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(message.metadata.op_code, hickory_proto::op::OpCode::Notify);
    assert_eq!(message.queries[0].name().to_string(), "rpz.test.");
    let hickory_proto::rr::RData::SOA(soa) = &message.answers[0].data else { panic!("{message:?}") };
    (buffer[..length].to_vec(), from, soa.serial)
}

fn answer(secondary: &UdpSocket, (notify, from, _): &(Vec<u8>, SocketAddr, u32), rcode: u8) {
    let mut reply = notify.clone();
    reply[2] |= 0x80;
    reply[3] = rcode;
    secondary.send_to(&reply, from).unwrap();
}

#[test]
fn secondaries_are_told_until_they_answer_and_of_every_new_serial() {
    let (one, other, nobody) = (secondary(), secondary(), secondary());
    let addresses = [&one, &other, &nobody].map(|socket| socket.local_addr().unwrap().to_string());
    drop(nobody);
    let site = start("a.example CNAME .\n", &format!("notify = {addresses:?}\n"));
    let first = serial(&site);
    let heard = notified(&one);
    assert_eq!(heard.2, first, "told at the start");
    answer(&one, &heard, 0);
    // The other is slow to answer: told again.
    assert_eq!(notified(&other).2, first);
    let again = notified(&other);
    assert_eq!(again.2, first);
    answer(&other, &again, 0);
    within_seconds("both answers", || metric(&site, "interdict_zone_secondaries_behind") == 1.0);
    // A change: those that answered are told of it at once, the one that is not there keeps nobody.
    let next = publish_change(&site, "b.example CNAME .\n");
    for (socket, rcode) in [(&one, 0), (&other, 5)] {
        let heard = notified(socket);
        assert_eq!(heard.2, next);
        answer(socket, &heard, rcode);
    }
    within_seconds("a refusal", || metric(&site, "interdict_zone_notifies_total{result=\"refused\"}") == 1.0);
    assert_eq!(metric(&site, "interdict_zone_secondaries_behind"), 2.0);
    assert!(metric(&site, "interdict_zone_notifies_total{result=\"unanswered\"}") >= 2.0);
    let config = site.config.to_str().unwrap();
    let admin = site.running.as_ref().unwrap().admin.to_string();
    let text = support::read(&site.config)
        .replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"{admin}\""));
    std::fs::write(&site.config, text).unwrap();
    let shown =
        Command::new(env!("CARGO_BIN_EXE_interdict")).args(["-c", config, "status"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains(&format!("zone             rpz.test. for group published, serial {next}")),
        "{shown}"
    );
    assert!(shown.contains(&format!("secondary {}: NOTIFY refused", addresses[1])), "{shown}");
    assert!(shown.contains(&format!("secondary {}: NOTIFY unanswered", addresses[2])), "{shown}");
    assert!(!shown.contains(&addresses[0]), "{shown}");
    // It is transferred as ever.
    assert_eq!(whole(&dig(&site, &["rpz.test", "AXFR"])).0, next);
}
