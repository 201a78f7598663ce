//! Holds the tree, the map in `src/lib.rs` and the README together: layers, no cycles, doors, file length, headers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    let mut text = String::new();
    std::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The rows `| layer | `room` | owns |` of a text.
fn map(text: &str) -> BTreeMap<String, (u8, String)> {
    text.lines()
        .map(|line| line.trim_start_matches("//!").trim())
        .filter_map(|line| {
            let cells: Vec<&str> =
                line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
            let [layer, room, owns] = cells.as_slice() else { return None };
            Some((room.trim_matches('`').to_owned(), (layer.parse().ok()?, (*owns).to_owned())))
        })
        .collect()
}

fn room_of(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The code of a file without its test module and comments.
fn production(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or("");
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn map_tree_and_readme_say_the_same() {
    let map_in_lib = map(&read(&root().join("src/lib.rs")));
    let map_in_readme = map(&read(&root().join("README.md")));
    assert_eq!(map_in_lib, map_in_readme);
    let tree: BTreeSet<String> = sources(&root().join("src")).iter().map(|path| room_of(path)).collect();
    let rooms: BTreeSet<String> =
        map_in_lib.keys().cloned().chain(["lib".to_owned(), "main".to_owned()]).collect();
    assert_eq!(tree, rooms);
}

#[test]
fn a_room_imports_only_lower_layers() {
    let map = map(&read(&root().join("src/lib.rs")));
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let room = room_of(&path);
        let Some((layer, _)) = map.get(&room) else { continue };
        let code = production(&read(&path));
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split(['}']).next().unwrap().split(',').map(str::trim).collect(),
                None => vec![rest],
            };
            for name in names {
                let imported: String =
                    name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if let Some((below, _)) = map.get(&imported)
                    && imported != room
                    && below >= layer
                {
                    wrong.push(format!(
                        "{} (layer {layer}) imports {imported} (layer {below})",
                        path.display()
                    ));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_foreign_crate_has_one_door() {
    let doors: &[(&str, &[&str])] = &[
        ("arc_swap", &["policy/live.rs"]),
        (
            "base64::",
            &[
                "admin/oidc/attempt.rs",
                "dns/presentation.rs",
                "dns/tsig/key.rs",
                "listen/https/request.rs",
                "net/login.rs",
                "net/tls/pin.rs",
                "report/render/html.rs",
                "sources/exchange.rs",
            ],
        ),
        // The fetchers hand TLS its provider.
        (
            "aws_lc_rs",
            &[
                "dns/tsig/mac.rs",
                "sources/http.rs",
                "sources/transfer/connection.rs",
                "net/tls/certificate.rs",
                "net/tls/client.rs",
                "net/tls/client.rs",
                "net/tls/server.rs",
                "proxy/peek/keys.rs",
            ],
        ),
        (
            "quinn",
            &[
                "listen/quic/accept.rs",
                "listen/quic/exchange.rs",
                "listen/quic/mod.rs",
                "listen/quic/requests.rs",
                "resolve/kept/quic.rs",
            ],
        ),
        ("futures_util", &["resolve/secure/asked.rs", "resolve/secure/servers.rs"]),
        (
            "hickory_resolver",
            &[
                // Its name in a filter for the log.
                "resolve/mod.rs",
                "resolve/dns64.rs",
                "resolve/recurse.rs",
                "resolve/resolver.rs",
                "resolve/secure/anchors.rs",
                "resolve/secure/asked.rs",
                "resolve/secure/bounded.rs",
                "resolve/secure/denial/mod.rs",
                "resolve/secure/denial/nsec.rs",
                "resolve/secure/denial/nsec3.rs",
                "resolve/secure/diagnosis.rs",
                "resolve/secure/judgement.rs",
                "resolve/secure/proofs/chain.rs",
                "resolve/secure/proofs/kept.rs",
                "resolve/secure/proofs/store.rs",
                "resolve/secure/proofs/tests.rs",
                "resolve/secure/proofs/zone.rs",
                "resolve/secure/rendered.rs",
                "resolve/secure/rollover/key.rs",
                "resolve/secure/rollover/seen.rs",
                "resolve/secure/rollover/tests.rs",
                "resolve/secure/rollover/watch.rs",
                "resolve/secure/servers.rs",
                "resolve/secure/validator.rs",
                "resolve/way.rs",
            ],
        ),
        ("quick_cache", &["cache/store.rs"]),
        ("comfy_table", &["cli/audit.rs", "cli/history.rs", "cli/log.rs", "cli/report.rs"]),
        ("crossbeam_queue", &["telemetry/queue.rs"]),
        ("ureq", &["admin/client.rs", "sources/address.rs", "sources/exchange.rs", "sources/http.rs"]),
        ("jsonwebtoken", &["admin/oidc/token.rs"]),
        (
            "rustls",
            &[
                "net/tls/certificate.rs",
                "net/tls/client.rs",
                "net/tls/fault.rs",
                "net/tls/mod.rs",
                "net/tls/pin.rs",
                "net/tls/server.rs",
                "net/tls/session.rs",
                "net/tls/stream.rs",
                "proxy/peek/keys.rs",
                "sources/http.rs",
                "sources/transfer/connection.rs",
                "sources/transfer/refused.rs",
            ],
        ),
        ("x509_cert", &["net/tls/certificate.rs", "net/tls/names.rs", "net/tls/pin.rs"]),
        ("rustls_native_certs", &["net/tls/client.rs", "sources/http.rs"]),
        ("flate2", &["sources/unpack.rs", "telemetry/querylog/aside.rs"]),
        ("rustix", &["net/privileges.rs"]),
        ("NetlinkAddr", &["egress/nflog/socket.rs", "egress/permits/socket.rs"]),
        ("tokio::process", &["egress/nftables/program.rs"]),
        ("ruzstd", &["sources/unpack.rs"]),
        (
            "bytes::",
            &[
                "policy/matcher/image.rs",
                "listen/https/http1.rs",
                "listen/https/http2.rs",
                "listen/https/request.rs",
                "listen/quic/requests.rs",
                "resolve/kept/https.rs",
            ],
        ),
        ("h3::", &["listen/quic/requests.rs"]),
        ("h3_quinn", &["listen/quic/requests.rs"]),
        ("memmap2", &["sources/map.rs"]),
        ("minisign_verify", &["sources/signature.rs"]),
        ("notify::", &["reload/trigger.rs"]),
        (
            "axum",
            &[
                "admin/answer.rs",
                "admin/api.rs",
                "admin/change.rs",
                "admin/egress.rs",
                "admin/explain.rs",
                "admin/feeds.rs",
                "admin/lately.rs",
                "admin/live/routes.rs",
                "admin/log.rs",
                "admin/openapi.rs",
                "admin/pages/act.rs",
                "admin/pages/assets.rs",
                "admin/pages/audit.rs",
                "admin/pages/explain.rs",
                "admin/pages/frame.rs",
                "admin/pages/generations.rs",
                "admin/pages/log.rs",
                "admin/pages/login.rs",
                "admin/pages/mod.rs",
                "admin/pages/now.rs",
                "admin/pages/policy.rs",
                "admin/pages/reports.rs",
                "admin/pages/sign_in.rs",
                "admin/pages/view.rs",
                "admin/policy.rs",
                "admin/records.rs",
                "admin/report.rs",
                "admin/serve.rs",
                "admin/tag.rs",
                "admin/visitor.rs",
            ],
        ),
        (
            "maud",
            &[
                "admin/pages/act.rs",
                "admin/pages/audit.rs",
                "admin/pages/chart.rs",
                "admin/pages/difference.rs",
                "admin/pages/explain.rs",
                "admin/pages/frame.rs",
                "admin/pages/generations.rs",
                "admin/pages/log.rs",
                "admin/pages/login.rs",
                "admin/pages/now.rs",
                "admin/pages/parts.rs",
                "admin/pages/policy.rs",
                "admin/pages/reports.rs",
                "admin/pages/sign_in.rs",
                "admin/pages/top.rs",
                "admin/pages/view.rs",
            ],
        ),
        (
            "rusqlite",
            &[
                "report/store/crowd.rs",
                "report/store/file.rs",
                "report/store/mod.rs",
                "report/store/read.rs",
                "report/store/suspects.rs",
                "report/store/write.rs",
            ],
        ),
        ("hyper::", &["admin/serve.rs", "listen/https/http1.rs"]),
        ("h2::", &["listen/https/http2.rs", "resolve/kept/https.rs"]),
        ("http_body_util", &["listen/https/http1.rs"]),
        ("toml::", &["document.rs"]),
        ("libc::", &["listen/mmsg.rs", "net/stream.rs"]),
        ("nix::sys::epoll", &["net/poll.rs"]),
        ("nix::sys::timerfd", &["net/poll.rs"]),
        ("idna::", &["dns/name.rs"]),
        ("siphasher", &["dns/cookie.rs"]),
        ("::prometheus::", &["telemetry/prometheus.rs"]),
        (
            "clap::",
            &[
                "cli/verbs.rs",
                "cli/approve.rs",
                "cli/audit.rs",
                "cli/bundle.rs",
                "cli/compile.rs",
                "cli/explain.rs",
                "cli/export.rs",
                "cli/log.rs",
                "cli/remote.rs",
                "cli/report.rs",
                "cli/serve.rs",
                "cli/top.rs",
            ],
        ),
        ("unsafe {", &["listen/mmsg.rs", "sources/map.rs"]),
    ];
    for path in sources(&root().join("src")) {
        let code = production(&read(&path));
        for (name, allowed) in doors {
            let uses = code.match_indices(name).any(|(at, _)| {
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                    || name.starts_with(':')
            });
            let inside = allowed.iter().any(|door| path.ends_with(door));
            // `sd_notify::` ends with another crate's name.
            assert!(!uses || inside, "{} names {name}", path.display());
        }
    }
}

#[test]
fn files_have_a_header_and_hold_one_concept() {
    for path in sources(&root().join("src")) {
        let text = read(&path);
        let header = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!((1..=90).contains(&header), "{} has a header of {header} lines", path.display());
        let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines of production code", path.display());
        if path.ends_with("mod.rs") {
            assert!(lines <= 140, "{} is a front desk, yet has {lines} lines", path.display());
        }
    }
}

/// Where `.route(` takes a path of programs, in the code of a folder.
fn routes(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in sources(folder) {
        let code = production(&read(&path));
        let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
        for (at, _) in code.match_indices(".route(") {
            let quoted = code[at..].split('"').nth(1).unwrap();
            let is_for_programs = ["/api/", "/feeds/", "/metrics", "/healthz", "/readyz"];
            if is_for_programs.iter().any(|begin| quoted.starts_with(begin)) {
                found.insert(quoted.to_owned());
            }
        }
    }
    found
}

#[test]
fn the_description_of_the_interface_has_every_path_and_no_other() {
    let document = read(&root().join("src/admin/openapi.json"));
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(described, routes(&root().join("src/admin")));
    for (path, item) in document["paths"].as_object().unwrap() {
        let changes =
            ["approve", "pin", "reload", "rollback", "unpin"].iter().any(|verb| path.ends_with(verb));
        assert_eq!(item.get("post").is_some(), changes, "{path}");
        assert_eq!(item.get("get").is_some(), !changes, "{path}");
    }
}

#[test]
fn the_planes_meet_only_at_the_policy() {
    for (room, other) in [("query", "reload"), ("reload", "query")] {
        for path in sources(&root().join("src").join(room)) {
            assert!(!production(&read(&path)).contains(&format!("crate::{other}")), "{}", path.display());
        }
    }
}

#[test]
fn the_readme_lists_every_metric_and_no_other() {
    let readme = read(&root().join("README.md"));
    let listed: BTreeSet<&str> =
        readme.lines().filter_map(|line| line.strip_prefix("| `interdict_")?.split('`').next()).collect();
    let known: BTreeSet<&str> = interdict::app::metrics()
        .iter()
        .map(|metric| metric.name.strip_prefix("interdict_").unwrap())
        .collect();
    assert_eq!(listed, known);
    for metric in interdict::app::metrics() {
        assert!(metric.help.ends_with('.'), "{}", metric.name);
        let counter = metric.kind == interdict::telemetry::Kind::Counter;
        assert_eq!(counter, metric.name.ends_with("_total"), "{}", metric.name);
    }
}
