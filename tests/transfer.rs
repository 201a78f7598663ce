//! Zones from their primaries as an operator lives through them: BIND, Knot, NSD and PowerDNS on loopback, changes that come
//! by NOTIFY and IXFR within seconds, keys that fit and keys that do not, and a scripted primary for every fault. What
//! answered before answers during and after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

#[path = "support/lists.rs"]
mod lists;
#[path = "support/primary.rs"]
mod primary;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use interdict::clock::Clock;
use lists::Authority;
use primary::{
    KEY, Kind, Primary, SECRET, Scripted, Serving, ZONE, block, free_port, is_ixfr, response, soa, zone_file,
};
use serde_json::Value;
use support::Site;
use support::operator::until;

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";
/// What a zone's owner says about times: refresh, retry, expire.
const TIMES: [u32; 3] = [3600, 600, 86_400];

/// The zone from a primary on that port; `more` are further keys.
fn source(port: u16, more: &str) -> String {
    format!(
        "[[policy.source]]\nname = \"zone\"\nfrom = \"axfr://127.0.0.1:{port}/{ZONE}\"\nformat = \"rpz\"\n{more}\n"
    )
}

fn key(name: &str, secret: &str) -> String {
    format!("[[policy.tsig]]\nname = \"{name}\"\nalgorithm = \"hmac-sha256\"\nsecret = \"{secret}\"\n")
}

fn manual() -> Clock {
    Clock::manual("2026-11-25T12:00:00Z".parse().unwrap())
}

fn notifies(site: &Site, result: &str) -> f64 {
    site.metric(&format!("interdict_notifies_total{{result=\"{result}\"}}"))
}

/// The bytes that are kept of the source: in pieces, a line for each of which stands behind the first.
fn kept(site: &Site) -> String {
    let record: Value = serde_json::from_str(&support::read(&site.path("state/sources/zone.json"))).unwrap();
    assert_eq!(record["in_pieces"], true);
    let file = |digest: &str| support::read(&site.path(&format!("state/sources/{digest}")));
    let contents = file(record["digest"].as_str().unwrap());
    contents.lines().skip(1).map(|line| file(line.split_once(' ').unwrap().0)).collect()
}

/// A resolver that starts while its primary is not there yet, so that the primary can be told whom to notify.
fn waiting(more: &str, keys: &str) -> (Site, u16) {
    let port = free_port();
    let site = Site::prepare(&(keys.to_owned() + &source(port, more)), Clock::system()).settled();
    assert_eq!(site.failing("zone"), "connect");
    assert_eq!(site.rcode("www.one.example"), NOERROR);
    (site, port)
}

/// A primary comes up, changes its zone twice, and goes away.
fn life_of_a_zone(kind: Kind, signed: bool) {
    if !kind.is_installed() {
        return;
    }
    let (site, port) =
        if signed { waiting(&format!("tsig = \"{KEY}\""), &key(KEY, SECRET)) } else { waiting("", "") };
    let serving = Serving { notify: Some(site.address()), signed, tls: None };
    let primary = Primary::start(
        kind,
        port,
        &serving,
        &zone_file(7, &["one.example", "*.one.example", "*.gone.example"]),
    );
    if kind == Kind::PowerDns {
        // It says so when it is told to.
        primary.control(&["notify", ZONE]);
    }
    until(30, "it says so when it starts", || notifies(&site, "accepted") >= 1.0);
    until(30, "the zone is in force", || site.rcode("www.one.example") == NXDOMAIN);
    assert_eq!(site.rcode("www.gone.example"), NXDOMAIN);
    until(30, "its serial is shown", || site.source("zone")["zone"]["serial"] == 7);

    for (serial, names) in [
        (8, &["one.example", "*.one.example", "*.two.example"][..]),
        (12, &["*.one.example", "*.three.example"]),
    ] {
        let heard = notifies(&site, "accepted");
        primary.change(&zone_file(serial, names));
        until(30, "the change is in force", || site.source("zone")["zone"]["serial"] == serial);
        assert!(notifies(&site, "accepted") > heard, "not by the timer: {}", primary.log());
        assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
        assert_eq!(site.rcode("www.gone.example"), NOERROR, "taken out");
        assert_eq!(site.rcode(&names[names.len() - 1].replace('*', "www")), NXDOMAIN, "put in");
    }
    // Differences lead to the same bytes as all of it at once.
    let by_differences = kept(&site);
    let fresh = Site::prepare(
        &(key(KEY, SECRET) + &source(port, if signed { "tsig = \"xfer.example\"" } else { "" })),
        Clock::system(),
    )
    .settled();
    assert_eq!(fresh.failing("zone"), "");
    assert_eq!(kept(&fresh), by_differences);
    let log = primary.log();
    match kind {
        Kind::Bind => assert!(log.contains("IXFR started"), "{log}"),
        Kind::Knot => assert!(log.contains("IXFR, outgoing"), "{log}"),
        // NSD 4.6 logs no transfers of its own at this level, PowerDNS answers IXFR with the whole zone.
        Kind::Nsd | Kind::PowerDns => {}
    }

    drop(primary);
    let outcome = site.reload("");
    assert_eq!(outcome["outcome"], "unchanged", "{outcome}");
    assert!(outcome["warnings"][0]["what"].as_str().unwrap().contains("since 20"), "{outcome}");
    assert_eq!(site.failing("zone"), "connect");
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    assert!(site.status()["degraded"].to_string().contains("source `zone` (connect)"));
}

#[test]
fn bind_tells_of_a_change_and_it_is_in_force_within_seconds() {
    life_of_a_zone(Kind::Bind, false);
}

#[test]
fn knot_tells_of_a_change_and_it_is_in_force_within_seconds() {
    life_of_a_zone(Kind::Knot, false);
}

#[test]
fn nsd_tells_of_a_change_and_it_is_in_force_within_seconds() {
    life_of_a_zone(Kind::Nsd, false);
}

#[test]
fn power_dns_tells_of_a_change_and_it_is_in_force_within_seconds() {
    life_of_a_zone(Kind::PowerDns, false);
}

#[test]
fn bind_signs_all_it_says_and_is_believed() {
    life_of_a_zone(Kind::Bind, true);
}

#[test]
fn knot_signs_all_it_says_and_is_believed() {
    life_of_a_zone(Kind::Knot, true);
}

#[test]
fn nsd_signs_all_it_says_and_is_believed() {
    life_of_a_zone(Kind::Nsd, true);
}

/// A zone of many messages, over TCP with a key and over TLS without.
#[test]
fn a_large_zone_comes_whole_and_in_every_length_of_stream() {
    let names: Vec<String> = (0..50_000).map(|number| format!("*.n{number}.listed.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_installed()) {
        let port = free_port();
        let signed = kind != Kind::PowerDns;
        let serving = Serving { signed, ..Serving::default() };
        let primary = Primary::start(kind, port, &serving, &zone_file(7, &names));
        let more = if signed { "tsig = \"xfer.example\"" } else { "" };
        let site = Site::prepare(&(key(KEY, SECRET) + &source(port, more)), Clock::system()).settled();
        for _ in 0..50 {
            // Some listen before they have read it.
            if site.failing("zone").is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
            site.reload("");
        }
        assert_eq!(site.failing("zone"), "", "{kind:?}: {} {}", site.source("zone"), primary.log());
        assert_eq!(site.source("zone")["rules"], 50_001, "{kind:?}: {}", primary.log());
        assert_eq!(site.rcode("www.n49999.listed.example"), NXDOMAIN);
    }
}

#[test]
fn a_wrong_key_an_unknown_one_and_none_are_told_apart() {
    if !Kind::Bind.is_installed() {
        return;
    }
    let port = free_port();
    let serving = Serving { signed: true, ..Serving::default() };
    let _primary = Primary::start(Kind::Bind, port, &serving, &zone_file(7, &["*.one.example"]));
    let wrong = "d3Jvbmcgc2VjcmV0";
    for (keys, more, reason) in [
        (key(KEY, SECRET), "tsig = \"xfer.example\"", ""),
        (key(KEY, wrong), "tsig = \"xfer.example\"", "signature_wrong"),
        (key("other.example", SECRET), "tsig = \"other.example\"", "signature_key"),
        (key(KEY, SECRET).replace("sha256", "sha512"), "tsig = \"xfer.example\"", "signature_key"),
        (String::new(), "", "status"),
    ] {
        let site = Site::prepare(&(keys + &source(port, more)), Clock::system()).settled();
        assert_eq!(site.failing("zone"), reason, "{}", site.source("zone"));
        let expected = if reason.is_empty() { NXDOMAIN } else { NOERROR };
        assert_eq!(site.rcode("www.one.example"), expected);
    }
    // A secret in a file, changed while it runs; and a clock that is wrong by an hour.
    let keys = key(KEY, "x").replace("secret = \"x\"", "secret_file = \"$DIR/secret\"");
    let site = Site::prepare(&(keys + &source(port, "tsig = \"xfer.example\"")), Clock::system());
    std::fs::write(site.path("secret"), wrong).unwrap();
    let site = site.settled();
    assert_eq!(site.failing("zone"), "signature_wrong");
    std::fs::write(site.path("secret"), format!("{SECRET}\n")).unwrap();
    assert_eq!(site.reload("")["outcome"], "published");
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    std::fs::write(site.path("secret"), wrong).unwrap();
    let outcome = site.reload("");
    assert!(outcome["warnings"][0]["what"].as_str().unwrap().contains("(signature_wrong)"), "{outcome}");
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN, "what was taken in good faith stays");
    std::fs::remove_file(site.path("secret")).unwrap();
    site.reload("");
    assert_eq!((site.failing("zone"), site.rcode("www.one.example")), ("io".to_owned(), NXDOMAIN.to_owned()));
    let late = Clock::manual(Clock::system().wall() - Duration::from_secs(3600));
    let site = Site::prepare(&(key(KEY, SECRET) + &source(port, "tsig = \"xfer.example\"")), late).settled();
    assert_eq!(site.failing("zone"), "signature_wrong");
    let what = site.source("zone")["condition"]["failing"]["what"].to_string();
    assert!(what.contains("BADTIME"), "{what}");
}

#[test]
fn over_tls_only_a_primary_that_proves_itself_is_believed() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let policy = |port: u16| source(port, "ca = \"$DIR/ca.pem\"").replace("axfr:", "axfrs:");
    let prepared = |port: u16| {
        let site = Site::prepare(&policy(port), Clock::system());
        std::fs::write(site.path("ca.pem"), &ours.pem).unwrap();
        site.settled()
    };
    if Kind::Bind.is_installed() {
        let port = free_port();
        let serving = Serving { tls: Some(ours.certify_pem("127.0.0.1", 2100)), ..Serving::default() };
        let primary = Primary::start(Kind::Bind, port, &serving, &zone_file(7, &["*.one.example"]));
        let site = prepared(port);
        assert_eq!(site.failing("zone"), "", "{}", primary.log());
        assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
        primary.change(&zone_file(8, &["*.two.example"]));
        until(30, "the change", || {
            site.reload("");
            site.rcode("www.two.example") == NXDOMAIN
        });
        assert!(primary.log().contains("IXFR started"), "{}", primary.log());
    }
    for tls in [
        theirs.certify("127.0.0.1", 2100),
        ours.certify("primary.example", 2100),
        ours.certify("127.0.0.1", 2021),
    ] {
        let primary = Scripted::start(Some(tls));
        primary.answer(|request| {
            vec![(
                Duration::ZERO,
                response(request, 0, &[soa(7, TIMES), block("*.one.example"), soa(7, TIMES)]),
            )]
        });
        let site = prepared(primary.address.port());
        assert_eq!(site.failing("zone"), "certificate", "{}", site.source("zone"));
        assert_eq!(primary.asked().len(), 0, "nothing is asked");
    }
    let honest = Scripted::start(Some(ours.certify("127.0.0.1", 2100)));
    honest.answer(|request| {
        vec![(Duration::ZERO, response(request, 0, &[soa(7, TIMES), block("*.one.example"), soa(7, TIMES)]))]
    });
    let site = prepared(honest.address.port());
    assert_eq!((site.failing("zone"), site.rcode("www.one.example")), (String::new(), NXDOMAIN.to_owned()));
    // In the clear where TLS is expected.
    let clear = Scripted::start(None);
    clear.answer(|request| vec![(Duration::ZERO, response(request, 0, &[soa(7, TIMES), soa(7, TIMES)]))]);
    let site = prepared(clear.address.port());
    assert_ne!(site.failing("zone"), "");
}

/// The fault table. Each fault meets a resolver that holds a good zone; the operator reloads; the zone holds, the status
/// says why and since when; the fault ends, and the new zone is in force.
#[test]
fn every_fault_of_a_primary_keeps_the_last_good_zone_and_is_said() {
    let primary = Scripted::start(None);
    let now = Duration::ZERO;
    let good = |serial: u32, names: &'static [&'static str]| {
        move |request: &[u8]| {
            let mut records = vec![soa(serial, TIMES)];
            records.extend(names.iter().map(|name| block(name)));
            records.push(soa(serial, TIMES));
            vec![(now, response(request, 0, &records))]
        }
    };
    primary.answer(good(10, &["*.one.example"]));
    let port = primary.address.port();
    let site = Site::prepare(
        &(source(port, "timeout = \"700ms\"\nmax_bytes = \"64KiB\"\nmax_growth = \"1000%\"")
            + "[guard]\nmust_resolve = [\"www.must.example\"]\n"),
        manual(),
    )
    .settled();
    type Pieces = Vec<(Duration, Vec<u8>)>;
    type Answer = fn(&[u8]) -> Pieces;
    let bad = "*.injected.example";
    let faults: Vec<(&str, &str, Answer)> = vec![
        ("cut between messages", "truncated", |q| {
            vec![(Duration::ZERO, response(q, 0, &[soa(99, TIMES), block("*.injected.example")]))]
        }),
        ("cut inside a message", "truncated", |q| {
            let whole = response(q, 0, &[soa(99, TIMES), block("*.injected.example"), soa(99, TIMES)]);
            vec![(Duration::ZERO, whole[..whole.len() - 9].to_vec())]
        }),
        ("closed at once", "truncated", |_| Vec::new()),
        ("garbage", "damaged", |_| vec![(Duration::ZERO, b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(900))]),
        ("zeros", "damaged", |_| vec![(Duration::ZERO, vec![0; 70_000])]),
        ("a record cut by its length", "damaged", |q| {
            let mut whole = response(q, 0, &[soa(99, TIMES), block("*.injected.example"), soa(99, TIMES)]);
            let at = whole.len() - 24;
            whole[at] = 0xFF;
            vec![(Duration::ZERO, whole)]
        }),
        ("an older serial", "replayed", |q| {
            vec![(
                Duration::ZERO,
                response(q, 0, &[soa(3, TIMES), block("*.injected.example"), soa(3, TIMES)]),
            )]
        }),
        ("differences out of order", "damaged", |q| {
            vec![(
                Duration::ZERO,
                response(q, 0, &[soa(99, TIMES), soa(98, TIMES), soa(97, TIMES), soa(99, TIMES)]),
            )]
        }),
        ("another SOA at the end", "damaged", |q| {
            vec![(
                Duration::ZERO,
                response(q, 0, &[soa(99, TIMES), block("*.injected.example"), soa(98, TIMES)]),
            )]
        }),
        ("no SOA at the beginning", "damaged", |q| {
            vec![(Duration::ZERO, response(q, 0, &[block("*.injected.example"), soa(99, TIMES)]))]
        }),
        ("another zone's response", "damaged", |q| {
            let mut whole = response(q, 0, &[soa(99, TIMES), block("*.injected.example"), soa(99, TIMES)]);
            whole[15] = b'x';
            vec![(Duration::ZERO, whole)]
        }),
        ("another request's response", "damaged", |q| {
            let mut whole = response(q, 0, &[soa(99, TIMES), block("*.injected.example"), soa(99, TIMES)]);
            whole[2] ^= 1;
            vec![(Duration::ZERO, whole)]
        }),
        ("records behind the end", "damaged", |q| {
            let records = [soa(99, TIMES), soa(99, TIMES), block("*.injected.example")];
            vec![(Duration::ZERO, response(q, 0, &records))]
        }),
        ("refused", "status", |q| vec![(Duration::ZERO, response(q, 5, &[]))]),
        ("not its zone", "status", |q| vec![(Duration::ZERO, response(q, 9, &[]))]),
        ("a stream that never ends", "too_large", |q| {
            let first = response(q, 0, &[soa(99, TIMES)]);
            let names: Vec<String> = (0..1000).map(|number| format!("*.injected{number}.example")).collect();
            let next: Vec<_> = names.iter().map(|name| block(name)).collect();
            let next = response(q, 0, &next);
            std::iter::once((Duration::ZERO, first))
                .chain((0..50).map(|_| (Duration::ZERO, next.clone())))
                .collect()
        }),
        ("a message every 50 ms", "timeout", |q| {
            let mut pieces = vec![(Duration::ZERO, response(q, 0, &[soa(99, TIMES)]))];
            pieces.extend(
                (0..100).map(|_| (Duration::from_millis(50), response(q, 0, &[block("*.injected.example")]))),
            );
            pieces
        }),
        ("a byte every 50 ms", "timeout", |q| {
            response(q, 0, &[soa(99, TIMES)])
                .into_iter()
                .map(|byte| (Duration::from_millis(50), vec![byte]))
                .collect()
        }),
        ("silence", "timeout", |_| vec![(Duration::from_secs(2), Vec::new())]),
        ("no rule left", "no_rules", |q| {
            vec![(Duration::ZERO, response(q, 0, &[soa(99, TIMES), soa(99, TIMES)]))]
        }),
        ("a ban on what must resolve", "guard", |q| {
            let records = [
                soa(99, TIMES),
                block("*.one.example"),
                block("*.injected.example"),
                block("*.must.example"),
                soa(99, TIMES),
            ];
            vec![(Duration::ZERO, response(q, 0, &records))]
        }),
    ];
    let mut table = Vec::new();
    let mut serial = 10;
    for (fault, reason, answer) in faults {
        let asked = || [site.rcode("www.one.example"), site.rcode("www.injected.example")];
        assert_eq!(asked(), [NXDOMAIN, NOERROR], "{fault}: {bad}");
        let count = format!("interdict_source_failures_total{{source=\"zone\",reason=\"{reason}\"}}");
        let failures = site.metric(&count);
        primary.answer(answer);
        let outcome = site.reload("");
        assert_eq!(outcome["outcome"], "unchanged", "{fault}: {outcome}");
        let what = outcome["warnings"][0]["what"]
            .as_str()
            .unwrap_or_else(|| panic!("{fault}: {outcome}"))
            .to_owned();
        assert!(what.contains(&format!("({reason})")) && what.contains("since 2026-"), "{fault}: {what}");
        assert_eq!(asked(), [NXDOMAIN, NOERROR], "{fault}");
        let shown = site.source("zone");
        assert_eq!(
            (&shown["last_good"], &shown["zone"]["serial"]),
            (&true.into(), &serial.into()),
            "{fault}: {shown}"
        );
        assert_eq!(site.metric(&count), failures + 1.0, "{fault}");
        site.clock.advance(Duration::from_secs(5));
        site.reload("");
        let again = site.source("zone")["condition"]["failing"].clone();
        assert_eq!(
            (&again["since"], &again["times"]),
            (&shown["condition"]["failing"]["since"], &2.into()),
            "{fault}"
        );

        serial += 1;
        let mended = format!("*.mended{serial}.example");
        let expected = format!("www.mended{serial}.example");
        primary.answer(move |q| {
            let records = [soa(serial, TIMES), block("*.one.example"), block(&mended), soa(serial, TIMES)];
            vec![(Duration::ZERO, response(q, 0, &records))]
        });
        let outcome = site.reload("");
        assert_eq!(outcome["outcome"], "published", "{fault}: {outcome}");
        assert_eq!(
            (site.failing("zone"), site.status()["degraded"].to_string()),
            (String::new(), "[]".to_owned())
        );
        assert_eq!(site.rcode(&expected), NXDOMAIN, "{fault}");
        table.push(format!("{fault:28} {reason:12} {what}"));
    }
    eprintln!("{}", table.join("\n"));
}

#[test]
fn a_primary_that_forgets_to_sign_is_not_believed() {
    let primary = Scripted::start(None);
    primary.answer(|request| {
        vec![(Duration::ZERO, response(request, 0, &[soa(7, TIMES), block("*.one.example"), soa(7, TIMES)]))]
    });
    let policy = key(KEY, SECRET) + &source(primary.address.port(), "tsig = \"xfer.example\"");
    let site = Site::prepare(&policy, manual()).settled();
    assert_eq!(site.failing("zone"), "signature_missing");
    assert_eq!(site.rcode("www.one.example"), NOERROR);
    // The configuration is kept with its generation, and the secret in it is nobody else's.
    let mut kept = 0;
    for entry in std::fs::read_dir(site.path("state/blobs")).unwrap() {
        let path = entry.unwrap().path();
        if std::fs::read(&path).unwrap().windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()) {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{path:?}");
            kept += 1;
        }
    }
    assert_eq!(kept, 1);
}

#[test]
fn differences_that_do_not_fit_are_replaced_by_the_whole_zone() {
    let primary = Scripted::start(None);
    primary.answer(|request| {
        vec![(Duration::ZERO, response(request, 0, &[soa(7, TIMES), block("*.one.example"), soa(7, TIMES)]))]
    });
    let site = Site::prepare(&source(primary.address.port(), ""), manual()).settled();
    assert_eq!(primary.asked().len(), 1, "asked once for all of it");
    for (serial, differences) in [
        (
            8,
            vec![
                soa(8, TIMES),
                soa(7, TIMES),
                block("never"),
                soa(8, TIMES),
                block("*.wrong.example"),
                soa(8, TIMES),
            ],
        ),
        (9, vec![soa(9, TIMES), soa(7, TIMES), soa(9, TIMES), block("*.wrong.example"), soa(9, TIMES)]),
    ] {
        let before = primary.asked().len();
        let (name, expected) = (format!("*.v{serial}.example"), format!("www.v{serial}.example"));
        primary.answer(move |request| {
            let whole = [soa(serial, TIMES), block("*.one.example"), block(&name), soa(serial, TIMES)];
            let records = if is_ixfr(request) { &differences[..] } else { &whole[..] };
            vec![(Duration::ZERO, response(request, 0, records))]
        });
        assert_eq!(site.reload("")["outcome"], "published");
        let asked: Vec<bool> = primary.asked()[before..].iter().map(|request| is_ixfr(request)).collect();
        assert_eq!(asked, [true, false]);
        assert_eq!(site.rcode(&expected), NXDOMAIN);
        assert_eq!(site.rcode("www.wrong.example"), NOERROR);
    }
    // While nothing changes one record comes, and nothing is compiled.
    let before = (primary.asked().len(), site.status()["compiled_on"].clone());
    primary.answer(|request| vec![(Duration::ZERO, response(request, 0, &[soa(9, TIMES)]))]);
    assert_eq!(site.reload("")["outcome"], "unchanged");
    assert_eq!((primary.asked().len(), site.status()["compiled_on"].clone()), (before.0 + 1, before.1));
    assert_eq!(site.failing("zone"), "");
}

#[test]
fn the_zones_own_times_are_kept_and_past_expire_it_stays_in_force_loudly() {
    let mut primary = Scripted::start(None);
    let times = [1200, 100, 4000];
    primary.answer(move |request| {
        let records = [soa(7, times), block("*.one.example"), soa(7, times)];
        vec![(Duration::ZERO, response(request, 0, &records))]
    });
    let mut site = Site::prepare(&source(primary.address.port(), ""), manual()).settled();
    let wait = |site: &Site| {
        let next = site.source("zone")["condition"]["next_fetch"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap();
        next.duration_since(site.clock.wall()).as_secs_f64()
    };
    let within = |wait: f64, expected: f64| (expected * 0.9 - 0.1..=expected * 1.1 + 0.1).contains(&wait);
    assert!(within(wait(&site), 1200.0), "refresh: {}", wait(&site));
    assert_eq!(
        site.metric("interdict_source_expires_timestamp_seconds{source=\"zone\"}"),
        site.clock.wall().as_second() as f64 + 4000.0
    );
    primary.down();
    site.clock.advance(Duration::from_secs(1330));
    for (times, expected) in [(1, 30.0), (2, 60.0), (3, 100.0), (4, 100.0)] {
        until(30, "the next failure", || site.source("zone")["condition"]["failing"]["times"] == times);
        let now = wait(&site);
        assert!(within(now, expected), "after {times}: {now}");
        site.clock.advance(Duration::from_secs_f64(now + 1.0));
    }
    let said = |site: &Site| site.status()["degraded"].to_string();
    assert!(!said(&site).contains("EXPIRE"), "{}", said(&site));
    site.clock.advance(Duration::from_secs(4000));
    until(30, "it is said", || said(&site).contains("PAST THE ZONE'S EXPIRE TIME, 2026-11-25T13:06:40Z"));
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN, "it never stops by itself");
    // Nor by a restart.
    site.stop();
    let site = site.settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    until(30, "it is said again", || said(&site).contains("PAST THE ZONE'S EXPIRE TIME"));
    primary.up();
    site.reload("");
    assert_eq!((said(&site), site.failing("zone")), ("[]".to_owned(), String::new()));
}

#[test]
fn what_strangers_say_of_a_zone_is_refused_and_counted() {
    let primary = Scripted::start(None);
    primary.answer(|request| {
        vec![(Duration::ZERO, response(request, 0, &[soa(7, TIMES), block("*.one.example"), soa(7, TIMES)]))]
    });
    // By its name: where that leads is where a NOTIFY may come from.
    let policy = source(primary.address.port(), "").replace("127.0.0.1", "localhost");
    let site = Site::prepare(&policy, manual()).settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    site.clock.advance(Duration::from_secs(10));
    let before = primary.asked().len();
    let notify = |zone: &str| {
        let mut message = support::query(0x1234, 0x2400, zone, 6, None);
        message[2] = 0x24;
        message
    };
    let rcode = |reply: Option<Vec<u8>>| {
        let reply = reply.unwrap();
        assert_eq!((&reply[..3], reply.len() > 12), (&[0x12, 0x34, 0xA4][..], true), "{reply:?}");
        reply[3] & 15
    };
    assert_eq!(rcode(site.udp_from("127.0.0.9".parse().unwrap(), &notify(ZONE))), 5);
    assert_eq!(rcode(site.udp(&notify("other.example"))), 9);
    assert_eq!(
        (notifies(&site, "address"), notifies(&site, "zone"), notifies(&site, "accepted")),
        (1.0, 1.0, 0.0)
    );
    assert_eq!(primary.asked().len(), before, "nobody is asked for it");
    assert_eq!(rcode(site.udp(&notify("RPZ.Example"))), 0);
    until(30, "the primary is asked", || primary.asked().len() == before + 1);
    site.clock.advance(Duration::from_secs(10));
    assert_eq!(rcode(site.tcp(&notify(ZONE))), 0, "over TCP too");
    until(30, "the primary is asked", || primary.asked().len() == before + 2);
    assert_eq!(notifies(&site, "accepted"), 2.0);
    // Queries go on as ever, and another opcode is still not implemented.
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    let mut update = support::query(7, 0, ZONE, 6, None);
    update[2] = 0x28;
    assert_eq!(site.udp(&update).unwrap()[3] & 15, 4);
}

#[test]
fn a_restart_without_the_primary_keeps_the_zone_and_goes_on_by_differences() {
    let mut primary = Scripted::start(None);
    primary.answer(|request| {
        vec![(Duration::ZERO, response(request, 0, &[soa(7, TIMES), block("*.one.example"), soa(7, TIMES)]))]
    });
    let mut site = Site::prepare(&source(primary.address.port(), ""), manual()).settled();
    site.stop();
    primary.down();
    site.clock.advance(Duration::from_secs(7200));
    let site = site.settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    until(30, "it is said", || site.failing("zone") == "connect");
    let degraded = site.status()["degraded"].to_string();
    assert!(
        degraded.contains("since 2026-11-25T14:00:00Z; its content of 2026-11-25T12:00:00Z is used"),
        "{degraded}"
    );
    primary.up();
    primary.answer(|request| {
        assert!(is_ixfr(request));
        let records = [
            soa(8, TIMES),
            soa(7, TIMES),
            block("*.one.example"),
            soa(8, TIMES),
            block("*.two.example"),
            soa(8, TIMES),
        ];
        vec![(Duration::ZERO, response(request, 0, &records))]
    });
    assert_eq!(site.reload("")["outcome"], "published");
    assert_eq!(
        (site.rcode("www.one.example"), site.rcode("www.two.example")),
        (NOERROR.to_owned(), NXDOMAIN.to_owned())
    );
    assert_eq!(
        kept(&site),
        format!("$ORIGIN {ZONE}.\n@ 60 SOA . . 8 3600 600 86400 60\n*.two.example 60 CNAME .\n")
    );
}
