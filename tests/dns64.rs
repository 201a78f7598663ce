//! Hosts with IPv6 alone: addresses that stand for IPv4 ones, beside bans by address, DNSSEC and failures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]
#![allow(dead_code, reason = "shares files with other suites")]

mod support;

use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use interdict::clock::Clock;
use interdict::dns::{CanonicalName, Name, RecordType};
use interdict::resolve::{self, Resolver};
use support::{Site, code, query};

const DNS64: &str = "[dns64]\nprefix = \"64:ff9b::/96\"\n";

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn a_name_without_an_ipv6_address_gets_one_that_stands_for_its_other() {
    let site = Site::start(DNS64, Clock::system());
    for _ in 0..2 {
        let reply = site.ask("www.canada.ca", 28);
        assert_eq!((code(&reply), data(&reply)), ("NOERROR", vec!["64:ff9b::c000:207".to_owned()]));
        assert!(!reply.metadata.authentic_data);
    }
    assert_eq!(site.upstream.asked.load(std::sync::atomic::Ordering::Relaxed), 2, "kept from then on");
    assert_eq!(data(&site.ask("www.canada.ca", 1)), ["192.0.2.7"]);
    assert_eq!(code(&site.ask("nxdomain.example", 28)), "NXDOMAIN");
    // Who checks signatures itself gets what was signed (RFC 6147 section 5.5, item 3).
    let mut checking = query(7, 0x0110, "other.canada.ca", 28, Some(1232));
    let at = checking.len() - 4;
    checking[at] |= 0x80;
    let reply = Message::from_vec(&site.udp(&checking).unwrap()).unwrap();
    assert_eq!((code(&reply), reply.answers.len()), ("NOERROR", 0));
    let reverse = format!("9.0.9.0.9.0.9.0.{}b.9.f.f.4.6.0.0.ip6.arpa", "0.".repeat(16));
    let reply = site.ask(&reverse, 12);
    assert_eq!(data(&reply)[0], "9.9.9.9.in-addr.arpa.", "{reply:?}");
}

#[test]
fn bans_hold_by_name_by_alias_and_by_the_address_that_is_meant() {
    let list = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.rpz\"\nformat = \"rpz\"\nzone = \"rpz.example\"\n";
    let site = Site::prepare(&format!("{DNS64}{list}"), Clock::system());
    let zone = "$TTL 60\n@ SOA ns. contact. 1 2 3 4 5\n@ NS ns.\n24.0.2.0.192.rpz-ip CNAME .\n";
    std::fs::write(site.path("own.rpz"), zone).unwrap();
    let site = site.started();
    assert_eq!(code(&site.ask("wechat.com", 28)), "NXDOMAIN");
    assert!(site.ask("cloaked.example", 28).answers.is_empty());
    let reply = site.ask("www.canada.ca", 28);
    assert!(reply.answers.is_empty(), "a rule about 192.0.2.0/24: {reply:?}");
}

#[test]
fn where_the_other_address_cannot_be_had_the_answer_is_as_it_was() {
    let site = Site::start(DNS64, Clock::system());
    assert_eq!(code(&site.ask("silent.example", 28)), "SERVFAIL");
    // Nobody knows yet whether there is an address: that is no answer, and not kept as one.
    assert_eq!(code(&site.ask("broken4.example", 28)), "SERVFAIL");
}

#[test]
fn an_error_about_ipv6_addresses_is_none_about_the_others() {
    let site = Site::start(DNS64, Clock::system());
    assert_eq!(data(&site.ask("broken6.example", 28)), ["64:ff9b::c000:207"], "RFC 6147 section 5.1.2");
    assert_eq!(code(&site.ask("broken4.broken6.example", 28)), "SERVFAIL");
    assert_eq!(code(&site.ask("nxdomain.broken4.example", 28)), "NXDOMAIN");
}

#[test]
fn own_records_and_special_names_count_for_addresses_that_stand_for_others_too() {
    let own = "[[local]]\nname = \"printer.corp.example\"\na = [\"10.0.0.7\"]\n";
    let site = Site::start(&format!("[dns64]\nprefix = \"fd00:64::/96\"\n{own}"), Clock::system());
    assert_eq!(data(&site.ask("printer.corp.example", 28)), ["fd00:64::a00:7"]);
    let reverse = |last: &str| format!("{last}.0.0.0.0.0.a.0.{}4.6.0.0.0.0.d.f.ip6.arpa", "0.".repeat(16));
    let reply = site.ask(&reverse("7"), 12);
    assert_eq!(data(&reply), ["7.0.0.10.in-addr.arpa.", "printer.corp.example."], "{reply:?}");
    assert_eq!(code(&site.ask(&reverse("8"), 12)), "NXDOMAIN", "10.in-addr.arpa is nobody else's");
    assert_eq!(site.upstream.asked.load(std::sync::atomic::Ordering::Relaxed), 0);
    // The prefix that everybody knows stands for no address inside.
    let site = Site::start(&format!("{DNS64}{own}"), Clock::system());
    assert!(site.ask("printer.corp.example", 28).answers.is_empty());
}

/// Some servers say nothing to a question for IPv6 addresses; some say nothing to any.
#[test]
fn both_questions_share_one_deadline() {
    let upstream = support::Upstream::scripted(|query, tcp| {
        let is_ipv6 = query[12..].windows(5).any(|part| part == [0, 0, 28, 0, 1]);
        support::answer(query, tcp).filter(|_| !is_ipv6)
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let deadline = Duration::from_millis(1500);
    let config = resolve::Config {
        servers: vec![format!("udp://{}", upstream.address).parse().unwrap()],
        dns64: Some("64:ff9b::/96".parse().unwrap()),
        timeout: Duration::from_secs(10),
        deadline,
        ..resolve::Config::default()
    };
    let resolver = Resolver::start(config, Clock::system(), runtime.handle().clone()).unwrap();
    let asked = |name: &str| {
        let (told, outcome) = std::sync::mpsc::sync_channel(1);
        let name = CanonicalName::from(&name.parse::<Name>().unwrap());
        let ask = resolve::Ask {
            name: &name,
            record_type: RecordType::AAAA,
            dnssec_ok: false,
            checking_disabled: false,
        };
        let began = Instant::now();
        resolver.ask(
            ask,
            Box::new(move |answer| told.send(answer.map(|response| response.message.to_vec())).unwrap()),
        );
        let outcome = outcome.recv_timeout(Duration::from_secs(10)).expect("told");
        assert!(began.elapsed() < deadline * 5 / 4, "{:?}", began.elapsed());
        outcome.map(|message| data(&Message::from_vec(&message).unwrap()))
    };
    assert_eq!(asked("www.canada.ca"), Ok(vec!["64:ff9b::c000:207".to_owned()]));
    assert_eq!(asked("silent.example"), Err(resolve::Failure::Timeout));
}

#[test]
fn an_answer_is_its_whose_records_it_is_made_of() {
    fn is_ipv6(query: &[u8]) -> bool {
        query[12..].windows(5).any(|part| part == [0, 0, 28, 0, 1])
    }
    /// The question with that code and nothing else.
    fn only(query: &[u8], code: u8) -> Vec<u8> {
        let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0], &query[12..end]].concat()
    }
    // One knows IPv6 addresses alone, the other IPv4 addresses, and that there is no name `gone`.
    let of_ipv6 = support::Upstream::scripted(|query, tcp| {
        if is_ipv6(query) { support::answer(query, tcp) } else { Some(only(query, 2)) }
    });
    let of_ipv4 = support::Upstream::scripted(|query, tcp| {
        let is_gone = query.windows(5).any(|part| part.eq_ignore_ascii_case(b"\x04gone"));
        match (is_ipv6(query), is_gone) {
            (true, _) => Some(only(query, 2)),
            (false, true) => Some(only(query, 3)),
            (false, false) => support::answer(query, tcp),
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let servers = [&of_ipv6, &of_ipv4].map(|upstream| format!("udp://{}", upstream.address).parse().unwrap());
    let config = resolve::Config {
        servers: servers.to_vec(),
        dns64: Some("64:ff9b::/96".parse().unwrap()),
        ..resolve::Config::default()
    };
    let resolver = Resolver::start(config, Clock::system(), runtime.handle().clone()).unwrap();
    let by = |name: &str| {
        let (told, outcome) = std::sync::mpsc::sync_channel(1);
        let name = CanonicalName::from(&name.parse::<Name>().unwrap());
        let record_type = RecordType::AAAA;
        let ask = resolve::Ask { name: &name, record_type, dnssec_ok: false, checking_disabled: false };
        resolver.ask(ask, Box::new(move |answer| told.send(answer.unwrap().upstream).unwrap()));
        outcome.recv_timeout(Duration::from_secs(10)).expect("told")
    };
    assert_eq!(by("www.canada.ca"), Some(1), "made up of the IPv4 address");
    assert_eq!(by("gone.example"), Some(0), "the answer to the question for IPv6 addresses stands");
}
