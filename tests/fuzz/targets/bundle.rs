//! A bundle's bytes, with a digest made right: as they are, and as changes to a good bundle. Whatever is read is searched,
//! explained, compared and written again.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use interdict::dns::{Name, RecordType};
use interdict::policy::{
    Action, Bundle, Catalog, Difference, Draft, Inquiry, Labels, Provenance, Reach, Rule, Rulebook, Snapshot,
    SourceRules, compile, seal_bundle,
};
use interdict::problem::Place;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 5] =
    ["one.example", "a.two.example", "n7.many.example", "x.n8.many.example", "none.test"];

fn book() -> Rulebook {
    let (catalog, _) = Catalog::read([("default.toml", "enforce = []")]);
    let rule = |name: &str, reach, action| Rule { name: name.parse().unwrap(), reach, action, line: 1 };
    let mut rules = vec![
        rule("one.example", Reach::Exact, Some(Box::new(Action::Refused))),
        rule("two.example", Reach::Below, Some(Box::new(Action::Redirect("safe.example".parse().unwrap())))),
    ];
    rules.extend((0..40).map(|i| rule(&format!("n{i}.many.example"), Reach::Subtree, None)));
    let source = SourceRules {
        name: "own".into(),
        app: None,
        instrument: None,
        file: "own.txt".into(),
        rules,
        addresses: Vec::new(),
        disabled: false,
    };
    Rulebook::new(catalog, vec![source])
}

fn snapshot(book: Rulebook) -> Option<Snapshot> {
    let places = vec![Place::default(); 1];
    let draft = Draft { book: Arc::new(book), places, ..Draft::default() };
    let on = "2026-01-01T00:00:00Z".parse().unwrap();
    compile(draft, on, 1, &Labels::default()).ok().map(|compiled| compiled.snapshot)
}

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let catalog = vec![("default.toml".to_owned(), "enforce = []".to_owned())];
    Bundle::write(&book(), Provenance { catalog, ..Provenance::default() })
});
static BEFORE: LazyLock<Snapshot> = LazyLock::new(|| snapshot(book()).unwrap());

/// Three bytes a change: where, and what stands there then. A last odd byte cuts the end off.
fn changed(bytes: &[u8]) -> Vec<u8> {
    let mut bundle = GOOD.clone();
    let (changes, rest) = bytes.as_chunks::<3>();
    for [high, low, value] in changes {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bundle.len();
        bundle[at] = *value;
    }
    bundle.truncate(bundle.len() - usize::from(*rest.first().unwrap_or(&0)));
    bundle
}

fuzz_target!(|bytes: &[u8]| {
    for mut bundle in [bytes.to_vec(), changed(bytes)] {
        seal_bundle(&mut bundle);
        let Ok(read) = Bundle::read(&bundle.into(), "bundle") else { continue };
        let _judged = read.verify("bundle").is_ok();
        let _written = Bundle::write(&read.book, Provenance::default());
        let Some(snapshot) = snapshot(read.book) else { continue };
        for name in NAMES {
            let name: Name = name.parse().unwrap();
            let client = IpAddr::from(Ipv4Addr::LOCALHOST);
            let address = Some(IpAddr::from(Ipv4Addr::new(192, 0, 2, 9)));
            let inquiry = Inquiry {
                name: Some(name),
                record_type: RecordType::A,
                client,
                identity: None,
                address,
                name_server: None,
            };
            let _words = snapshot.explain(&inquiry);
        }
        let _changes = Difference::between(&BEFORE, &snapshot);
    }
});
