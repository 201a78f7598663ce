//! Random policies: what the snapshot decides against what readers of the zone make of it, and each version against the one
//! before with their difference applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::Content;
use super::difference::{compare, fingerprint};
use super::record::{Record, records};
use crate::dns::{CanonicalName, Name, RecordType};
use crate::policy::{
    Action, Catalog, Draft, Enforce, Exception, Group, Labels, LocalRecord, Mode, Reach, Rule, Rulebook,
    Snapshot, SourceRules, Verdict, compile,
};
use crate::problem::Place;

type Owner = Vec<u8>;
type Data = BTreeSet<(u16, Vec<u8>)>;

/// A policy of three lists, exceptions, and an order of enforcement.
fn policy(random: &mut fastrand::Rng, generation: u64) -> Snapshot {
    let (mut draft, mut sources) = (Draft::default(), Vec::new());
    let lists = ["one", "two", "three"];
    for list in lists {
        let rules = (1..=random.u32(0..14)).map(|line| Rule {
            name: name(random, 4),
            reach: *random
                .choice(&[
                    Reach::Below,
                    Reach::Exact,
                    Reach::Subtree,
                    Reach::NameServer,
                    Reach::NameServersBelow,
                ])
                .unwrap(),
            action: action(random).map(Box::new),
            line,
        });
        sources.push(SourceRules {
            name: list.to_owned(),
            app: None,
            instrument: None,
            file: format!("{list}.txt"),
            rules: rules.collect(),
            addresses: Vec::new(),
            disabled: false,
        });
    }
    draft.places = vec![Place::default(); sources.len()];
    draft.book = Arc::new(Rulebook::new(Catalog::default(), sources));
    for number in 0..random.usize(0..3) {
        draft.config.exceptions.push(Exception {
            id: format!("e{number}"),
            group: None,
            apps: Vec::new(),
            names: vec![name(random, 4)],
            from: None,
            until: "2099-01-01".parse().unwrap(),
            break_glass: false,
            approved_by: "x".to_owned(),
            reason: "x".to_owned(),
            place: Place::default(),
        });
    }
    let mut order = lists.to_vec();
    random.shuffle(&mut order);
    let enforce = order.into_iter().map(|id| Enforce {
        id: id.to_owned(),
        mode: *random.choice(&[Mode::Enforce, Mode::Enforce, Mode::Shadow]).unwrap(),
        extended: false,
        place: Place::default(),
    });
    draft.config.groups.push(Group {
        name: "default".to_owned(),
        identities: Vec::new(),
        clients: Vec::new(),
        enforce: Some(enforce.collect()),
        mode: Mode::Enforce,
        extended: false,
        action: Some(Action::Nxdomain).filter(|_| random.bool()),
        outbound: crate::policy::Outbound::Off,
        reach: Vec::new(),
        ech: crate::policy::Ech::Keep,
        place: Place::default(),
    });
    compile(draft, "2026-01-01T00:00:00Z".parse().unwrap(), generation, &Labels::default()).unwrap().snapshot
}

/// A name of few labels of few letters, so that names stand above each other.
fn name(random: &mut fastrand::Rng, most: usize) -> Name {
    let labels: Vec<&str> =
        (0..random.usize(1..=most)).map(|_| *random.choice(&["a", "m", "z"]).unwrap()).collect();
    labels.join(".").parse().unwrap()
}

fn action(random: &mut fastrand::Rng) -> Option<Action> {
    let local = |random: &mut fastrand::Rng| {
        let address = [192, 0, 2, random.u8(1..3)].into();
        vec![LocalRecord::ipv4(address, None), LocalRecord::ipv6("2001:db8::1".parse().unwrap(), Some(7))]
    };
    match random.usize(0..14) {
        0 => Some(Action::Drop),
        1 => Some(Action::Local(local(random))),
        2 => Some(Action::Nodata),
        3 | 4 => Some(Action::Nxdomain),
        5 | 6 => Some(Action::Passthru),
        7 => Some(Action::Redirect("safe.example".parse().unwrap())),
        8 => Some(Action::Refused),
        9 => Some(Action::Sinkhole),
        10 => Some(Action::TcpOnly),
        _ => None,
    }
}

/// All records of the zone, by owner, the root left out.
fn zone(content: &Content) -> BTreeMap<Owner, Data> {
    let mut zone: BTreeMap<Owner, Data> = BTreeMap::new();
    let mut run = Vec::new();
    for name in content.names() {
        content.write(&name, &mut run);
    }
    for Record { owner, record_type, rdata, .. } in records(&run) {
        let new = zone.entry(owner.to_vec()).or_default().insert((record_type.0, rdata.to_vec()));
        assert!(new, "{owner:?} {record_type} twice");
    }
    zone
}

/// What the snapshot decides, as the records that say so.
fn decided(snapshot: &Snapshot, name: &CanonicalName) -> Option<Data> {
    let cause = match snapshot.decide_query(0, name) {
        Verdict::Allow | Verdict::Shadow(_) => return None,
        Verdict::Canary { .. } => return cname(b"\0"),
        Verdict::Permit(_) => return cname(b"\x0Crpz-passthru\0"),
        Verdict::Deny(cause) => cause,
    };
    match snapshot.action(&cause) {
        Action::Drop => cname(b"\x08rpz-drop\0"),
        Action::Local(records) => {
            Some(records.iter().map(|record| (record.record_type.0, record.rdata.to_vec())).collect())
        }
        Action::Nodata => cname(b"\x01*\0"),
        Action::Nxdomain | Action::Refused if cause.exact => cname(b"\x01*\0"),
        Action::Nxdomain | Action::Refused => cname(b"\0"),
        Action::Passthru => cname(b"\x0Crpz-passthru\0"),
        Action::Redirect(target) => cname(target.as_wire()),
        Action::Sinkhole => Some([(1, vec![0; 4]), (28, vec![0; 16])].into()),
        Action::TcpOnly => cname(b"\x0Crpz-tcp-only\0"),
    }
}

fn cname(target: &[u8]) -> Option<Data> {
    Some([(RecordType::CNAME.0, target.to_vec())].into())
}

fn wildcard(owner: &[u8]) -> Owner {
    [b"\x01*", owner].concat()
}

fn labels(name: &CanonicalName, depth: usize) -> &[u8] {
    name.suffix(depth).split_last().unwrap().1
}

/// A reader that takes the longest match: the name, then one wildcard after another.
fn longest(zone: &BTreeMap<Owner, Data>, name: &CanonicalName) -> Option<Data> {
    let exact = zone.get(labels(name, 0));
    exact
        .or_else(|| (1..=name.label_count()).find_map(|depth| zone.get(&wildcard(labels(name, depth)))))
        .cloned()
}

/// A reader that follows the rules of DNS: the wildcard of the closest encloser (RFC 4592 3.3.1), as BIND does.
fn closest(zone: &BTreeMap<Owner, Data>, name: &CanonicalName) -> Option<Data> {
    if let Some(found) = zone.get(labels(name, 0)) {
        return Some(found.clone());
    }
    let exists = |node: &[u8]| {
        zone.keys().any(|owner| {
            CanonicalName::read(&[owner, &[0][..]].concat())
                .is_some_and(|owner| (0..=owner.label_count()).any(|depth| labels(&owner, depth) == node))
        })
    };
    if exists(labels(name, 0)) {
        return None;
    }
    let encloser = (1..=name.label_count()).find(|depth| exists(labels(name, *depth)))?;
    zone.get(&wildcard(labels(name, encloser))).cloned()
}

/// A reader that looks at the name just before in canonical order (RFC 4034 6.1), as Unbound does.
fn preceding(zone: &BTreeMap<Owner, Data>, name: &CanonicalName) -> Option<Data> {
    let key = |owner: &[u8]| {
        let name = CanonicalName::read(&[owner, &[0][..]].concat()).unwrap();
        (0..name.label_count()).rev().map(|at| name.label(at).to_vec()).collect::<Vec<_>>()
    };
    let sorted: BTreeMap<Vec<Vec<u8>>, &Data> =
        zone.iter().map(|(owner, found)| (key(owner), found)).chain([(Vec::new(), NOTHING)]).collect();
    let asked = key(labels(name, 0));
    let (before, found) = sorted.range(..=asked.clone()).next_back()?;
    if *before == asked {
        return Some((*found).clone());
    }
    let shared = before.iter().zip(&asked).take_while(|(one, other)| one == other).count();
    let mut star = asked;
    star.truncate(shared);
    star.push(b"*".to_vec());
    sorted.get(&star).map(|found| (*found).clone())
}

static NOTHING: &Data = &Data::new();

/// Every name of at most four labels.
fn questions() -> Vec<CanonicalName> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|name| ["a", "b", "m", "z"].map(|label| format!("{label}.{name}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all.iter().filter_map(|name| name.parse::<Name>().ok()).map(|name| CanonicalName::from(&name)).collect()
}

#[test]
fn readers_of_the_zone_decide_as_the_policy_does() {
    let zone_name: Name = "rpz.test".parse().unwrap();
    let questions = questions();
    let mut kept_out = 0;
    for seed in 0..400 {
        let snapshot = Arc::new(policy(&mut fastrand::Rng::with_seed(seed), 1));
        let content = Content::new(Arc::clone(&snapshot), "default", &zone_name);
        let zone = zone(&content);
        kept_out += snapshot.listed_names().filter(|name| !zone.contains_key(labels(name, 0))).count();
        for name in &questions {
            let expected = decided(&snapshot, name);
            assert_eq!(longest(&zone, name), expected, "seed {seed}: longest match for {name}");
            assert_eq!(closest(&zone, name), expected, "seed {seed}: closest encloser for {name}");
            assert_eq!(preceding(&zone, name), expected, "seed {seed}: name before {name}");
        }
    }
    assert!(kept_out > 100, "overruled rules are left out: {kept_out}");
}

#[test]
fn a_difference_makes_one_version_of_the_other_and_moves_its_fingerprint() {
    let zone_name: Name = "rpz.test".parse().unwrap();
    let flat = |content: &Content| {
        let mut run = Vec::new();
        content.names().for_each(|name| content.write(&name, &mut run));
        run
    };
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let [earlier, later] = [1, 2]
            .map(|generation| Content::new(Arc::new(policy(&mut random, generation)), "default", &zone_name));
        let before = fingerprint(&earlier);
        let compared = compare(&earlier, &later, before, usize::MAX);
        let difference = compared.difference.as_ref().unwrap();
        let (one, other) = (flat(&earlier), flat(&later));
        let mut patched: BTreeSet<Record<'_>> = records(&one).collect();
        for record in records(&difference.removed) {
            assert!(patched.remove(&record), "seed {seed}: {record:?} was not there");
        }
        for record in records(&difference.added) {
            assert!(patched.insert(record), "seed {seed}: {record:?} was there");
        }
        assert_eq!(patched, records(&other).collect(), "seed {seed}");
        assert_eq!(compared.fingerprint, fingerprint(&later), "seed {seed}");
        assert!(compare(&earlier, &earlier, before, 0).is_same());
        let cut = compare(&earlier, &later, before, 1);
        assert_eq!(cut.difference.is_none(), !compared.is_same(), "seed {seed}: over its limit");
        assert_eq!(cut.fingerprint, compared.fingerprint);
    }
}

#[test]
fn names_without_a_place_are_left_out_and_counted() {
    let long = format!("{}com", "abcdefg.".repeat(30));
    let names = ["fine.example", "1.2.3.rpz-ip", "rpz-ip.example", &long];
    let own = SourceRules {
        name: "own".to_owned(),
        app: None,
        instrument: None,
        file: "own.txt".to_owned(),
        rules: names
            .iter()
            .map(|name| Rule { name: name.parse().unwrap(), reach: Reach::Subtree, action: None, line: 1 })
            .collect(),
        addresses: Vec::new(),
        disabled: false,
    };
    let book = Arc::new(Rulebook::new(Catalog::default(), vec![own]));
    let draft = Draft { book, places: vec![Place::default()], ..Draft::default() };
    let on = "2026-01-01T00:00:00Z".parse().unwrap();
    let snapshot = compile(draft, on, 1, &Labels::default()).unwrap().snapshot;
    let content = Content::new(Arc::new(snapshot), "default", &"rpz.interdict".parse().unwrap());
    assert_eq!(content.left_out, 2);
    let owners: Vec<Owner> = zone(&content).into_keys().collect();
    assert_eq!(owners.len(), 4, "{owners:?}");
}
