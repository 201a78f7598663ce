//! The compiled policy as one file: the same decisions as from lists, the same bytes everywhere, nothing believed that is
//! not checked, and one table in memory however many processes use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

#[path = "support/lists.rs"]
mod lists;
mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use interdict::app;
use interdict::clock::Clock;
use interdict::dns::{CanonicalName, Name, RecordType};
use interdict::policy::{
    Action, AddressRule, Bundle, Catalog, Draft, Inquiry, Labels, Provenance, Reach, Rule, Rulebook,
    Snapshot, SourceRules, Whose, compile, seal_bundle,
};
use lists::Signer;
use serde_json::Value;
use support::Site;

const NXDOMAIN: &str = "Non-Existent Domain";
const OK: &str = "No Error";
const FROM_BUNDLE: &str = "bundle = \"$DIR/policy.bundle\"\n";

fn interdict(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_interdict")).args(arguments).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Compiles `list` in the site's folder into `policy.bundle` there.
fn bundle(folder: &Path, list: &str) {
    std::fs::write(folder.join("own.txt"), list).unwrap();
    let config = "[[policy.source]]\nname = \"own\"\nfrom = \"own.txt\"\nformat = \"domains\"\n";
    std::fs::write(folder.join("compile.toml"), config).unwrap();
    let done = interdict(&["compile", "--config", "compile.toml", "-o", "policy.bundle"], folder);
    assert!(done.status.success(), "{}", said(&done));
}

fn names(from: usize, count: usize) -> String {
    (from..from + count).map(|i| format!("*.n{i}.listed.example\n")).collect()
}

/// A number that looks like chance and is the same in every run.
fn chance(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

// --- What a bundle says ---

/// A policy with everything that a list, a group and an exception can say, over lists in `folder`; `rules` says where its
/// rules come from.
fn everything(rules: &str) -> String {
    format!(
        "[policy]\naction = \"refused\"\n{rules}
[[policy.group]]\nname = \"default\"\nextended = true
enforce = [\"ca-tbs-2023-10-30-wechat-kaspersky\", {{ id = \"zone\", mode = \"shadow\" }}, \"names\", \"encrypted-dns\"]
[[policy.group]]\nname = \"lab\"\nclients = [\"10.1.0.0/16\"]\naction = \"sinkhole\"\nenforce = [\"zone\", \"names\", \"tiktok\"]
[[policy.exception]]\nid = \"free\"\nnames = [\"sub.n7.a.example\", \"n8.b.example\", \"www.tiktok.com\"]\nuntil = \"2030-01-01\"\napproved_by = \"CIO\"\nreason = \"x\"
[[policy.exception]]\nid = \"app\"\ngroup = \"lab\"\napps = [\"tiktok\"]\nfrom = \"2025-06-01\"\nuntil = \"2026-06-01\"\napproved_by = \"CIO\"\nreason = \"x\"\n"
    )
}

const LISTS: &str = "[[policy.source]]\nname = \"names\"\nfrom = \"names.txt\"\nformat = \"domains\"\napp = \"kaspersky\"
[[policy.source]]\nname = \"zone\"\nfrom = \"zone.rpz\"\nformat = \"rpz\"\ninstrument = \"ca-tbs-2023-02-28-tiktok\"\n";

fn write_lists(folder: &Path) -> Vec<String> {
    let mut seed = 7;
    let mut known = Vec::new();
    let (mut names, mut zone) =
        (String::new(), "$TTL 60\n@ SOA l.example. h.example. 7 1 1 1 1\n".to_owned());
    for i in 0..100_000u64 {
        let parent = ["a.example", "b.example", "com", "co.uk", "x.y.z.net"][chance(&mut seed) as usize % 5];
        let name = format!("n{}.{parent}", i * chance(&mut seed).max(1) % 1_000_003);
        match chance(&mut seed) % 10 {
            0 => zone.push_str(&format!("{name} CNAME .\n*.{name} CNAME *.\n")),
            1 => zone.push_str(&format!("{name} A 192.0.2.{}\n", i % 7)),
            2 => zone.push_str(&format!("{name} CNAME safe{}.example.\n", i % 3)),
            3 => zone.push_str(&format!("{name} CNAME rpz-passthru.\n")),
            4 => names.push_str(&format!("*.{name}\n")),
            _ => names.push_str(&format!("{name}\n")),
        }
        known.push(name);
    }
    std::fs::write(folder.join("names.txt"), names).unwrap();
    std::fs::write(folder.join("zone.rpz"), zone).unwrap();
    known
}

fn compiled(config: &Path, on: &str) -> Snapshot {
    let pipeline = app::pipeline(Some(config.to_owned()), None, None, Clock::system(), Labels::default());
    pipeline.compile_on(on.parse().unwrap()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn a_bundle_decides_and_explains_as_the_lists_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let known = write_lists(folder.path());
    // Paths and lines are shown in explanations and count in digests: the same on both sides.
    let absolute = LISTS.replace("names.txt", path("names.txt").to_str().unwrap());
    let absolute = absolute.replace("zone.rpz", path("zone.rpz").to_str().unwrap());
    std::fs::write(path("interdict.toml"), everything("# lists, see below") + &absolute).unwrap();
    let done = interdict(&["compile", "--config", "interdict.toml", "-o", "policy.bundle"], folder.path());
    assert!(done.status.success(), "{}", said(&done));
    let compiled = |rules: &str, lists: &str, on: &str| {
        std::fs::write(path("interdict.toml"), everything(rules) + lists).unwrap();
        compiled(&path("interdict.toml"), on)
    };
    // A host's own settings name lists that stand in the bundle alone.
    let from_bundle = format!("bundle = {:?}", path("policy.bundle"));
    let mut seed = 11;
    for on in ["2023-01-01T00:00:00Z", "2025-12-31T12:00:00Z", "2029-01-01T00:00:00Z", "2031-01-01T00:00:00Z"]
    {
        let lists = compiled("# lists, see below", &absolute, on);
        let bundle = compiled(&from_bundle, "", on);
        assert_eq!(lists.digest(), bundle.digest(), "{on}");
        assert_eq!(lists.rules_by_set(), bundle.rules_by_set());
        assert_eq!((lists.rule_count(), lists.name_count()), (bundle.rule_count(), bundle.name_count()));
        assert_eq!(lists.next_transition(), bundle.next_transition());
        for round in 0..4000 {
            let listed = &known[chance(&mut seed) as usize % known.len()];
            let asked = match round % 6 {
                0 => format!("www.{listed}"),
                1 => format!("x.sub.{listed}"),
                2 => format!("q{round}.example"),
                3 => ["www.tiktok.com", "a.sub.n7.a.example", "wechat.com", "dns.google", "n8.b.example"]
                    [chance(&mut seed) as usize % 5]
                    .to_owned(),
                _ => listed.clone(),
            };
            let name: Name = asked.parse().unwrap();
            let (group, canonical) = ((round % 2) as u16, CanonicalName::from(&name));
            let words = |snapshot: &Snapshot| {
                format!("{:?}", snapshot.decide_query(group, &canonical))
                    .split('{')
                    .next()
                    .unwrap()
                    .to_owned()
            };
            assert_eq!(words(&lists), words(&bundle), "{asked}");
            let client = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 1, 2, 3)][round % 2].into();
            let explain = |snapshot: &Snapshot| {
                let (name, record_type, address) = (Some(name.clone()), RecordType::A, None);
                let inquiry =
                    Inquiry { name, record_type, client, identity: None, address, name_server: None };
                serde_json::to_string(&snapshot.explain(&inquiry)).unwrap()
            };
            assert_eq!(explain(&lists), explain(&bundle), "{asked}");
        }
        let difference = interdict::policy::Difference::between(&lists, &bundle);
        assert!(difference.is_empty(), "{difference:?}");
    }
}

#[test]
fn the_same_inputs_make_the_same_bytes_on_every_host() {
    let made = |stamp: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        write_lists(folder.path());
        std::fs::write(folder.path().join("interdict.toml"), everything("") + LISTS).unwrap();
        let mut arguments = vec!["compile", "--config", "interdict.toml", "-o", "p"];
        arguments.extend(stamp.iter().flat_map(|stamp| ["--stamp", stamp]));
        let done = interdict(&arguments, folder.path());
        assert!(done.status.success(), "{}", said(&done));
        let shown = interdict(&["bundle", "show", "p"], folder.path());
        let checked = interdict(&["bundle", "check", "p"], folder.path());
        assert!(checked.status.success(), "{}", said(&checked));
        (std::fs::read(folder.path().join("p")).unwrap(), said(&shown))
    };
    let (one, shown) = made(None);
    assert!(one == made(None).0);
    assert!(shown.contains("made         not noted"), "{shown}");
    let (stamped, shown) = made(Some("2026-11-25T00:00:00Z"));
    assert!(stamped != one && stamped == made(Some("2026-11-25T00:00:00Z")).0);
    assert!(shown.contains("made         2026-11-25T00:00:00Z"), "{shown}");
    assert!(shown.contains("list         zone:"), "{shown}");
}

// --- What is no bundle ---

fn small_rulebook() -> Rulebook {
    let files = [("never.toml", ""), ("default.toml", "enforce = []")];
    let (catalog, problems) = Catalog::read(files);
    assert_eq!(problems, []);
    let rule = |name: &str, reach, action: Option<Action>, line| {
        let (name, action) = (name.parse().unwrap(), action.map(Box::new));
        Rule { name, reach, action, line }
    };
    let local = Action::Local(vec![interdict::policy::LocalRecord::ipv4(Ipv4Addr::LOCALHOST, Some(7))]);
    let rules = vec![
        rule("one.example", Reach::Subtree, None, 1),
        rule("two.example", Reach::Exact, Some(Action::Refused), 2),
        rule("three.two.example", Reach::Below, Some(local), 300),
        rule("ns.example", Reach::NameServer, None, 7),
        rule("four.example", Reach::Subtree, Some(Action::Redirect("safe.example".parse().unwrap())), 4),
    ];
    let file = "own.txt".to_owned();
    let address = |whose, prefix: &str, line| AddressRule {
        whose,
        prefix: prefix.parse().unwrap(),
        action: Action::Nodata,
        line,
    };
    let addresses = vec![
        address(Whose::Answer, "192.0.2.0/24", 5),
        address(Whose::Client, "2001:db8::/32", 6),
        address(Whose::NameServer, "198.51.100.0/24", 8),
    ];
    let name = "own".to_owned();
    let own = SourceRules { name, app: None, instrument: None, file, rules, addresses, disabled: true };
    Rulebook::new(catalog, vec![own])
}

fn small() -> Vec<u8> {
    let catalog = vec![("default.toml".to_owned(), "enforce = []".to_owned())];
    Bundle::write(&small_rulebook(), Provenance { catalog, ..Provenance::default() })
}

/// Uses a bundle in every way there is.
fn exercise(bundle: Bundle) {
    let _judged = bundle.verify("b").is_ok();
    let places = vec![interdict::problem::Place::default(); 1];
    let draft = Draft { book: Arc::new(bundle.book), places, ..Draft::default() };
    let before = Draft { book: Arc::new(small_rulebook()), ..draft.clone() };
    let on = "2026-01-01T00:00:00Z".parse().unwrap();
    let Ok(compiled) = compile(draft, on, 1, &Labels::default()) else { return };
    let before = compile(before, on, 1, &Labels::default()).unwrap();
    for name in ["one.example", "x.three.two.example", "a.four.example", "other.example", "two.example", "."]
    {
        let name: Name = name.parse().unwrap();
        let (client, address) = (Ipv4Addr::LOCALHOST.into(), Some(Ipv4Addr::new(192, 0, 2, 9).into()));
        let inquiry = Inquiry {
            name: Some(name),
            record_type: RecordType::A,
            client,
            identity: None,
            address,
            name_server: None,
        };
        let _words = compiled.snapshot.explain(&inquiry);
    }
    let _changes = interdict::policy::Difference::between(&before.snapshot, &compiled.snapshot);
}

#[test]
fn no_byte_of_a_bundle_can_be_another_and_none_can_lack() {
    let good = small();
    exercise(Bundle::read(&good.clone().into(), "b").unwrap());
    let read = Bundle::read(&good.clone().into(), "b").unwrap();
    assert!(read.verify("b").is_ok());
    assert_eq!(read.book.digest(), small_rulebook().digest(), "names, addresses and all");
    // It knows nothing of the runs in which the lists are compared.
    assert!(read.book.memory() <= small_rulebook().memory());
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut other = good.clone();
            other[at] ^= flip;
            let problem = Bundle::read(&other.into(), "b").unwrap_err();
            assert!(problem.place.file == "b" && !problem.what.is_empty() && !problem.hint.is_empty());
        }
        assert!(Bundle::read(&good[..at].to_vec().into(), "b").is_err(), "cut at {at}");
    }
    assert!(Bundle::read(&[&good[..], &[0]].concat().into(), "b").is_err());
}

/// What somebody changed on purpose has the right digest: then every part must be refused by itself, or be harmless.
#[test]
fn a_bundle_that_was_changed_and_sealed_anew_is_refused_or_harmless() {
    let good = small();
    let mut used = 0;
    for at in 0..good.len() {
        for flip in [0x01, 0x10, 0x80, 0xFF] {
            let mut other = good.clone();
            other[at] ^= flip;
            seal_bundle(&mut other);
            if let Ok(bundle) = Bundle::read(&other.into(), "b") {
                used += 1;
                exercise(bundle);
            }
        }
    }
    assert!(used > 0, "some bytes only mean another rule");
}

#[test]
fn what_is_wrong_with_a_bundle_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b");
    let says = |bytes: &[u8], word: &str| {
        std::fs::write(&file, bytes).unwrap();
        let checked = interdict(&["bundle", "check", "b"], folder.path());
        assert_eq!(checked.status.code(), Some(1));
        assert!(said(&checked).contains(word) && said(&checked).contains("hint: "), "{}", said(&checked));
    };
    let good = small();
    let mut later = good.clone();
    later[16] = 4;
    seal_bundle(&mut later);
    says(&later, "in form 4, and this version of interdict reads form 3");
    says(&good[..good.len() - 1], "cut off");
    let mut damaged = good;
    *damaged.last_mut().unwrap() ^= 1;
    says(&damaged, "SHA-256 is not that of its bytes");
    says(b"", "not a bundle");
    says(b"<html>", "not a bundle");
    let missing = interdict(&["bundle", "show", "nowhere"], folder.path());
    assert!(missing.status.code() == Some(1) && said(&missing).contains("check the path"));
}

// --- A server on a bundle ---

#[test]
fn a_changed_bundle_is_a_reload_and_a_bad_one_leaves_the_generation_in_force() {
    let site = Site::prepare(FROM_BUNDLE, Clock::system());
    bundle(site.folder.path(), "*.one.example\n");
    let site = site.settled();
    assert_eq!((site.rcode("a.one.example"), site.rcode("a.two.example")), (NXDOMAIN.into(), OK.into()));
    assert_eq!(site.rcode("wechat.com"), NXDOMAIN);
    bundle(site.folder.path(), "*.one.example\n*.two.example\n");
    until("the changed bundle is noticed", || site.rcode("a.two.example") == NXDOMAIN);
    let shown = site.status();
    assert_eq!(shown["sources"][0]["name"], "own");
    assert_eq!(shown["bundle"]["file"], site.path("policy.bundle").display().to_string());

    // Cut short and written in place, as `cp` does: what is mapped is a copy.
    let good = std::fs::read(site.path("policy.bundle")).unwrap();
    std::fs::write(site.path("policy.bundle"), &good[..good.len() / 2]).unwrap();
    let outcome = site.reload("?accept_shrink=true");
    assert_eq!(outcome["outcome"], "rejected");
    assert!(outcome.to_string().contains("cut off"), "{outcome}");
    std::fs::remove_file(site.path("policy.bundle")).unwrap();
    assert_eq!(site.reload("?accept_shrink=true")["outcome"], "rejected");
    for name in ["a.one.example", "a.two.example"] {
        assert_eq!(site.rcode(name), NXDOMAIN);
    }
    // The generation before is a pointer swap away, and the one after a restart that in force.
    let (_, body) = site.http("POST", "/api/v1/rollback", Some(&site.token()));
    assert!(body.contains("published"), "{body}");
    assert_eq!(site.rcode("a.two.example"), OK);
    let mut site = site;
    site.stop();
    let site = site.started();
    assert_eq!((site.rcode("a.one.example"), site.rcode("a.two.example")), (NXDOMAIN.into(), OK.into()));
    // What was in force is explained from what was kept.
    let explained = site.http("GET", "/api/v1/explain?name=a.one.example", None).1;
    assert!(explained.contains("own.txt:1"), "{explained}");
    std::fs::write(site.path("policy.bundle"), &good).unwrap();
    assert_eq!(site.reload("?accept_shrink=true")["outcome"], "published");
    assert_eq!(site.rcode("a.two.example"), NXDOMAIN);
    assert_eq!(site.reload("?accept_shrink=true")["outcome"], "unchanged");
}

#[test]
fn a_host_adds_its_own_groups_exceptions_and_dates_to_a_bundle() {
    let policy = "bundle = \"$DIR/policy.bundle\"
[[policy.exception]]\nid = \"lab\"\nnames = [\"free.one.example\"]\nuntil = \"2026-06-01\"\napproved_by = \"CIO\"\nreason = \"x\"\n";
    let clock = Clock::manual("2026-05-31T23:59:00Z".parse().unwrap());
    let site = Site::prepare(policy, clock.clone());
    bundle(site.folder.path(), "*.one.example\n");
    let site = site.settled();
    assert_eq!((site.rcode("a.free.one.example"), site.rcode("a.one.example")), (OK.into(), NXDOMAIN.into()));
    clock.advance(Duration::from_secs(120));
    until("the exception ends by its date", || site.rcode("b.free.one.example") == NXDOMAIN);
    assert_eq!(site.rcode("a.free.one.example"), NXDOMAIN);
}

#[test]
fn only_what_the_key_signed_last_is_taken() {
    let Some((signer, stranger)) = Signer::new().zip(Signer::new()) else { return };
    let policy = format!("bundle = \"$DIR/policy.bundle\"\nbundle_key = \"{}\"\n", signer.key);
    let site = Site::prepare(&policy, Clock::system());
    let (file, beside) = (site.path("policy.bundle"), site.path("policy.bundle.minisig"));
    let make = |list: &str| {
        bundle(site.folder.path(), list);
        std::fs::read(&file).unwrap()
    };
    let sign = |signer: &Signer, bytes: &[u8], second: u64| {
        signer.sign(bytes, &format!("timestamp:{second}\tfile:policy.bundle"), false)
    };
    let refused = site.try_start().expect_err("nothing is there");
    assert!(format!("{refused:?}").contains("No such file"), "{refused:?}");
    let first = make("*.one.example\n");
    let refused = site.try_start().expect_err("it is not signed");
    assert!(format!("{refused:?}").contains("signature_missing"), "{refused:?}");
    std::fs::write(&beside, sign(&stranger, &first, 1000)).unwrap();
    let refused = site.try_start().expect_err("another key has signed it");
    assert!(format!("{refused:?}").contains("signature_key"), "{refused:?}");
    std::fs::write(&beside, sign(&signer, b"other bytes", 1000)).unwrap();
    let refused = site.try_start().expect_err("something else is signed");
    assert!(format!("{refused:?}").contains("signature_wrong"), "{refused:?}");
    std::fs::write(&beside, sign(&signer, &first, 2000)).unwrap();
    let site = site.settled();
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
    let shown = site.status()["bundle"]["signed"].clone();
    assert!(shown["key"] == signer.key && shown["comment"].as_str().unwrap().contains("2000"), "{shown}");

    let put = |list: &str, second: u64| {
        bundle(site.folder.path(), list);
        let signature = sign(&signer, &std::fs::read(site.path("policy.bundle")).unwrap(), second);
        std::fs::write(site.path("policy.bundle.minisig"), signature).unwrap();
    };
    put("*.two.example\n", 1000);
    let outcome = site.reload("?accept_shrink=true");
    assert!(outcome["outcome"] == "rejected" && outcome.to_string().contains("replayed"), "{outcome}");
    assert_eq!((site.rcode("a.one.example"), site.rcode("a.two.example")), (NXDOMAIN.into(), OK.into()));
    put("*.two.example\n", 3000);
    until("a newer one is taken", || site.reload("?accept_shrink=true")["outcome"] == "unchanged");
    assert_eq!((site.rcode("a.one.example"), site.rcode("a.two.example")), (OK.into(), NXDOMAIN.into()));
    // A restart remembers what was signed when.
    let mut site = site;
    site.stop();
    put_back(&site, &first, &sign(&signer, &first, 2000));
    let site = site.started();
    let problems = format!("{:?}", site.running.as_ref().unwrap().problems);
    assert!(problems.contains("replayed"), "{problems}");
    assert_eq!((site.rcode("a.one.example"), site.rcode("a.two.example")), (OK.into(), NXDOMAIN.into()));
}

fn put_back(site: &Site, bytes: &[u8], signature: &[u8]) {
    std::fs::write(site.path("policy.bundle"), bytes).unwrap();
    std::fs::write(site.path("policy.bundle.minisig"), signature).unwrap();
}

#[test]
fn bundles_are_replaced_under_load_and_no_query_is_lost() {
    let site = Site::prepare(FROM_BUNDLE, Clock::system());
    bundle(site.folder.path(), &names(0, 5000));
    let site = site.settled();
    let (stop, asked, address) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), site.address());
    let clients: Vec<_> = (0..2)
        .map(|client| {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            std::thread::spawn(move || {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut reply = [0; 512];
                let mut id: u16 = client;
                while !stop.load(Ordering::Relaxed) {
                    id = id.wrapping_add(2);
                    let name = format!("x{id}.n{}.listed.example", id % 4000);
                    socket.send_to(&support::query(id, 0x0100, &name, 1, None), address).unwrap();
                    let (length, _) = socket.recv_from(&mut reply).expect("no query is lost");
                    assert!(length > 12 && reply[..2] == id.to_be_bytes() && reply[3] & 15 == 3, "{name}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..8 {
        bundle(site.folder.path(), &names(0, 5000 + round));
        let outcome = site.reload("?accept_shrink=true");
        assert!(matches!(outcome["outcome"].as_str(), Some("published" | "unchanged")), "{outcome}");
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(asked.load(Ordering::Relaxed) > 1000);
    assert_eq!(site.rcode("a.n5006.listed.example"), NXDOMAIN);
}

#[test]
fn a_bundle_that_empties_itself_meets_the_guard() {
    let site = Site::prepare(FROM_BUNDLE, Clock::system());
    bundle(site.folder.path(), &names(0, 1000));
    let site = site.settled();
    bundle(site.folder.path(), &names(0, 100));
    let (_, body) = site.http("POST", "/api/v1/reload", Some(&site.token()));
    assert!(body.contains("rejected") && body.contains("at most 10 % may go at once"), "{body}");
    assert_eq!(site.rcode("a.n999.listed.example"), NXDOMAIN);
}

#[test]
fn a_changed_bundle_waits_for_two_people_and_comes_into_force_when_both_have_signed() {
    let Some((alice, bob)) = Signer::new().zip(Signer::new()) else { return };
    let policy = format!(
        "{FROM_BUNDLE}[guard]\napprovals = 2\napprovers = [\"{} alice\", \"{} bob\"]\n",
        alice.key, bob.key
    );
    let site = Site::prepare(&policy, Clock::system());
    bundle(site.folder.path(), "*.one.example\n");
    let site = site.settled();
    bundle(site.folder.path(), "*.one.example\n*.two.example\n");
    let outcome = site.reload("?accept_shrink=true");
    assert_eq!(outcome["outcome"], "waiting", "{outcome}");
    assert!(outcome["difference"].to_string().contains("two.example"), "{outcome}");
    assert_eq!(site.rcode("a.two.example"), OK);
    let law = outcome["law"].as_str().unwrap().to_owned();
    for (signer, outcome) in [(&alice, "waiting"), (&bob, "published")] {
        let now = Clock::system().wall().as_second();
        let text = interdict::reload::approval_text(&law);
        let signature = signer.sign(text.as_bytes(), &format!("timestamp:{now}"), false);
        let signature: String = signature.iter().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/api/v1/approve?candidate={law}&signature={signature}");
        let said: Value = serde_json::from_str(&site.http("POST", &path, Some(&site.token())).1).unwrap();
        assert_eq!(said["outcome"], outcome, "{said}");
    }
    assert_eq!(site.rcode("a.two.example"), NXDOMAIN);
}

// --- Files ---

#[test]
fn a_kill_while_it_is_compiled_leaves_the_bundle_before() {
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path(), "*.one.example\n");
    let file = folder.path().join("policy.bundle");
    let old = std::fs::read(&file).unwrap();
    std::fs::write(folder.path().join("own.txt"), names(0, 20_000)).unwrap();
    let mut interrupted = 0;
    for wait in (0..40).map(|round| Duration::from_millis(round * 12)) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_interdict"))
            .args(["compile", "--config", "compile.toml", "-o", "policy.bundle"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        let now = std::fs::read(&file).unwrap();
        let whole = interdict(&["bundle", "check", "policy.bundle"], folder.path());
        assert!(whole.status.success(), "{}", said(&whole));
        if now == old {
            interrupted += 1;
        } else {
            std::fs::write(&file, &old).unwrap();
        }
    }
    assert!(interrupted > 0);
}

/// A server process of its own.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait()).is_ok();
    }
}

/// Of the mappings whose path holds `what`: Rss, Pss and what is this process's alone, in KiB.
fn mapped(process: u32, what: &str) -> [u64; 3] {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps")).unwrap();
    let (mut inside, mut sums) = (false, [0; 3]);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0].contains('-') {
            inside = line.contains(what);
        } else if inside {
            let number = || words[1].parse::<u64>().unwrap();
            match words[0] {
                "Rss:" => sums[0] += number(),
                "Pss:" => sums[1] += number(),
                "Private_Clean:" | "Private_Dirty:" => sums[2] += number(),
                _ => {}
            }
        }
    }
    sums
}

#[test]
fn two_servers_on_one_bundle_hold_one_table() {
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path(), &names(0, 100_000));
    let serve = |name: &str| {
        let state = folder.path().join(name);
        let config = folder.path().join(format!("{name}.toml"));
        let text = format!(
            "[server]\nworkers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [upstream]\nservers = [\"udp://127.0.0.1:9\"]\n[policy]\nstate = {state:?}\nbundle = {:?}\nbundle_copies = {:?}\n",
            folder.path().join("policy.bundle"),
            folder.path().join("copies"),
        );
        std::fs::write(&config, text).unwrap();
        let server = Server(
            Command::new(env!("CARGO_BIN_EXE_interdict"))
                .args(["serve", "--config", config.to_str().unwrap()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        until("it is in force", || state.join("good").exists());
        server
    };
    let one = serve("one");
    let sum: PathBuf =
        std::fs::read_dir(folder.path().join("copies")).unwrap().next().unwrap().unwrap().path();
    let digest = sum.file_name().unwrap().to_str().unwrap().to_owned();
    let bytes = std::fs::metadata(folder.path().join("policy.bundle")).unwrap().len() / 1024;
    let [resident, proportional, _] = mapped(one.0.id(), &digest);
    assert!(resident >= bytes && proportional >= bytes, "{resident} {proportional} of {bytes} KiB");
    let two = serve("two");
    for server in [&one, &two] {
        let [resident, proportional, own] = mapped(server.0.id(), &digest);
        assert!(resident >= bytes, "{resident} of {bytes} KiB");
        assert!(
            proportional <= resident / 2 + 8 && own == 0,
            "{proportional} of {resident} KiB, {own} its own"
        );
    }
}

#[test]
fn without_room_for_a_copy_a_bundle_is_in_force_from_memory_and_says_so() {
    support::in_namespaces(&["--mount"], "true", "on_a_full_disk");
}

#[test]
#[ignore = "run in a namespace by the test above"]
fn on_a_full_disk() {
    let site = Site::prepare(FROM_BUNDLE, Clock::system());
    std::fs::create_dir(site.path("state")).unwrap();
    let mount = |arguments: &[&str]| {
        let done = Command::new("mount").args(arguments).arg(site.path("state")).status().unwrap();
        assert!(done.success());
    };
    mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
    bundle(site.folder.path(), &names(0, 1000));
    let site = site.settled();
    std::fs::write(site.path("state/filler"), vec![0; 8 << 20]).unwrap_err();
    bundle(site.folder.path(), &names(0, 1001));
    let outcome = site.reload("?accept_shrink=true");
    assert!(matches!(outcome["outcome"].as_str(), Some("published" | "unchanged")), "{outcome}");
    assert_eq!(site.rcode("a.n1000.listed.example"), NXDOMAIN);
    assert!(site.status()["degraded"].to_string().contains("could not be kept"), "{}", site.status());
    // Where a bundle cannot be written, the one before stays.
    std::fs::copy(site.path("policy.bundle"), site.path("state/policy.bundle")).unwrap_err();
    let done =
        interdict(&["compile", "--config", "compile.toml", "-o", "state/new.bundle"], site.folder.path());
    assert!(done.status.code() == Some(3) && said(&done).contains("cannot be written"), "{}", said(&done));
    assert!(!site.path("state/new.bundle").exists());
}
