//! The tally and the store, fed by hand: what is lost is told, and the file stays within its bounds. And devices that still have an app: how many are found and
//! how many are accused, on traces whose truth is known. Phones with the app in the background, phones that are used now and then, desktops with another
//! maker's engine, people who click, people who read pages that embed the app, and addresses that stand for many people. The traces go through the policy, the
//! tally and the store as queries do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that panics has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use interdict::app;
use interdict::clock::Clock;
use interdict::dns::{CanonicalName, Name, RecordType};
use interdict::policy::{Cause, Identities, IdentityNumber, Labels, Snapshot, Verdict};
use interdict::report::{Asked, Config, Devices, Ledger, Wiring};
use interdict::telemetry::{Clients, Decision, Describe, Described, Entry, Inboxes, Record, Tap};

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
const DAYS: i64 = 14;
/// Midnight of a Monday.
const BEGIN: i64 = 1_793_577_600_000;

/// A query of a trace.
struct Ask {
    at: i64,
    client: u32,
    name: String,
}

/// One kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Background,
    Clicks,
    Engine,
    Idle,
    Nat,
    NatWithApp,
    Offices,
    Widgets,
}

/// What an app asks by itself, and how many minutes it waits.
const APPS: [(&str, &[&str], (i64, i64)); 3] = [
    (
        "tiktok",
        &[
            "frontier16-normal-useastred.tiktokv.eu",
            "tnc16-platform-useast1a.tiktokv.com",
            "log.tiktokv.com",
            "rtlog.tiktokv.com",
            "api16-normal-useast1a.tiktokv.com",
            "mon.tiktokv.com",
        ],
        (8, 25),
    ),
    (
        "wechat",
        &[
            "szlong.weixin.qq.com",
            "szextshort.weixin.qq.com",
            "dns.weixin.qq.com",
            "sgshort.wechat.com",
            "quic.weixin.qq.com",
        ],
        (4, 14),
    ),
    (
        "kaspersky",
        &[
            "ksn-file-geo.kaspersky-labs.com",
            "ksn-url-geo.kaspersky-labs.com",
            "dc1-file.ksn.kaspersky-labs.com",
            "s07.upd.kaspersky.com",
            "touch.kaspersky.com",
            "dnl-03.geo.kaspersky.com",
        ],
        (15, 60),
    ),
];

/// What pages with the app in them ask, whoever reads them.
const EMBEDDED: [&[&str]; 3] = [
    &[
        "www.tiktok.com",
        "lf16-tiktok-web.ttwstatic.com",
        "mcs.tiktokw.us",
        "mon.tiktokv.com",
        "analytics.tiktok.com",
        "webcast.tiktokv.com",
    ],
    &["open.weixin.qq.com", "res.wx.qq.com", "mp.weixin.qq.com"],
    &["www.kaspersky.com", "support.kaspersky.com", "crl.kaspersky.com"],
];

struct Trace {
    rng: Rng,
    asks: Vec<Ask>,
    truth: BTreeMap<u32, (Kind, BTreeSet<&'static str>)>,
}

impl Trace {
    fn device(&mut self, kind: Kind) -> u32 {
        let client = 0x0A00_0000 + self.truth.len() as u32;
        self.truth.insert(client, (kind, BTreeSet::new()));
        client
    }

    fn ask(&mut self, at: i64, client: u32, name: &str) {
        self.asks.push(Ask { at, client, name: name.to_owned() });
    }

    /// An app that nobody looks at: it tries its names, again a few times when it is refused, and waits.
    fn installed(&mut self, client: u32, app: usize, share_of_days: f64) {
        let (id, names, (least, most)) = APPS[app];
        self.truth.get_mut(&client).unwrap().1.insert(id);
        let usual = self.rng.i64(least..=most);
        for day in 0..DAYS {
            if self.rng.f64() > share_of_days {
                continue;
            }
            // On the network from when its owner comes until they go.
            let mut at = BEGIN + day * 24 * HOUR + self.rng.i64(7 * 60..10 * 60) * MINUTE;
            let end = at + self.rng.i64(6 * 60..10 * 60) * MINUTE;
            while at < end {
                for retry in 0..self.rng.i64(1..4) {
                    let name = names[self.rng.usize(..names.len())];
                    self.ask(at + retry * 3000, client, name);
                }
                // Jitter, and now and then a phone that sleeps deeper.
                let pause = if self.rng.u8(..12) == 0 { usual * 4 } else { usual };
                at += pause * MINUTE * self.rng.i64(80..=125) / 100;
            }
        }
    }

    /// People at work: so many visits a day, at any time of it.
    fn visits(&mut self, client: u32, app: usize, a_day: usize) {
        for day in 0..DAYS {
            for _ in 0..self.rng.usize(0..=a_day) {
                let at = BEGIN
                    + day * 24 * HOUR
                    + self.rng.i64(8 * 60..18 * 60) * MINUTE
                    + self.rng.i64(0..MINUTE);
                let names = EMBEDDED[app];
                let asked = self.rng.usize(1..=names.len());
                for (place, name) in names.iter().enumerate().take(asked) {
                    self.ask(at + place as i64 * 200, client, name);
                }
                // A page that asks for one of the app's inner names after all.
                if self.rng.u8(..8) == 0 {
                    let inner = APPS[app].1;
                    let name = inner[self.rng.usize(..inner.len())];
                    self.ask(at + 2000, client, name);
                }
            }
        }
    }

    fn of_all_kinds(seed: u64) -> Self {
        let mut trace = Self { rng: Rng::with_seed(seed), asks: Vec::new(), truth: BTreeMap::new() };
        for app in 0..APPS.len() {
            for _ in 0..60 {
                let client = trace.device(Kind::Background);
                trace.installed(client, app, 0.7);
            }
            // On leave but for a day or two.
            for _ in 0..10 {
                let client = trace.device(Kind::Idle);
                trace.installed(client, app, 0.15);
            }
            for _ in 0..100 {
                let client = trace.device(Kind::Clicks);
                trace.visits(client, app, 2);
            }
            for _ in 0..60 {
                let client = trace.device(Kind::Widgets);
                trace.visits(client, app, 25);
            }
            for _ in 0..10 {
                // Thirty people who click, behind one address.
                let client = trace.device(Kind::Nat);
                trace.visits(client, app, 60);
                // The same, and one of them has the app.
                let client = trace.device(Kind::NatWithApp);
                trace.visits(client, app, 60);
                trace.installed(client, app, 0.7);
            }
        }
        // Another maker's product with the engine built in, day and night.
        for _ in 0..20 {
            let client = trace.device(Kind::Engine);
            for turn in 0..DAYS * 24 * 2 {
                let at = BEGIN + turn * 30 * MINUTE + trace.rng.i64(0..MINUTE);
                trace.ask(at, client, "dnl-03.geo.kaspersky.com");
                trace.ask(at + 500, client, "ksn-crypto-file-geo.kaspersky-labs.com");
            }
        }
        // A whole office behind one address, with apps of every kind.
        for _ in 0..5 {
            let client = trace.device(Kind::Offices);
            for app in 0..APPS.len() {
                trace.visits(client, app, 100);
                for _ in 0..5 {
                    trace.installed(client, app, 0.7);
                }
            }
        }
        trace.asks.sort_by_key(|ask| ask.at);
        trace
    }
}

/// A ledger over the built-in policy, fed by hand.
struct Fed {
    folder: tempfile::TempDir,
    ledger: Arc<Ledger>,
    tap: Tap,
    inboxes: Arc<Inboxes>,
    snapshot: Arc<Snapshot>,
    verdicts: BTreeMap<String, (CanonicalName, Cause)>,
}

impl Fed {
    fn new(config: Config, clock: &Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = app::pipeline(None, None, None, clock.clone(), Labels::default()).start().unwrap().live;
        let words = live.clone();
        let describe: Arc<dyn Describe> = Arc::new(move |record: &Record<'_>| {
            let (snapshot, cause) = (words.load(), record.cause.unwrap());
            let group = snapshot.group_name(cause.group).to_owned();
            Described { words: snapshot.describe(&cause), group, identity: None }
        });
        let (snapshot, inboxes) = (live.load(), Arc::new(Inboxes::default()));
        let wiring = Wiring {
            live,
            describe,
            identities: Identities::default(),
            inboxes: Arc::clone(&inboxes),
            clock: clock.clone(),
        };
        let (ledger, tap) = Ledger::begin(config, folder.path().join("report.db"), wiring).unwrap();
        Self { folder, ledger, tap, inboxes, snapshot, verdicts: BTreeMap::new() }
    }

    fn entry(&mut self, at: i64, client: u32, name: &str) -> Entry<CanonicalName, ()> {
        let snapshot = &self.snapshot;
        let (name, cause) = self.verdicts.entry(name.to_owned()).or_insert_with(|| {
            let wire = CanonicalName::from(&name.parse::<Name>().unwrap());
            match snapshot.decide_query(snapshot.group_named("default").unwrap(), &wire) {
                Verdict::Deny(cause) => (wire, cause),
                other => panic!("{name} is not blocked: {other:?}"),
            }
        });
        Entry {
            time_ms: at,
            client: IpAddr::V4(Ipv4Addr::from(client)),
            identity: IdentityNumber::default(),
            transport: "udp",
            name: name.clone(),
            record_type: RecordType::A,
            decision: Decision::Blocked,
            cause: Some(*cause),
            generation: snapshot.generation(),
            took_us: None,
            reply: None,
        }
    }

    fn take(&mut self, at: i64, client: u32, name: &str) {
        let entry = self.entry(at, client, name);
        (self.tap)(&entry.with(&entry.name, None));
    }

    fn size(&self) -> u64 {
        std::fs::metadata(self.folder.path().join("report.db")).unwrap().len()
    }
}

fn full() -> Config {
    Config { clients: Clients::Full, devices: true, ..Config::default() }
}

fn days(from: &str, to: &str) -> Asked {
    Asked { from: Some(from.to_owned()), to: Some(to.to_owned()), ..Asked::default() }
}

fn found_in(trace: &Trace) -> Devices {
    let clock = Clock::manual("2026-11-02T00:00:00Z".parse().unwrap());
    let mut fed = Fed::new(full(), &clock);
    for ask in &trace.asks {
        fed.take(ask.at, ask.client, &ask.name);
    }
    let devices = fed.ledger.devices(&days("2026-11-02", "2026-11-15")).unwrap();
    assert!(fed.ledger.stop(Duration::from_secs(10)));
    devices
}

#[test]
fn what_the_queues_of_query_threads_lose_is_told() {
    let clock = Clock::manual("2026-11-02T00:00:00Z".parse().unwrap());
    let mut fed = Fed::new(full(), &clock);
    let inbox = fed.inboxes.add();
    let entry = fed.entry(BEGIN, 1, "wechat.com");
    // Nobody takes them away.
    (0..50_000).for_each(|_| inbox.push(entry.with(&entry.name, None)));
    let report = fed.ledger.report(&days("2026-11-02", "2026-11-02"), false).unwrap();
    assert_eq!((report.lost.queue, report.lost.disk, report.lost.room), (fed.inboxes.lost(), 0, 0));
    assert!(report.lost.queue > 0);
    let again = fed.ledger.report(&days("2026-11-02", "2026-11-02"), false).unwrap();
    assert_eq!(again.lost, report.lost, "once");
    // Whether or not what comes next is taken.
    fed.take(BEGIN, 1, "wechat.com");
    let after = fed.ledger.report(&days("2026-11-02", "2026-11-02"), false).unwrap();
    assert_eq!((after.totals.blocked, &after.lost), (1, &report.lost), "once");
}

#[test]
fn more_devices_at_a_time_than_are_told_apart_are_counted_and_told() {
    const DEVICES: u32 = 200_000;
    let clock = Clock::manual("2026-11-02T00:00:00Z".parse().unwrap());
    let mut fed = Fed::new(full(), &clock);
    (0..DEVICES).for_each(|client| fed.take(BEGIN, client, "www.wechat.com"));
    let report = fed.ledger.report(&days("2026-11-02", "2026-11-02"), false).unwrap();
    assert_eq!(report.totals.blocked, u64::from(DEVICES));
    assert_eq!(report.totals.devices + report.lost.room, u64::from(DEVICES), "{:?}", report.lost);
    assert!(report.lost.room > 0 && report.totals.devices >= 100_000, "{:?}", report.totals);
}

#[test]
fn a_store_stays_within_its_size_and_says_which_days_went() {
    const SIZE: u64 = 4 << 20;
    let clock = Clock::manual("2026-11-02T00:00:00Z".parse().unwrap());
    let mut fed = Fed::new(Config { size: SIZE, ..full() }, &clock);
    for day in 0..60i64 {
        for client in 0..3000 {
            fed.take(BEGIN + day * 24 * HOUR, client, "www.wechat.com");
        }
        fed.ledger.write();
        assert!(fed.size() <= SIZE, "{} on day {day}", fed.size());
        clock.advance(Duration::from_secs(86_400));
    }
    let report = fed.ledger.report(&days("2026-11-02", "2026-12-31"), false).unwrap();
    let counted = report.days.iter().filter(|row| row.totals.blocked == 3000).count();
    assert!((10..60).contains(&counted), "{counted} days");
    assert_eq!(report.days[59].totals.blocked, 3000, "the newest stays");
    let went: Vec<&str> = report
        .events
        .iter()
        .filter(|event| event.what == "full")
        .map(|event| event.detail.as_str())
        .collect();
    assert_eq!((went.first(), went.len()), (Some(&"2026-11-02"), 60 - counted), "{went:?}");
    assert!(fed.ledger.trouble().is_none());
}

#[test]
fn devices_that_have_an_app_are_found_and_others_are_not_accused() {
    let (mut right, mut accused, mut missed) = (0u32, 0u32, 0u32);
    let mut by_kind: BTreeMap<Kind, [u32; 3]> = BTreeMap::new();
    for seed in 1..=3 {
        let trace = Trace::of_all_kinds(seed);
        let devices = found_in(&trace);
        let mut found: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for suspect in &devices.likely {
            let address: Ipv4Addr = suspect.client.parse().unwrap();
            found.entry(address.into()).or_default().insert(&suspect.app);
        }
        for (client, (kind, apps)) in &trace.truth {
            let none = BTreeSet::new();
            let found = found.get(client).unwrap_or(&none);
            let counts = by_kind.entry(*kind).or_default();
            let counted = [
                found.intersection(apps).count(),
                found.difference(apps).count(),
                apps.difference(found).count(),
            ];
            for (count, more) in counts.iter_mut().zip(counted) {
                *count += more as u32;
            }
        }
        println!(
            "seed {seed}: {} queries, {} likely, {} unsure",
            trace.asks.len(),
            devices.likely.len(),
            devices.unsure
        );
    }
    for (kind, [rightly, wrongly, not]) in &by_kind {
        println!("{kind:?}: found {rightly}, accused wrongly {wrongly}, missed {not}");
        (right, accused, missed) = (right + rightly, accused + wrongly, missed + not);
    }
    let precision = f64::from(right) / f64::from(right + accused);
    let recall = f64::from(right) / f64::from(right + missed);
    println!("precision {precision:.4}, recall {recall:.4}");
    assert!(precision >= 0.98, "precision {precision}");
    assert!(recall >= 0.90, "recall {recall}");
    // What everybody would call a certain case is one.
    let [rightly, wrongly, not] = by_kind[&Kind::Background];
    assert!(wrongly == 0 && f64::from(rightly) / f64::from(rightly + not) >= 0.97, "{by_kind:?}");
    assert_eq!((by_kind[&Kind::Engine][1], by_kind[&Kind::Clicks][1]), (0, 0), "{by_kind:?}");
}
