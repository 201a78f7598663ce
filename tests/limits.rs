//! What one client may ask over UDP, and how it proves its address: floods, floods in somebody else's name, and cookies that servers share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use support::{Site, code, query};

const FLOODER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// Sends a query so often from an address; returns how many replies came, and how many of them say to come over TCP.
fn flood(site: &Site, from: Ipv4Addr, queries: usize, bytes: &[u8]) -> (usize, usize) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut replies = (0, 0);
    let mut buffer = [0; 1500];
    for number in 0..queries {
        socket.send_to(bytes, site.address()).unwrap();
        // Not more than the socket holds, and a pause in which the server is heard on a machine of one core.
        if number % 50 == 49 {
            std::thread::sleep(Duration::from_millis(5));
            socket.set_nonblocking(true).unwrap();
            while let Ok(length) = socket.recv(&mut buffer) {
                count(&buffer[..length], &mut replies);
            }
            socket.set_nonblocking(false).unwrap();
        }
    }
    while let Ok(length) = socket.recv(&mut buffer) {
        count(&buffer[..length], &mut replies);
    }
    replies
}

fn count(reply: &[u8], replies: &mut (usize, usize)) {
    replies.0 += 1;
    replies.1 += usize::from(reply[2] & 2 != 0);
}

/// A query that shows a cookie.
fn with_cookie(name: &str, cookie: &[u8]) -> Vec<u8> {
    let mut out = query(7, 0x0100, name, 1, Some(1232));
    let end = out.len();
    out[end - 2..].copy_from_slice(&(4 + cookie.len() as u16).to_be_bytes());
    out.extend([0, 10]);
    out.extend((cookie.len() as u16).to_be_bytes());
    out.extend(cookie);
    out
}

/// The cookie in a reply.
fn cookie_of(reply: &[u8]) -> Option<Vec<u8>> {
    let options = Message::from_vec(reply).unwrap().edns?;
    options.option(10.into()).map(|option| Vec::<u8>::try_from(option).unwrap())
}

#[test]
fn a_client_over_its_limit_is_held_to_it_and_another_is_not() {
    let site = Site::start("[limits]\nqueries = 20\nburst = 100\nslip = 4\n", Clock::system());
    let (answered, truncated) = flood(&site, FLOODER, 1000, &query(1, 0x0100, "wechat.com", 1, None));
    // Twenty more for each second that the flood takes.
    assert!((100..160).contains(&(answered - truncated)), "{answered} {truncated}");
    assert!((200..=225).contains(&truncated), "one in four is told to come over TCP: {truncated}");
    for _ in 0..50 {
        assert_eq!(site.rcode("wechat.com"), "Non-Existent Domain", "another client");
    }
    let page = site.http("GET", "/metrics", None).1;
    let counted = |result: &str| -> usize {
        let line = format!("interdict_rate_limited_queries_total{{result=\"{result}\"}} ");
        page.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse().unwrap()
    };
    assert_eq!(
        (counted("slipped"), counted("slipped") + counted("dropped")),
        (truncated, 1000 - answered + truncated)
    );
    assert_eq!(
        code(&Message::from_vec(&site.tcp(&query(1, 0x0100, "wechat.com", 1, None)).unwrap()).unwrap()),
        "NXDOMAIN"
    );
}

#[test]
fn who_proves_its_address_is_served_while_others_flood_in_its_name() {
    let site = Site::start("[limits]\nqueries = 20\nburst = 50\nslip = 0\n", Clock::system());
    let own = [1, 2, 3, 4, 5, 6, 7, 8];
    let cookie = cookie_of(&site.udp_from(FLOODER, &with_cookie("wechat.com", &own)).unwrap()).unwrap();
    assert_eq!((cookie.len(), &cookie[..8]), (24, &own[..]));
    let (answered, _) = flood(&site, FLOODER, 500, &query(1, 0x0100, "wechat.com", 1, None));
    assert!(answered < 100, "{answered}");
    for name in ["wechat.com", "fetched.example"] {
        let reply = site.udp_from(FLOODER, &with_cookie(name, &cookie)).expect("a reply");
        assert_eq!(cookie_of(&reply).map(|cookie| cookie.len()), Some(24), "{name}");
    }
    let mut forged = cookie;
    forged[20] ^= 1;
    let (answered, _) = flood(&site, FLOODER, 100, &with_cookie("wechat.com", &forged));
    assert!(answered < 30, "a made-up cookie proves nothing: {answered}");
}

#[test]
fn servers_of_one_address_believe_each_others_cookies() {
    const SECRETS: [&str; 2] = ["e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962"];
    let start = |secrets: &[&str]| {
        let cookies =
            format!("[cookies]\nsecrets = {secrets:?}\n[limits]\nqueries = 1\nburst = 20\nslip = 0\n");
        Site::start(&cookies, Clock::system())
    };
    let (old, renewed, other) =
        (start(&SECRETS[..1]), start(&[SECRETS[1], SECRETS[0]]), start(&SECRETS[1..]));
    let cookie = cookie_of(&old.udp(&with_cookie("wechat.com", &[9; 8])).unwrap()).unwrap();
    // Twenty without a proof, and then twenty more with one that is believed.
    let answered = |site: &Site| {
        flood(site, Ipv4Addr::LOCALHOST, 40, &query(1, 0x0100, "wechat.com", 1, None)).0
            + flood(site, Ipv4Addr::LOCALHOST, 40, &with_cookie("wechat.com", &cookie)).0
    };
    assert!((40..45).contains(&answered(&renewed)), "the secret before is believed");
    assert!((20..25).contains(&answered(&other)), "a secret that it does not have is not");
}

#[test]
fn dig_finds_its_cookie_good() {
    let site = Site::start("", Clock::system());
    let port = site.address().port().to_string();
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "+cookie", "+tries=1", "+time=3", "wechat.com"])
        .output()
        .expect("dig is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("NXDOMAIN") && said.contains("(good)"), "{said}");
}
