//! What the reports cost: memory of the tally, size of the store, time a record and time a report, for ten million records of a month. Shows the log's tap
//! records as query threads leave them. Not part of the product.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a yardstick, not the product"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use interdict::app;
use interdict::clock::Clock;
use interdict::dns::{CanonicalName, Name, RecordType};
use interdict::policy::{Cause, Identities, IdentityNumber, Labels, Verdict};
use interdict::report::{Asked, Config, Ledger, Wiring};
use interdict::telemetry::{Clients, Decision, Describe, Described, Inboxes, Record};

/// Midnight of 1 November 2026, and the days of that month.
const BEGIN: i64 = 1_793_491_200_000;
const DAYS: i64 = 30;
const NAMES: [&str; 8] = [
    "frontier16-normal.tiktokv.eu",
    "log.tiktokv.com",
    "www.tiktok.com",
    "szlong.weixin.qq.com",
    "szshort.weixin.qq.com",
    "www.wechat.com",
    "ksn-url-geo.kaspersky-labs.com",
    "www.kaspersky.com",
];

/// Usage: `report [RECORDS] [DEVICES]`: ten million records of a hundred thousand devices.
fn main() {
    let number = |place: usize, otherwise: u64| {
        std::env::args()
            .nth(place)
            .map_or(otherwise, |word| word.parse().expect("usage: report [RECORDS] [DEVICES]"))
    };
    let (records, devices) = (number(1, 10_000_000), number(2, 100_000));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.db");
    let clock = Clock::manual(jiff::Timestamp::from_millisecond(BEGIN).unwrap());
    let live = app::pipeline(None, None, None, clock.clone(), Labels::default()).start().unwrap().live;
    let words = live.clone();
    let describe: Arc<dyn Describe> = Arc::new(move |record: &Record<'_>| {
        let snapshot = words.load();
        let cause = record.cause.unwrap();
        Described {
            words: snapshot.describe(&cause),
            group: snapshot.group_name(cause.group).to_owned(),
            identity: None,
        }
    });
    let snapshot = live.load();
    let group = snapshot.group_named("default").unwrap();
    let asked: Vec<(CanonicalName, Cause)> = NAMES
        .iter()
        .map(|name| {
            let name = CanonicalName::from(&name.parse::<Name>().unwrap());
            match snapshot.decide_query(group, &name) {
                Verdict::Deny(cause) => (name, cause),
                other => panic!("{name}: {other:?}"),
            }
        })
        .collect();
    let before = memory();
    let config = Config { clients: Clients::Full, devices: true, size: 4 << 30, ..Config::default() };
    let inboxes = Arc::new(Inboxes::default());
    let wiring = Wiring { live, describe, identities: Identities::default(), inboxes, clock: clock.clone() };
    let (ledger, mut tap) = Ledger::begin(config, path.clone(), wiring).unwrap();

    let mut rng = Rng::with_seed(1);
    let (mut counting, mut writing, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let step = DAYS * 86_400_000 / records as i64;
    // As many as come in ten seconds, between two writes, at ten thousand blocked queries a second.
    const BATCH: u64 = 100_000;
    let mut done = 0;
    while done < records {
        let batch: Vec<Record<'_>> = (done..(done + BATCH).min(records))
            .map(|number| {
                // A tenth of the devices asks for half of it.
                let device = if rng.bool() { rng.u64(..devices / 10) } else { rng.u64(..devices) };
                // Each has one app.
                let (name, cause) = &asked[((device % 3) * 3 + rng.u64(..3)).min(7) as usize];
                Record {
                    time_ms: BEGIN + number as i64 * step,
                    client: IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + device as u32)),
                    identity: IdentityNumber::default(),
                    transport: "udp",
                    name,
                    record_type: RecordType::A,
                    decision: Decision::Blocked,
                    cause: Some(*cause),
                    generation: snapshot.generation(),
                    took_us: None,
                    reply: None,
                }
            })
            .collect();
        done += batch.len() as u64;
        let on = batch.last().unwrap().time_ms - clock.wall().as_millisecond();
        clock.advance(Duration::from_millis(on.unsigned_abs()));
        let start = Instant::now();
        batch.iter().for_each(&mut tap);
        counting += start.elapsed();
        let start = Instant::now();
        ledger.write();
        writing += start.elapsed();
        longest = longest.max(start.elapsed());
    }
    let tally = memory() - before;
    let size =
        |end: &str| std::fs::metadata(format!("{}{end}", path.display())).map_or(0, |about| about.len());
    println!("records                    {records} of {devices} devices in {DAYS} days");
    println!("counting a record          {:.0} ns", counting.as_nanos() as f64 / records as f64);
    println!(
        "writing a batch of {BATCH}  {:.0} ms, at most {:.0} ms",
        writing.as_millis() as f64 / (records.div_ceil(BATCH)) as f64,
        longest.as_millis()
    );
    println!("memory above the policy    {:.1} MiB; at most {:.1} MiB in all", mebi(tally), mebi(peak()));
    println!(
        "store                      {:.1} MiB, and {:.1} MiB beside it",
        mebi(size("")),
        mebi(size("-wal") + size("-shm"))
    );
    let month = Asked { month: Some("2026-11".to_owned()), ..Asked::default() };
    let start = Instant::now();
    let report = ledger.report(&month, false).unwrap();
    println!(
        "a report of the month      {:.0} ms: {} blocked, {} devices",
        start.elapsed().as_millis(),
        report.totals.blocked,
        report.totals.devices
    );
    println!("not told apart by device   {}", report.lost.room);
    let start = Instant::now();
    let found = ledger.devices(&month).unwrap();
    println!(
        "devices with an app        {:.0} ms: {} likely, {} unsure",
        start.elapsed().as_millis(),
        found.likely.len(),
        found.unsure
    );
    println!("memory after that          at most {:.1} MiB in all", mebi(peak()));
    assert!(report.totals.blocked == records, "every record is counted");
    assert!(ledger.stop(Duration::from_secs(60)));
}

fn mebi(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn memory() -> u64 {
    status("VmRSS")
}

fn peak() -> u64 {
    status("VmHWM")
}
