//! Each list syntax on a sample with what real lists hold, and on lines that are none.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use interdict::formats::{Format, Options, Parsed, ZoneHead, parse};
use interdict::policy::{Action, Reach};

fn read(format: Format, text: &[u8]) -> Parsed {
    parse(format, "list", &[text], &Options::default())
}

fn rules(parsed: &Parsed) -> Vec<String> {
    let word = |reach| match reach {
        Reach::Below => "below",
        Reach::Exact => "exact",
        Reach::Subtree => "subtree",
        Reach::NameServer => "name-server",
        Reach::NameServersBelow => "name-servers-below",
    };
    let of = |action: Option<&Action>| action.as_ref().map_or("-", |action| action.kind().as_str());
    parsed
        .rules
        .iter()
        .map(|r| format!("{} {} {} {}", r.line, r.name, word(r.reach), of(r.action.as_deref())))
        .collect()
}

#[test]
fn hosts() {
    let parsed = read(Format::Hosts, b"\xEF\xBB\xBF# c\r\n127.0.0.1 localhost\r\n0.0.0.0 A.example b.example # x\r\n0.0.0.0 1.2.3.4\n:: c.example\n");
    assert_eq!(rules(&parsed), ["3 a.example exact -", "3 b.example exact -", "5 c.example exact -"]);
    assert_eq!((parsed.refused, parsed.lines, parsed.skipped.values().sum::<u64>()), (0, 5, 2));
}

#[test]
fn domains() {
    let text = "! c\na.example\n*.b.example # x\n.c.example\n微信.中国\n256.1.1.1\n".as_bytes();
    let parsed = read(Format::Domains, text);
    let expected = [
        "2 a.example exact -",
        "3 b.example subtree -",
        "4 c.example subtree -",
        "5 xn--vuqz89a.xn--fiqs8s exact -",
    ];
    assert_eq!(rules(&parsed), expected);
    let wide = parse(Format::Domains, "list", &[b"a.example"], &Options { subdomains: true, zone: None });
    assert_eq!(rules(&wide), ["1 a.example subtree -"]);
}

#[test]
fn adblock() {
    let parsed = read(
        Format::Adblock,
        b"[Adblock Plus]\n! c\n||a.example^\n@@||ok.a.example^\n|b.example^\n||c.example^$important\n||d.example^$third-party\nx.example##.ad\n/re/\n||*.e.example^\n||a*b.example^\n||f.example/path\n",
    );
    let expected = [
        "3 a.example subtree -",
        "4 ok.a.example subtree passthru",
        "5 b.example exact -",
        "6 c.example subtree -",
        "10 e.example below -",
    ];
    assert_eq!(rules(&parsed), expected);
    assert_eq!((parsed.refused, parsed.skipped.values().sum::<u64>()), (0, 5));
}

#[test]
fn dnsmasq() {
    let parsed = read(
        Format::Dnsmasq,
        b"# c\naddress=/a.example/0.0.0.0\naddress=/b.example/c.example/\nlocal=/d.example/\nserver=/e.example/192.0.2.1\naddress=/f.example/192.0.2.1\naddress=/f.example/2001:db8::1\ncache-size=5\n",
    );
    let expected = [
        "2 a.example subtree -",
        "3 b.example subtree -",
        "3 c.example subtree -",
        "4 d.example subtree -",
        "6 f.example subtree local",
    ];
    assert_eq!(rules(&parsed), expected);
    assert!(matches!(parsed.rules[4].action.as_deref(), Some(Action::Local(records)) if records.len() == 2));
}

#[test]
fn rpz() {
    let parsed = read(
        Format::Rpz,
        b"$TTL 1h\n$ORIGIN rpz.test.\n@ IN SOA ns. host. (\n  1 ; serial\n  3600 600 86400 60 )\n  NS ns.\na.example CNAME .\n*.a.example 300 IN CNAME .\nb.example.rpz.test. CNAME *.\nc.example CNAME rpz-passthru.\nd.example CNAME rpz-drop.\ne.example CNAME rpz-tcp-only.\nf.example CNAME walled.example.\ng.example A 192.0.2.1\n  AAAA 2001:db8::1\nh.example TXT \"no; entry\"\n32.1.2.0.192.rpz-ip CNAME .\n\
           32.zz.db8.2001.RPZ-IP.rpz.test. A 192.0.2.9\n  A 192.0.2.10\n8.0.0.0.10.rpz-client-ip CNAME 8.0.0.0.10.\n\
           *.i.example CNAME *.walled.example.\nj.example SRV 1 2 443 k.example.\nj.example TYPE65280 \\# 3 01 02ff\n\
           ns.example.rpz-nsdname CNAME .\n*.below.example.rpz-nsdname.rpz.test. CNAME *.\n64.zz.db8.2001.rpz-nsip CNAME .\n\
           rpz-nsdname CNAME .\n*.rpz-nsdname CNAME .\n",
    );
    let expected = [
        "7 a.example exact nxdomain",
        "8 a.example below nxdomain",
        "9 b.example exact nodata",
        "10 c.example exact passthru",
        "11 d.example exact drop",
        "12 e.example exact tcp-only",
        "13 f.example exact redirect",
        "14 g.example exact local",
        "16 h.example exact local",
        "21 i.example below redirect",
        "22 j.example exact local",
        "24 ns.example name-server nxdomain",
        "25 below.example name-servers-below nodata",
    ];
    assert_eq!(rules(&parsed), expected);
    let addresses: Vec<String> = parsed
        .addresses
        .iter()
        .map(|rule| format!("{} {:?} {} {}", rule.line, rule.whose, rule.prefix, rule.action.kind()))
        .collect();
    let expected = [
        "17 Answer 192.0.2.1/32 nxdomain",
        "18 Answer 2001:db8::/32 local",
        "20 Client 10.0.0.0/8 passthru",
        "26 NameServer 2001:db8::/64 nxdomain",
    ];
    assert_eq!(addresses, expected);
    let records = |action: &Action| match action {
        Action::Local(records) => records.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(records(&parsed.addresses[1].action), 2);
    assert_eq!(records(parsed.rules[10].action.as_ref().unwrap()), 2);
    assert_eq!((parsed.refused, parsed.skipped.values().sum::<u64>()), (2, 0), "{:?}", parsed.problems);
    assert!(parsed.problems.iter().all(|problem| problem.what.contains("would meet every name")));
    assert_eq!(parsed.zone, Some(ZoneHead { serial: Some(1), ttl: Some(3600) }));
}

/// RFC 2308 section 4: `$TTL` counts for the records below it that have none of their own.
#[test]
fn rpz_local_records_have_the_ttl_of_their_zone_or_their_own() {
    let parsed = read(
        Format::Rpz,
        b"a A 192.0.2.1\n$TTL 2h\nb A 192.0.2.1\nc 60 A 192.0.2.1\n$TTL 5\nd A 192.0.2.1\n",
    );
    let ttls: Vec<Option<u32>> = parsed
        .rules
        .iter()
        .map(|rule| match rule.action.as_deref() {
            Some(Action::Local(records)) => records[0].ttl,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ttls, [None, Some(7200), Some(60), Some(5)]);
    assert_eq!(parsed.zone, Some(ZoneHead { serial: None, ttl: Some(5) }));
}

#[test]
fn what_is_no_list_says_what_is_wrong() {
    for (format, text, what) in [
        (Format::Hosts, "a.example\n", "does not begin with an address"),
        (Format::Hosts, "0.0.0.0\n", "no name follows"),
        (Format::Hosts, "0.0.0.0 a..b\n", "empty label"),
        (Format::Domains, "||a.example^\n", "cannot stand in a domain name"),
        (Format::Domains, "a b\n", "cannot stand in a domain name"),
        (Format::Domains, ".\n", "empty label"),
        (Format::Domains, "<!DOCTYPE html>\n", "a web page"),
        (Format::Dnsmasq, "address=/#/\n", "meet every name"),
        (Format::Dnsmasq, "adress=/a.example/\n", "not a dnsmasq setting"),
        (Format::Dnsmasq, "address=/a.example/x\n", "not an address"),
        (Format::Adblock, "||a..b^\n", "empty label"),
        (Format::Rpz, "* CNAME .\n", "meet every name"),
        (Format::Rpz, "a.example CNAME rpz-oops.\n", "not an action"),
        (Format::Rpz, "a.example CNAME\n", "needs a target"),
        (Format::Rpz, "$INCLUDE x\n", "not supported"),
        (Format::Rpz, "a.example TXT \"open\n", "not closed"),
        (Format::Rpz, "@ SOA ( 1 2\n", "not closed"),
        (Format::Rpz, "a.example A 1.2.3\n", "does not parse"),
        (Format::Rpz, "a.example TYPE65280 \\# 3 0102\n", "does not parse"),
        (Format::Rpz, "24.1.2.0.192.rpz-ip CNAME .\n", "host bits"),
        (Format::Rpz, "x.32.1.2.0.192.rpz-ip CNAME .\n", "not a prefix length"),
        (Format::Rpz, "rpz-client-ip CNAME .\n", "not a prefix length"),
    ] {
        let parsed = read(format, text.as_bytes());
        assert_eq!(parsed.refused, 1, "{format} {text:?}: {:?}", parsed.problems);
        assert!(parsed.problems[0].what.contains(what), "{format} {text:?}: {}", parsed.problems[0]);
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut state = 1u64;
    for _ in 0..5000 {
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b"\n\n .*|^@$/#;()\"\\=:aA1\x00\xFFzCNAME"[(state >> 40) as usize % 29]
            })
            .collect();
        for format in [Format::Adblock, Format::Dnsmasq, Format::Domains, Format::Hosts, Format::Rpz] {
            let parsed = read(format, &bytes);
            assert!(parsed.refused as usize >= parsed.problems.iter().filter(|p| p.is_error()).count());
        }
    }
}
