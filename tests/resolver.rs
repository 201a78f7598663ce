//! The resolver as a client sees it, over real sockets with a scripted upstream.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use interdict::clock::Clock;
use support::{Site, query, read, read_framed};

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";

#[test]
fn the_blocked_answer_is_the_same_for_every_type_flag_and_transport() {
    let site = Site::start("", Clock::system());
    for record_type in [1, 28, 65, 64, 16, 15, 6, 2, 43, 48, 255, 12345] {
        for flags in [0x0100, 0x0110, 0x0000, 0x0120] {
            for edns in [None, Some(512), Some(4096)] {
                let bytes = query(0xBEEF, flags, "wWw.WeChat.com", record_type, edns);
                let reply = site.udp(&bytes).expect("a reply over UDP");
                assert_eq!(
                    Some(&reply),
                    site.tcp(&bytes).as_ref(),
                    "type {record_type} flags {flags:#x} {edns:?}"
                );
                let end = 12 + 16 + 4;
                assert_eq!(reply[12..end], bytes[12..end], "the question is echoed byte for byte");
                let wanted = 0x8080 | flags & 0x0110 | 3;
                assert_eq!(
                    u16::from_be_bytes([reply[2], reply[3]]),
                    wanted,
                    "QR, RA, RD and CD copied, AA and AD clear"
                );
                assert_eq!(reply[4..12], [0, 1, 0, 0, 0, 1, 0, u8::from(edns.is_some())]);
                let message = hickory_proto::op::Message::from_vec(&reply).unwrap();
                assert_eq!(message.authorities[0].name.to_string().to_lowercase(), "wechat.com.");
                assert_eq!(message.authorities[0].ttl, 60);
            }
        }
    }
}

#[test]
fn the_rest_is_resolved_and_kept() {
    let site = Site::start("", Clock::system());
    for _ in 0..3 {
        let reply = site.ask("www.canada.ca", 1);
        assert_eq!(reply.answers[0].data.to_string(), "192.0.2.7");
    }
    assert_eq!(site.upstream.asked.load(std::sync::atomic::Ordering::Relaxed), 1, "kept after the first");
    assert_eq!(site.rcode("nxdomain.example"), NXDOMAIN);
}

#[test]
fn a_large_answer_is_truncated_over_udp_and_whole_over_tcp() {
    let site = Site::start("", Clock::system());
    let bytes = query(1, 0x0100, "large.example", 1, Some(1232));
    let reply = site.udp(&bytes).unwrap();
    assert_eq!(reply[2] & 0x02, 2, "TC over UDP");
    let whole = hickory_proto::op::Message::from_vec(&site.tcp(&bytes).unwrap()).unwrap();
    assert_eq!(whole.answers.len(), 100);
}

#[test]
fn names_and_queries_that_never_leave() {
    let site = Site::start("", Clock::system());
    for (name, rcode) in [
        ("use-application-dns.net", NXDOMAIN),
        ("mask.icloud.com", NXDOMAIN),
        ("mask-h2.icloud.com", NXDOMAIN),
        ("x.onion", NXDOMAIN),
        ("a.invalid", NXDOMAIN),
        ("1.0.0.10.in-addr.arpa", NXDOMAIN),
        ("_dns.resolver.arpa", NOERROR),
        ("localhost", NOERROR),
    ] {
        assert_eq!(site.rcode(name), rcode, "{name}");
    }
    assert_eq!(site.upstream.asked.load(std::sync::atomic::Ordering::Relaxed), 0);
    let mut chaos = query(1, 0x0100, "version.bind", 16, None);
    let length = chaos.len();
    chaos[length - 1] = 3;
    assert_eq!(site.udp(&chaos).unwrap()[3] & 0x0F, 5, "REFUSED");
    assert!(
        site.udp(&[query(1, 0x8100, "a.example", 1, None), vec![]].concat()).is_none(),
        "a response is not answered"
    );
}

#[test]
fn a_client_that_may_not_ask_is_refused() {
    let site = Site::start("[access]\nallow = [\"10.0.0.0/8\"]\n", Clock::system());
    assert_eq!(site.rcode("www.canada.ca"), "Query Refused");
}

#[test]
fn actions_sinkhole_redirect_local_passthru_and_drop() {
    let zone = "$TTL 60\n@ SOA a b 1 2 3 4 5\nlocal.test.example A 198.51.100.9\nredirect.example CNAME www.canada.ca.\n\
                pass.tiktok.com CNAME rpz-passthru.\ndrop.example CNAME rpz-drop.\nnodata.example CNAME *.\n*.below.example CNAME .\n";
    let policy = "action = \"sinkhole\"\nsinkhole = { ipv4 = \"192.0.2.66\" }\n[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.rpz\"\nformat = \"rpz\"\n\
                  [[policy.group]]\nname = \"default\"\nenforce = [\"own\", \"tiktok\"]\n";
    let site = Site::prepare(policy, Clock::system());
    std::fs::write(site.path("own.rpz"), zone).unwrap();
    let site = site.started();
    let first = |name: &str| site.ask(name, 1).answers.first().map(|record| record.data.to_string());
    assert_eq!(first("tiktok.com").as_deref(), Some("192.0.2.66"));
    assert_eq!(site.ask("tiktok.com", 65).authorities.len(), 1, "NODATA with SOA for other types");
    assert_eq!(first("local.test.example").as_deref(), Some("198.51.100.9"));
    let redirected = site.ask("redirect.example", 1);
    assert_eq!(redirected.answers.len(), 2);
    assert_eq!(redirected.answers[1].data.to_string(), "192.0.2.7");
    assert_eq!(first("pass.tiktok.com").as_deref(), Some("192.0.2.7"));
    assert!(site.ask("nodata.example", 1).answers.is_empty());
    assert_eq!(site.rcode("a.below.example"), NXDOMAIN);
    assert_eq!(site.rcode("below.example"), NOERROR);
    assert!(site.udp(&query(1, 0x0100, "drop.example", 1, None)).is_none());
}

#[test]
fn tcp_answers_pipelined_queries_in_any_order() {
    let site = Site::start("", Clock::system());
    let mut stream = TcpStream::connect(site.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut all = Vec::new();
    for id in 0..100u16 {
        let name = if id % 2 == 0 { "tiktok.com".to_owned() } else { format!("n{id}.example") };
        let bytes = query(id, 0x0100, &name, 1, None);
        all.extend((bytes.len() as u16).to_be_bytes());
        all.extend(bytes);
    }
    // In two pieces that cut a message, then the client closes its side.
    stream.write_all(&all[..777]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(&all[777..]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut ids: Vec<u16> = (0..100)
        .map(|_| {
            read_framed(&mut stream)
                .map(|reply| u16::from_be_bytes([reply[0], reply[1]]))
                .expect("every reply")
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<u16>>());
}

#[test]
fn every_block_is_counted_and_logged_with_its_cause() {
    let mut site = Site::start("", Clock::system());
    for _ in 0..5 {
        site.rcode("www.kaspersky.com");
    }
    let (status, page) = site.http("GET", "/metrics", None);
    assert_eq!(status, 200);
    let row = "interdict_blocked_queries_total{app=\"kaspersky\",instrument=\"ca-tbs-2023-10-30-wechat-kaspersky\",group=\"default\",action=\"nxdomain\",mode=\"enforce\"} 5";
    assert!(page.contains(row), "{page}");
    let series = page.lines().filter(|line| line.starts_with("interdict_blocked_queries_total")).count();
    assert!(series <= 20, "one series for each app and list that can decide, not for each ban: {series}");
    site.stop();
    let log = read(&site.path("queries.jsonl"));
    assert_eq!(log.lines().count(), 5);
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["instrument"], "ca-tbs-2023-10-30-wechat-kaspersky");
    assert_eq!(line["listed"], "kaspersky.com");
}
