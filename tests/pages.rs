//! The operators' interface as people and their browsers meet it: who may do what, how a session begins, what a form must bring, what another's page cannot
//! do; and every page in Chromium, by axe-core's rules, in both languages, narrow and wide, light and dark, with and without scripts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use interdict::clock::Clock;
use serde_json::{Value, json};
use support::dashboard::{HOSTILE, furnished, status};
use support::{Site, read};

const PAGES: [&str; 9] = [
    "/",
    "/?span=hour",
    "/policy",
    "/explain?name=wechat.com",
    "/generations",
    "/reports",
    "/audit",
    "/log?name=wechat&limit=20",
    "/login",
];

/// The last entry of the audit log.
fn last_entry(site: &Site) -> Value {
    let entries: Value = site.get("/api/v1/audit?last=1");
    entries[0].clone()
}

/// The token that the forms of a session's page send back.
fn form_token(site: &Site, session: &str) -> String {
    let (_, page) = site.browse("GET", "/generations", &cookie(session), "");
    let (_, rest) = page.split_once("name=\"token\" value=\"").expect("a form");
    rest[..64].to_owned()
}

fn cookie(session: &str) -> String {
    format!("Cookie: a=b; interdict-session={session}\r\n")
}

#[test]
fn a_role_allows_what_it_says_and_no_more_and_every_refusal_is_written_down() {
    let site = furnished(Clock::system(), "");
    for (token, reload, recent) in [
        ("viewer-token", 403, 200),
        ("approver-token", 403, 200),
        ("operator-token", 200, 200),
        ("old-token", 200, 200),
        ("no-token", 401, 401),
    ] {
        assert_eq!(site.http("POST", "/api/v1/reload", Some(token)).0, reload, "{token}");
        assert_eq!(site.http("GET", "/api/v1/recent", Some(token)).0, recent, "{token}");
        assert_eq!(site.http("GET", "/api/v1/report", Some(token)).0, recent, "{token}");
    }
    let (code, said) = site.http("POST", "/api/v1/approve?candidate=x&signature=y", Some("operator-token"));
    assert!(code == 403 && said.contains("approver"), "{said}");
    let entry = last_entry(&site);
    assert_eq!((&entry["who"], &entry["outcome"]), (&json!("operator"), &json!("forbidden")), "{entry}");
    let (code, said) = site.http("POST", "/api/v1/approve?candidate=x&signature=y", Some("approver-token"));
    assert!(code == 409 && said.contains("no change waits"), "{said}");
    assert_eq!(site.http("GET", "/api/v1/status", None).0, 200, "reading is open");
}

#[test]
fn a_session_begins_with_a_token_and_its_forms_count_from_our_own_pages_alone() {
    let site = furnished(Clock::system(), "");
    for origin in ["", "Origin: null\r\n", "Origin: http://evil.example\r\n"] {
        let (head, _) = site.browse("POST", "/login", origin, "token=operator-token");
        assert_eq!(status(&head), 403, "{origin}");
    }
    let own = site.own_origin();
    let (head, _) = site.browse("POST", "/login", &own, "token=operator-token");
    let set = head.lines().find(|line| line.starts_with("set-cookie: interdict-session=")).unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"), "{set}");
    let session = site.log_in("operator-token");
    let (head, page) = site.browse("GET", "/", &cookie(&session), "");
    assert!(page.contains("Logged in as <strong>operator</strong>"), "{page}");
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");

    let token = form_token(&site, &session);
    let body = format!("token={token}&what=reload&reason=by+form");
    let other = form_token(&site, &site.log_in("old-token"));
    for (fields, body) in [
        (cookie(&session), body.clone()),
        (format!("{}Origin: http://evil.example\r\n", cookie(&session)), body.clone()),
        (format!("{}{own}", cookie(&session)), "what=reload&reason=by+form".to_owned()),
        (format!("{}{own}", cookie(&session)), body.replace(&token, &other)),
        (own.clone(), body.clone()),
    ] {
        let (head, _) = site.browse("POST", "/act", &fields, &body);
        assert_eq!(status(&head), 403, "{fields} {body}");
        let log = site.http("GET", "/api/v1/audit", None).1;
        assert!(!log.contains("by form"), "nothing was done: {log}");
    }
    // A session is no token: a request without a form that a browser may send by itself counts for nothing.
    let (head, _) = site.browse("POST", "/api/v1/reload", &format!("{}{own}", cookie(&session)), "");
    assert_eq!(status(&head), 401);
    let (head, page) = site.browse("POST", "/act", &format!("{}{own}", cookie(&session)), &body);
    assert!(status(&head) == 200 && page.contains("in force"), "{head}{page}");
    let entry = last_entry(&site);
    assert_eq!((&entry["who"], &entry["why"]), (&json!("operator"), &json!("by form")), "{entry}");
    let (head, _) = site.browse(
        "POST",
        "/act",
        &format!("{}{own}", cookie(&session)),
        &body.replace("reload", "approve"),
    );
    assert_eq!(status(&head), 400, "what is missing is said before who may");

    // An own page shows forms to those alone who may use them.
    let viewer = site.log_in("viewer-token");
    assert!(!site.browse("GET", "/generations", &cookie(&viewer), "").1.contains("action=\"/act\""));

    // A line taken out of the file ends its sessions; logging out ends one.
    let (head, _) =
        site.browse("POST", "/logout", &format!("{}{own}", cookie(&session)), &format!("token={token}"));
    assert_eq!(status(&head), 303);
    let is_known = |session: &str| site.browse("GET", "/", &cookie(session), "").1.contains("Logged in as");
    assert!(!is_known(&session) && is_known(&viewer));
    let tokens = read(&site.path("tokens"));
    std::fs::write(site.path("tokens"), tokens.replace("viewer ", "#viewer ")).unwrap();
    assert!(!is_known(&viewer), "revoked");
}

#[test]
fn whoever_guesses_tokens_is_told_to_wait() {
    let site = furnished(Clock::system(), "");
    let own = site.own_origin();
    let attempt = |token: &str| status(&site.browse("POST", "/login", &own, &format!("token={token}")).0);
    for _ in 0..10 {
        assert_eq!(attempt("guess"), 401);
    }
    let (head, _) = site.browse("POST", "/login", &own, "token=operator-token");
    assert_eq!(status(&head), 429, "even with the right one");
    assert!(head.contains("retry-after: "), "{head}");
    let entry = last_entry(&site);
    assert_eq!((&entry["who"], &entry["what"]), (&json!("stranger"), &json!("login")), "{entry}");
    assert_eq!(
        site.http("GET", "/api/v1/recent", Some("operator-token")).0,
        200,
        "tokens of the API are not guessed so"
    );
}

#[test]
fn a_name_made_to_lead_here_reads_nothing() {
    let site = furnished(Clock::system(), "names = [\"dns.example.gc.ca\"]\n");
    let admin = site.running.as_ref().unwrap().admin;
    let ask = |host: &str, path: &str| {
        let mut stream = std::net::TcpStream::connect(admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
        status(&text)
    };
    for path in ["/", "/api/v1/status", "/api/v1/explain?name=wechat.com", "/login"] {
        assert_eq!(ask("evil.example:9153", path), 421, "{path}");
        assert_eq!(ask("dns.example.gc.ca:9153", path), 200, "{path}");
        assert_eq!(ask("localhost", path), 200, "{path}");
    }
    // Scrapers and probes find the server by whatever name they like.
    assert_eq!(ask("resolver.monitoring.example", "/metrics"), 200);
    assert_eq!(ask("resolver.monitoring.example", "/healthz"), 200);
}

#[test]
fn reading_can_be_for_known_people_alone() {
    let site = furnished_closed();
    for path in PAGES.iter().filter(|path| **path != "/login") {
        let (head, _) = site.browse("GET", path, "", "");
        assert!(status(&head) == 303 && head.contains("location: /login"), "{path}: {head}");
    }
    for path in ["/api/v1/status", "/api/v1/history", "/api/v1/now", "/feeds/domains"] {
        assert_eq!(site.http("GET", path, None).0, 401, "{path}");
        assert_eq!(site.http("GET", path, Some("viewer-token")).0, 200, "{path}");
    }
    for path in ["/metrics", "/healthz", "/readyz", "/login", "/assets/dashboard.css"] {
        assert_eq!(site.http("GET", path, None).0, 200, "{path}");
    }
    let session = site.log_in("viewer-token");
    for path in PAGES {
        assert_eq!(status(&site.browse("GET", path, &cookie(&session), "").0), 200, "{path}");
    }
}

fn furnished_closed() -> Site {
    // Not furnished by what is read without a token.
    let site = furnished(Clock::system(), "");
    let mut site = site;
    site.stop();
    let text = read(&site.config).replace("[admin]\n", "[admin]\nread = \"viewer\"\n");
    std::fs::write(&site.config, text).unwrap();
    site.started()
}

#[test]
fn what_was_asked_is_shown_to_known_people_and_never_becomes_markup() {
    let site = furnished(Clock::system(), "");
    let shown = |fields: &str| site.browse("GET", "/", fields, "").1;
    assert!(!shown("").contains("canada"), "a stranger sees what was asked");
    let session = site.log_in("viewer-token");
    let page = shown(&cookie(&session));
    assert!(page.contains("&lt;script&gt;alert") && !page.contains("<script>alert"), "{page}");
    assert!(page.contains("www.canada.ca"), "{page}");
    let (_, found) =
        site.http("GET", "/api/v1/recent?verdict=blocked&app=wechat&limit=3", Some("viewer-token"));
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 3, "{found}");
    assert!(
        found.as_array().unwrap().iter().all(|seen| seen["app"] == "wechat" && seen["verdict"] == "blocked")
    );
    assert!(
        found.as_array().unwrap().iter().all(|seen| seen["rcode"].is_string() && seen["took_us"].is_null()),
        "{found}"
    );
    let (_, found) = site.http("GET", "/api/v1/recent?name=canada.ca&verdict=allowed", Some("viewer-token"));
    let found: Value = serde_json::from_str(&found).unwrap();
    let waited = found.as_array().unwrap().iter().find(|seen| seen["took_us"].is_u64());
    let waited = waited.unwrap();
    assert_eq!(
        (&waited["rcode"], &waited["answered_from"]),
        (&"NOERROR".into(), &"upstream".into()),
        "{found}"
    );
    let upstream = format!("udp://{}", site.upstream.address);
    assert_eq!(waited["upstream"], *upstream, "{found}");
    let page = site.browse("GET", "/?name=canada.ca&verdict=allowed", &cookie(&session), "").1;
    assert!(page.contains(&format!("<td>{upstream}</td>")) && page.contains("<td>cache</td>"), "{page}");
    // The kept log, every part of it by the links on its pages.
    let (mut names, mut next) = (0, Some("/log?name=wechat&limit=20".to_owned()));
    assert!(!site.browse("GET", "/log?name=wechat&limit=20", "", "").1.contains("www.wechat.com"));
    while let Some(path) = next {
        let page = site.browse("GET", &path, &cookie(&session), "").1;
        assert!(!page.contains("<script>alert"), "{page}");
        names += page.matches("<td><a class=\"wide\"").count();
        let (before, _) = page.split_once("\">Older</a>").unzip();
        next = before.map(|text| text.rsplit("href=\"").next().unwrap().replace("&amp;", "&"));
    }
    assert_eq!(names, 30, "each line once");
    // What stands in an address comes back as text too.
    for path in [
        "/explain?name=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/?name=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
        "/log?name=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
        "/log?from=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ] {
        let page = site.browse("GET", path, &cookie(&session), "").1;
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    }
    assert!(!HOSTILE.is_empty());
}

#[test]
fn every_page_stands_without_state_reports_and_log_and_in_every_privacy_mode() {
    let site = furnished(Clock::system(), "tail = 0\n");
    let plain = read(&site.config);
    let mut site = site;
    site.stop();
    let bare = plain
        .lines()
        .filter(|line| !line.starts_with("to = ["))
        .map(|line| {
            if line.starts_with("state = ") { "state = \"/proc/nowhere\"\n[report]\ndays = 0" } else { line }
        })
        .collect::<Vec<_>>()
        .join("\n")
        .replace("[report]\ndays = 0", "")
        + "\n[report]\ndays = 0\n";
    let check = |site: &Site, words: &str| {
        let session = site.log_in("operator-token");
        for path in PAGES {
            let (head, page) = site.browse("GET", path, &cookie(&session), "");
            assert_eq!(status(&head), 200, "{path}: {page}");
            assert!(page.contains("</html>"), "{path}");
        }
        let page = site.browse("GET", "/", &cookie(&session), "").1;
        assert!(page.contains(words), "{words}: {page}");
    };
    std::fs::write(&site.config, bare).unwrap();
    let mut site = site.started();
    check(&site, "No records are kept");
    site.stop();
    for (mode, shown) in [("none", "–"), ("prefix", "127.0.2.0/24")] {
        let text = plain
            .replace("tail = 0\n", "")
            .replace("which = \"all\"", &format!("which = \"all\"\nclients = \"{mode}\""));
        std::fs::write(&site.config, text).unwrap();
        site.running = Some(site.try_start().unwrap());
        site.ask_around();
        std::thread::sleep(std::time::Duration::from_millis(300));
        check(&site, shown);
        let session = site.log_in("operator-token");
        for path in ["/", "/log?verdict=blocked&limit=100"] {
            let page = site.browse("GET", path, &cookie(&session), "").1;
            assert!(page.contains(shown), "{mode}: {page}");
            assert!(!page.contains("127.0.2.1<") && !page.contains("127.0.2.2"), "{mode}: {page}");
        }
        site.stop();
    }
}

/// A certificate and its key in PEM, signed by the authority, or by itself.
fn certificate(
    name: &str,
    authority: Option<&rcgen::Issuer<'_, rcgen::KeyPair>>,
) -> (String, rcgen::KeyPair, rcgen::CertificateParams) {
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    let made = match authority {
        Some(authority) => params.signed_by(&key, authority).unwrap(),
        None => {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.self_signed(&key).unwrap()
        }
    };
    (made.pem(), key, params)
}

#[test]
fn a_certificate_stands_for_its_owner_and_nobody_reads_along() {
    let prepared = furnished(Clock::system(), "");
    let mut site = prepared;
    site.stop();
    let (pem, key, params) = certificate("the authority", None);
    std::fs::write(site.path("ca.pem"), &pem).unwrap();
    let authority = rcgen::Issuer::new(params, key);
    for (file, name) in
        [("server", "dns.example.gc.ca"), ("laptop", "laptop-7.example"), ("other", "laptop-8.example")]
    {
        let (pem, key, _) = certificate(name, Some(&authority));
        std::fs::write(site.path(&format!("{file}.pem")), pem).unwrap();
        std::fs::write(site.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }
    let tokens = read(&site.path("tokens"));
    std::fs::write(site.path("tokens"), tokens + "alice certificate:laptop-7.example operator\n").unwrap();
    let dir = site.folder.path().display().to_string();
    let tls = "[admin]\ncertificate = \"$DIR/server.pem\"\nkey = \"$DIR/server.key\"\nclient_ca = \"$DIR/ca.pem\"\nnames = [\"dns.example.gc.ca\"]\n";
    let text = read(&site.config).replace("[admin]\n", &tls.replace("$DIR", &dir));
    std::fs::write(&site.config, text).unwrap();
    let site = site.started();
    let port = site.running.as_ref().unwrap().admin.port();
    let curl = |who: &str, more: &[&str], path: &str| {
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "/dev/stdout", "-w", "\n%{http_code}", "--resolve"]);
        command.arg(format!("dns.example.gc.ca:{port}:127.0.0.1")).arg("--cacert").arg(site.path("ca.pem"));
        if !who.is_empty() {
            command
                .arg("--cert")
                .arg(site.path(&format!("{who}.pem")))
                .arg("--key")
                .arg(site.path(&format!("{who}.key")));
        }
        let output =
            command.args(more).arg(format!("https://dns.example.gc.ca:{port}{path}")).output().expect("curl");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, code) = text.rsplit_once('\n').unwrap();
        (code.to_owned(), body.to_owned())
    };
    assert_eq!(curl("laptop", &[], "/api/v1/recent").0, "200");
    assert_eq!(curl("other", &[], "/api/v1/recent").0, "401", "vouched for, and not listed");
    assert_eq!(curl("", &[], "/api/v1/status").0, "200");
    let foreign = ["-X", "POST", "-H", "Origin: https://evil.example"];
    assert_eq!(
        curl("laptop", &foreign, "/api/v1/reload").0,
        "401",
        "another's page has the browser show the certificate"
    );
    assert_eq!(curl("laptop", &["-X", "POST"], "/api/v1/reload?reason=by+certificate").0, "200");
    let entry = last_entry(&site);
    assert_eq!((&entry["who"], &entry["why"]), (&json!("alice"), &json!("by certificate")), "{entry}");
    let login =
        ["-d", "token=operator-token", "-H", &format!("Origin: https://dns.example.gc.ca:{port}"), "-i"];
    let (_, said) = curl("", &login, "/login");
    assert!(said.contains("interdict-session=") && said.contains("; Secure"), "{said}");
    let page = curl("laptop", &[], "/generations").1;
    assert!(
        page.contains("Logged in as <strong>alice</strong>") && page.contains("action=\"/act\""),
        "{page}"
    );
    // The command line and probes on this machine go on as before.
    assert_eq!(site.http("GET", "/healthz", None).0, 200);
}

#[test]
fn what_is_wrong_is_said_as_a_problem() {
    let site = furnished(Clock::system(), "");
    for (method, path, code) in [
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/status", 405),
        ("GET", "/api/v1/reload", 405),
        ("POST", "/api/v1/reload", 401),
        ("GET", "/api/v1/explain", 400),
        ("GET", "/api/v1/audit?last=x", 400),
        ("GET", "/api/v1/history?limit=1&limit=2", 400),
        ("GET", "/api/v1/status?verbose=1", 400),
        ("GET", "/api/v1/diff?from=1&to=999", 409),
        ("GET", "/api/v1/egress", 404),
        ("GET", "/feeds/nothing", 404),
    ] {
        let (head, body) = site.http_whole(method, path, None);
        assert_eq!(status(&head), code, "{path}: {body}");
        assert!(head.contains("content-type: application/problem+json"), "{path}: {head}");
        let said: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(said["status"], json!(code), "{path}");
        assert!(!said["detail"].as_str().unwrap().is_empty() && said["title"].is_string(), "{path}: {said}");
        assert_eq!(code == 405, head.contains("\r\nallow: "), "{path}: {head}");
    }
}

// --- In a browser ---

/// Where `tests/run` has put what the browser is driven with; `None` where it has not run.
fn modules() -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
    folder.join("node_modules/puppeteer-core").exists().then(|| folder.display().to_string())
}

/// Keys of two people, of whom nobody has the secret part.
const RULE: &str = "[guard]\napprovals = 2\napprovers = [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3 alice\", \
                    \"RWTh5/N8uNMAKD7b1Tc2iQQ3WObp38dI07aBfJd3cmsnlxI3Tz28lYfw bob\"]\n";

#[test]
fn a_change_that_waits_is_shown_with_the_form_for_whoever_may_approve_it() {
    let mut site = furnished(Clock::system(), "");
    site.stop();
    let text = read(&site.config);
    std::fs::write(&site.config, format!("{text}{RULE}")).unwrap();
    let site = site.started();
    std::fs::write(site.path("own.txt"), "*.one.example\n*.two.example\n*.three.example\n").unwrap();
    assert_eq!(site.reload("")["outcome"], "waiting");
    let waiting = site.status()["waiting"]["law"].as_str().unwrap().to_owned();
    let shown = |session: &str| site.browse("GET", "/generations", &cookie(session), "").1;
    let operators = shown(&site.log_in("operator-token"));
    assert!(operators.contains("three.example") && !operators.contains("name=\"signature\""), "{operators}");
    let session = site.log_in("approver-token");
    let approvers = shown(&session);
    assert!(approvers.contains(&format!("name=\"candidate\" value=\"{waiting}\"")), "{approvers}");
    assert!(!approvers.contains("value=\"reload\""), "an approver does not reload");
    let fields = format!("{}{}", cookie(&session), site.own_origin());
    let (_, rest) = approvers.split_once("name=\"token\" value=\"").unwrap();
    let body = format!("token={}&what=approve&candidate={waiting}&signature=forged", &rest[..64]);
    let (head, page) = site.browse("POST", "/act", &fields, &body);
    assert!(status(&head) == 409 && page.contains("Rejected"), "{page}");
    assert_eq!(last_entry(&site)["who"], json!("approver"));
    let Some(modules) = modules().filter(|_| Path::new("/usr/bin/chromium").exists()) else { return };
    let base = format!("http://127.0.0.1:{}", site.running.as_ref().unwrap().admin.port());
    let pages = json!([
        { "path": "/generations", "name": "waiting", "words": ["Waits for approval"] },
        { "path": "/", "name": "now-waiting", "words": ["Waits for approval"] },
    ]);
    let asked = json!({
        "modules": modules, "chromium": "/usr/bin/chromium", "base": base, "session": session, "pages": pages,
        "shots": std::env::var("SHOTS").ok(),
    });
    let Some((looked, wrong)) = look(&asked) else { return };
    assert!(wrong.is_empty(), "{}", serde_json::to_string_pretty(&wrong).unwrap());
    assert_eq!(looked, 8 * 2);
}

/// Has the browser look; returns how often it did, and everything that is wrong.
fn look(asked: &Value) -> Option<(u64, Vec<Value>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/check.mjs");
    let mut child = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| eprintln!("skipped: node: {error}"))
        .ok()?;
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    Some((said["looked"].as_u64().unwrap(), said["wrong"].as_array().unwrap().clone()))
}

#[test]
fn everybody_can_read_every_page_in_a_browser() {
    let Some(modules) = modules() else {
        return eprintln!("skipped: tests/run fetches the browser's driver");
    };
    if !Path::new("/usr/bin/chromium").exists() {
        return eprintln!("skipped: chromium is not installed");
    }
    let site = furnished(Clock::system(), "");
    let running = site.running.as_ref().unwrap();
    let base = format!("http://127.0.0.1:{}", running.admin.port());
    let page = |path: &str, name: &str, words: &[&str]| json!({ "path": path, "name": name, "words": words });
    let pages = json!([
        page("/", "now", &["WeChat", "Queries a second", "&lt;script&gt;", "udp://127.0.0.1"]),
        page("/?span=hour&verdict=shadow&name=t", "now-hour", &["tiktok"]),
        page(
            "/policy",
            "policy",
            &["ca-tbs-2023-10-30-wechat-kaspersky", "forensics-lab", "own", "rehearsal"]
        ),
        page("/explain?name=wechat.com&on=2026-11-20", "explain", &["Blocked", "NXDOMAIN", "wechat.com"]),
        page("/explain?name=a..b", "explain-wrong", &["not a domain name"]),
        page("/generations", "generations", &["in force", "ticket 4711"]),
        page("/generations?preview=1", "generations-preview", &["rules after"]),
        page("/generations?from=1&to=2", "generations-between", &["two.example"]),
        page("/generations?impact=1", "generations-impact", &["Newly blocked"]),
        page("/reports", "reports", &["Devices that very likely have an app", "WeChat"]),
        page("/audit", "audit", &["ticket 4711", "published"]),
        page("/log", "log", &["Reference on a block page"]),
        page(
            "/log?verdict=blocked&limit=20",
            "log-found",
            &["Older", "NXDOMAIN", "&lt;script&gt;", "ca-tbs-2023-10-30-wechat-kaspersky"]
        ),
        page("/log?reference=7-", "log-wrong", &["is no reference"]),
        page("/login", "login", &["Token"]),
    ]);
    let block = running.proxies.first().map(|page| format!("http://127.0.0.1:{}", page.port()));
    let report = format!("{base}/reports/file?what=report&form=html&lang=LANGUAGE");
    let devices = format!("{base}/reports/file?what=devices&form=html&lang=LANGUAGE");
    let others = json!([
        { "url": report, "name": "printed" },
        { "url": devices, "name": "printed-devices" },
        { "url": format!("{}/?lang=LANGUAGE", block.unwrap()), "name": "block", "host": "www.wechat.com" },
    ]);
    let asked = json!({
        "modules": modules, "chromium": "/usr/bin/chromium", "base": base, "session": site.log_in("operator-token"),
        "pages": pages, "others": others, "shots": std::env::var("SHOTS").ok(),
    });
    let Some((looked, wrong)) = look(&asked) else { return };
    assert!(wrong.is_empty(), "{}", serde_json::to_string_pretty(&wrong).unwrap());
    assert_eq!(looked, 8 * (15 + 3));
}
