//! Upstreams that say more than they were asked: what of an answer is kept and passed on, and what is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]
#![allow(dead_code, reason = "shares files with other suites")]

mod support;

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use interdict::resolve::kept_of;
use support::{Site, Upstream, code, query};

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
const TXT: u16 = 16;
const DNAME: u16 = 39;
const OPT: u16 = 41;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const HTTPS: u16 = 65;

/// Answer, authority and additional records.
type Sections = [Vec<Vec<u8>>; 3];

fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn record(owner: &str, kind: u16, rdata: &[u8]) -> Vec<u8> {
    let mut out = wire(owner);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1, 0, 0, 1, 0x2C]);
    out.extend((rdata.len() as u16).to_be_bytes());
    out.extend(rdata);
    out
}

fn address(owner: &str, last: u8) -> Vec<u8> {
    record(owner, A, &[192, 0, 2, last])
}

fn leading(owner: &str, kind: u16, to: &str) -> Vec<u8> {
    record(owner, kind, &wire(to))
}

fn soa(owner: &str) -> Vec<u8> {
    let numbers = [1u32, 3600, 600, 86_400, 300].map(u32::to_be_bytes).concat();
    record(owner, SOA, &[wire("ns.example"), wire("admin.example"), numbers].concat())
}

fn signature(owner: &str, covers: u16, signer: &str) -> Vec<u8> {
    let fixed = [&covers.to_be_bytes()[..], &[13, 2], &[0; 14]].concat();
    record(owner, RRSIG, &[fixed, wire(signer), vec![7; 64]].concat())
}

/// A site whose upstream answers every question with the code and the sections that `script` gives for its name.
fn site(script: fn(&str) -> (u8, Sections)) -> Site {
    let answer = move |asked: &[u8], _tcp| {
        let end = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let labels = Message::from_vec(asked).unwrap().queries[0].name().to_lowercase().to_ascii();
        let (rcode, sections) = script(labels.trim_end_matches('.'));
        let mut out = asked[..2].to_vec();
        out.extend([0x81, 0x80 | rcode, 0, 1]);
        sections.iter().for_each(|section| out.extend((section.len() as u16).to_be_bytes()));
        out.extend(&asked[12..end]);
        sections.iter().flatten().for_each(|record| out.extend(record));
        Some(out)
    };
    Site::prepare_with(Upstream::scripted(answer), "", Clock::system()).started()
}

/// What a section holds: owner, type, and the last byte of the data.
fn shown(records: &[hickory_proto::rr::Record]) -> Vec<String> {
    let show = |record: &hickory_proto::rr::Record| {
        let name = record.name.to_ascii();
        format!("{} {}", name.trim_end_matches('.'), record.record_type())
    };
    records.iter().map(show).collect()
}

/// Asks for `kind` at `name` twice, with DO if wanted; returns the reply to the second question, which must be that to the first, and how
/// often the upstream was asked.
fn twice(site: &Site, name: &str, kind: u16, dnssec_ok: bool) -> (Message, u64) {
    let before = site.upstream.asked.load(Ordering::SeqCst);
    let ask = || {
        let mut query = query(7, 0x0100, name, kind, Some(1232));
        if dnssec_ok {
            let at = query.len() - 4;
            query[at] = 0x80;
        }
        Message::from_vec(&site.udp(&query).expect("a reply")).unwrap()
    };
    let (first, second) = (ask(), ask());
    assert_eq!(shown(&first.answers), shown(&second.answers));
    assert_eq!(shown(&first.authorities), shown(&second.authorities));
    assert!(second.additionals.is_empty() && second.edns.is_some(), "nothing additional but the OPT record");
    (second, site.upstream.asked.load(Ordering::SeqCst) - before)
}

#[test]
fn another_names_records_beside_the_answer_are_neither_kept_nor_passed_on() {
    let site = site(|name| match name {
        "www.example" => (
            0,
            [
                vec![address("bank.example", 66), address(name, 7), record(name, TXT, b"\x01x")],
                vec![],
                vec![],
            ],
        ),
        _ => (0, [vec![address(name, 8)], vec![], vec![]]),
    });
    let (reply, asked) = twice(&site, "www.example", A, false);
    assert_eq!((shown(&reply.answers), asked), (vec!["www.example A".to_owned()], 1));
    assert_eq!(reply.answers[0].data.to_string(), "192.0.2.7");
    let (reply, asked) = twice(&site, "bank.example", A, false);
    assert_eq!((reply.answers[0].data.to_string(), asked), ("192.0.2.8".to_owned(), 1));
}

#[test]
fn an_answer_to_another_question_alone_is_a_failure() {
    let site = site(|_| (0, [vec![address("bank.example", 66)], vec![], vec![]]));
    let (reply, _) = twice(&site, "www.example", A, false);
    assert_eq!((code(&reply), reply.answers.len()), ("SERVFAIL", 0));
}

#[test]
fn aliases_are_followed_whatever_their_order_and_given_in_theirs() {
    let site = site(|name| {
        let chain = vec![
            address("c.example", 7),
            leading("b.example", CNAME, "c.example"),
            address("d.example", 66),
            leading(name, CNAME, "b.example"),
            leading("c.example", CNAME, name),
        ];
        (0, [chain, vec![], vec![]])
    });
    let (reply, asked) = twice(&site, "a.example", A, false);
    let expected = ["a.example CNAME", "b.example CNAME", "c.example A", "c.example CNAME"];
    assert_eq!((shown(&reply.answers), asked), (expected.map(str::to_owned).to_vec(), 1));
}

#[test]
fn a_renamed_subtree_leads_on_with_and_without_the_alias_made_of_it() {
    let site = site(|name| {
        let front = name.strip_suffix(".old.example").unwrap();
        let mut answers = vec![leading("old.example", DNAME, "new.example")];
        answers.extend((front == "made").then(|| leading(name, CNAME, "made.new.example")));
        answers.extend([
            address("b.old.example", 66),
            signature("old.example", DNAME, "example"),
            leading("other.example", DNAME, "new.example"),
            address(&format!("{front}.new.example"), 7),
        ]);
        (0, [answers, vec![], vec![]])
    });
    let (reply, asked) = twice(&site, "made.old.example", A, true);
    let expected = ["old.example DNAME", "made.old.example CNAME", "old.example RRSIG", "made.new.example A"];
    assert_eq!((shown(&reply.answers), asked), (expected.map(str::to_owned).to_vec(), 1));
    let (reply, _) = twice(&site, "alone.old.example", A, true);
    assert_eq!(shown(&reply.answers), ["old.example DNAME", "old.example RRSIG", "alone.new.example A"]);
}

#[test]
fn name_servers_and_addresses_beside_an_answer_go() {
    let site = site(|name| {
        let authority = vec![
            leading("example", NS, "ns.evil.test"),
            leading("com", NS, "ns.evil.test"),
            address("bank.example", 66),
            signature("example", NS, "example"),
        ];
        let additional = vec![
            address("ns.evil.test", 66),
            record("", OPT, b""),
            address(name, 66),
            address("bank.example", 66),
        ];
        (0, [vec![address(name, 7)], authority, additional])
    });
    let (reply, asked) = twice(&site, "www.example", A, true);
    assert_eq!((shown(&reply.answers), asked), (vec!["www.example A".to_owned()], 1));
    assert!(reply.authorities.is_empty());
}

#[test]
fn a_negative_answer_holds_by_the_soa_of_a_zone_that_the_name_is_in_and_no_other() {
    let site = site(|name| {
        let zone = if name.starts_with("own") { "example" } else { "elsewhere.test" };
        let authority = vec![leading("example", NS, "ns.evil.test"), soa(zone), address("bank.example", 66)];
        (if name.contains("nodata") { 0 } else { 3 }, [vec![], authority, vec![]])
    });
    for (name, expected, of_zone, asked) in [
        ("own.example", "NXDOMAIN", 1, 1),
        ("own.nodata.example", "NOERROR", 1, 1),
        ("other.example", "NXDOMAIN", 0, 2),
        ("other.nodata.example", "NOERROR", 0, 2),
    ] {
        let (reply, times) = twice(&site, name, A, false);
        assert_eq!((code(&reply), reply.authorities.len(), times), (expected, of_zone, asked), "{name}");
    }
}

#[test]
fn an_alias_to_nothing_keeps_the_soa_of_the_zone_it_leads_to() {
    let site = site(|name| {
        let authority = vec![soa("evil.test"), soa("there.test")];
        (3, [vec![leading(name, CNAME, "x.there.test")], authority, vec![]])
    });
    let (reply, asked) = twice(&site, "www.example", A, false);
    assert_eq!((shown(&reply.authorities), asked), (vec!["there.test SOA".to_owned()], 1));
    assert_eq!((shown(&reply.answers), code(&reply)), (vec!["www.example CNAME".to_owned()], "NXDOMAIN"));
}

#[test]
fn signatures_and_proofs_of_the_names_own_zones_stay() {
    let site = site(|name| {
        if name == "www.example" {
            let authority = vec![
                record("a.example", NSEC, &[wire("z.example"), vec![0, 1, 0x40]].concat()),
                signature("a.example", NSEC, "example"),
                record("a.evil.test", NSEC, &[wire("z.evil.test"), vec![0, 1, 0x40]].concat()),
                signature("a.evil.test", NSEC, "evil.test"),
                signature("a.evil.test", NSEC, "example"),
            ];
            return (0, [vec![address(name, 7), signature(name, A, "example")], authority, vec![]]);
        }
        let authority = vec![
            soa("example"),
            signature("example", SOA, "example"),
            record("a.example", NSEC, &[wire("z.example"), vec![0, 1, 0x40]].concat()),
            signature("a.example", NSEC, "example"),
        ];
        (3, [vec![], authority, vec![]])
    });
    let (reply, _) = twice(&site, "www.example", A, true);
    assert_eq!(shown(&reply.answers), ["www.example A", "www.example RRSIG"]);
    assert_eq!(shown(&reply.authorities), ["a.example NSEC", "a.example RRSIG"]);
    let (reply, _) = twice(&site, "none.example", A, true);
    assert_eq!(
        shown(&reply.authorities),
        ["example SOA", "example RRSIG", "a.example NSEC", "a.example RRSIG"]
    );
}

#[test]
fn what_mail_and_services_lead_to_is_asked_for_not_taken_along() {
    let site = site(|name| match name {
        "mail.example" => {
            let answers = vec![record(name, MX, &[&[0, 10][..], &wire("mx.example")].concat())];
            (0, [answers, vec![], vec![address("mx.example", 66)]])
        }
        "web.example" => {
            let answers = vec![record(name, HTTPS, &[&[0, 1][..], &wire("cdn.example")].concat())];
            (0, [answers, vec![], vec![address("cdn.example", 66)]])
        }
        _ => (0, [vec![address(name, 8)], vec![], vec![]]),
    });
    for (name, kind, target) in [("mail.example", MX, "mx.example"), ("web.example", HTTPS, "cdn.example")] {
        assert_eq!(twice(&site, name, kind, false).0.answers.len(), 1);
        let (reply, asked) = twice(&site, target, A, false);
        assert_eq!((reply.answers[0].data.to_string(), asked), ("192.0.2.8".to_owned(), 1));
    }
}

#[test]
fn a_question_for_everything_gets_everything_at_the_name() {
    let site = site(|name| {
        (
            0,
            [
                vec![address(name, 7), record(name, TXT, b"\x01x"), address("bank.example", 66)],
                vec![],
                vec![],
            ],
        )
    });
    let reply = site.tcp(&query(7, 0x0100, "www.example", 255, Some(1232))).unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert!(
        shown(&reply.answers).iter().all(|shown| shown.starts_with("www.example ")),
        "{:?}",
        shown(&reply.answers)
    );
}

/// Random records of few names and types, some broken, their names written out or as pointers.
fn random_answer(random: &mut fastrand::Rng) -> Vec<u8> {
    let names = ["a.example", "b.example", "c.d.example", "example", "", "test", "x.test"];
    let kinds = [A, NS, CNAME, SOA, MX, TXT, DNAME, RRSIG, NSEC, HTTPS, OPT, 50, 33, 35];
    let mut out = b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01".to_vec();
    out[22 + 3] = [1, 5, 15, 39, 46, 255][random.usize(..6)];
    out[3] |= [0, 0, 3][random.usize(..3)];
    let mut known = vec![12, 14];
    let mut counts = [0u8; 3];
    for count in &mut counts {
        for _ in 0..random.usize(..5) {
            let mut name = |out: &mut Vec<u8>| match random.bool() {
                true => out.extend((0xC000 | known[random.usize(..known.len())] as u16).to_be_bytes()),
                false => {
                    known.push(out.len());
                    out.extend(wire(names[random.usize(..names.len())]));
                }
            };
            name(&mut out);
            let mut data = Vec::new();
            let at = out.len() + 10;
            data.resize(at, 0);
            name(&mut data);
            name(&mut data);
            let kind = kinds[random.usize(..kinds.len())];
            out.extend(kind.to_be_bytes());
            out.extend([0, 1, 0, 0, 1, 0x2C]);
            let fixed: &[u8] = match kind {
                RRSIG => &[[0, 1], [0, 6], [0, 47], [0, 5], [0, 39]][random.usize(..5)],
                _ => &[],
            };
            let mut rdata = fixed.to_vec();
            if kind == RRSIG {
                rdata.extend([0; 16]);
            }
            rdata.extend(&data[at..]);
            rdata.extend(&[7; 24][..random.usize(..24)]);
            out.extend((rdata.len() as u16).to_be_bytes());
            out.extend(rdata);
            *count += 1;
        }
    }
    (out[7], out[9], out[11]) = (counts[0], counts[1], counts[2]);
    out
}

#[test]
fn whatever_an_upstream_says_what_is_left_belongs_and_stays() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut anew = 0;
    for round in 0..200_000 {
        let mut bytes = random_answer(&mut random);
        let question = bytes[12..27].to_vec();
        let Some(kept) = kept_of(&mut bytes, 0x1234, &question, 0) else { continue };
        anew += u32::from(matches!(kept, Cow::Owned(_)));
        let mut again = [b"\x12\x34", &kept[2..]].concat();
        assert_eq!(kept_of(&mut again, 0x1234, &question, 0).as_deref(), Some(&*kept), "round {round}");
        assert_eq!(kept[10..12], [0, 0], "nothing additional");
    }
    assert!(anew > 1000, "{anew}");
}
