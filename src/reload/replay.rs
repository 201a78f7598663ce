//! Owns the reading of a query log: its replay against two policies, and what it says of shadow mode. Shows of a client no
//! more than the log does. Never keeps a line.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dns::Name;
use crate::policy::{Asked, Client, Impact, Replay, Snapshot};
use crate::telemetry::{Decision, KeptLog, Record, Rehearsed, RehearsedPart};

/// What a query log says of a change.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// The time of its first line that was understood.
    pub first: Option<String>,
    /// The time of its last one.
    pub last: Option<String>,
    /// Lines that are none of a query log.
    pub refused: u64,
    /// How many of the queries came from clients shown as a network: its first address stands for all.
    pub from_networks: u64,
    /// How many came from clients that the log does not show: their group then stands for them.
    pub from_nobody: u64,
    /// What would have changed.
    #[serde(flatten)]
    pub impact: Impact,
}

/// The part of a line that a replay needs.
#[derive(Deserialize)]
struct Line {
    time: String,
    client: Option<String>,
    transport: Option<String>,
    name: String,
    r#type: String,
    group: String,
}

/// Replays the log at `path`. Fails when it cannot be read.
pub fn replay(path: &Path, before: &Snapshot, after: &Snapshot) -> io::Result<Replayed> {
    let mut replay = Replay::new(before, after);
    let (mut first, mut last) = (None, None);
    let (mut refused, mut from_networks, mut from_nobody) = (0, 0, 0);
    each_line(path, |bytes| {
        let Some((line, asked, told)) = read(bytes, before, after) else {
            refused += 1;
            return;
        };
        // A connection that the kernel held is no question.
        if line.transport.as_deref() == Some(Record::EGRESS) {
            return;
        }
        match told {
            Told::Address => {}
            Told::Network => from_networks += 1,
            Told::Nobody => from_nobody += 1,
        }
        first.get_or_insert_with(|| line.time.clone());
        last = Some(line.time);
        replay.ask(&asked);
    })?;
    let impact = replay.finish();
    Ok(Replayed { first, last, refused, from_networks, from_nobody, impact })
}

/// Calls `take` for each line of the log at `path`, compressed or not.
fn each_line(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let reading = KeptLog::file(path).each_line(|line| {
        take(line);
        ControlFlow::Continue(())
    });
    reading.broken.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

/// What a query log says of shadow mode.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedRehearsal {
    /// Lines that are none of a query log.
    pub refused: u64,
    /// What would have been blocked between its first and its last line.
    #[serde(flatten)]
    pub rehearsed: Rehearsed,
}

/// The part of a line that says what would have blocked it, which most lines do not have.
#[derive(Deserialize)]
struct Ruled {
    time: Timestamp,
    name: String,
    verdict: String,
    #[serde(default)]
    app: String,
    #[serde(default)]
    instrument: String,
    #[serde(default)]
    source: String,
    group: String,
}

/// Sums up what shadow mode would have blocked, by the log at `path`. Fails when it cannot be read.
pub fn rehearsed(path: &Path) -> io::Result<LoggedRehearsal> {
    let mut parts: BTreeMap<[String; 4], RehearsedPart> = BTreeMap::new();
    let (mut refused, mut first, mut last) = (0, None::<Timestamp>, None::<Timestamp>);
    each_line(path, |bytes| {
        let Ok(line) = serde_json::from_slice::<Ruled>(bytes) else {
            refused += 1;
            return;
        };
        first = Some(first.map_or(line.time, |first| first.min(line.time)));
        last = last.max(Some(line.time));
        if line.verdict == Decision::Shadow.as_str() {
            let Ruled { time, name, app, instrument, source, group, .. } = line;
            let empty = || RehearsedPart {
                app: app.clone(),
                instrument: instrument.clone(),
                source: source.clone(),
                group: group.clone(),
                ..RehearsedPart::default()
            };
            let part = parts.entry([app.clone(), instrument.clone(), source.clone(), group.clone()]);
            part.or_insert_with(empty).add(1, Some(time), Some(time), &[name]);
        }
    })?;
    Ok(LoggedRehearsal { refused, rehearsed: Rehearsed::of(first, last, parts.into_values().collect()) })
}

/// What a log tells of a client.
enum Told {
    Address,
    Network,
    Nobody,
}

fn read(bytes: &[u8], before: &Snapshot, after: &Snapshot) -> Option<(Line, Asked, Told)> {
    let line: Line = serde_json::from_slice(bytes).ok()?;
    let name: Name = line.name.to_ascii_lowercase().parse().ok()?;
    let record_type = line.r#type.parse().ok()?;
    let shown = line.client.as_deref().map(|client| client.split_once('/').unwrap_or((client, "")));
    let address = shown.and_then(|(address, _)| address.parse::<IpAddr>().ok());
    let told = match (address, shown) {
        (Some(_), Some((_, ""))) => Told::Address,
        (Some(_), _) => Told::Network,
        (None, _) => Told::Nobody,
    };
    let client = |snapshot: &Snapshot| match address {
        Some(address) => snapshot.client(address),
        None => Client::in_group(
            snapshot
                .group_named(&line.group)
                .or_else(|| snapshot.group_named("default"))
                .unwrap_or_else(|| snapshot.client(IpAddr::from([0, 0, 0, 0])).group),
        ),
    };
    let clients = (client(before), client(after));
    let asked = Asked { name, record_type, clients, client: line.client.clone() };
    Some((line, asked, told))
}
