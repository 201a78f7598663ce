//! People who sign in at their organisation's provider: whom it vouches for and what they may do; everything that a false or broken provider, an old answer or another's browser may bring,
//! each refused with its reason; and the same in Chromium with a provider that others made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

#[path = "support/provider.rs"]
mod provider;
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use interdict::clock::Clock;
use provider::{Key, Provider, by_secret, set, unsigned};
use serde_json::{Value, json};
use support::dashboard::status;
use support::{Site, free_port, read};

/// A site whose people sign in at `issuer`. The address that they come back to is written down and never asked here.
fn site(issuer: &str, more: &str) -> (Clock, Site) {
    let clock = Clock::manual("2026-11-20T12:00:00Z".parse().unwrap());
    let site = Site::prepare("", clock.clone());
    write(&site, "http://127.0.0.1:1", issuer, more);
    std::fs::write(site.path("secret"), "precious%\n").unwrap();
    (clock, site.started())
}

fn write(site: &Site, base: &str, issuer: &str, more: &str) {
    let dir = site.folder.path().display().to_string();
    let text = read(&site.config).replace(
        "[querylog]\n",
        &format!(
            "[admin.oidc]\nissuer = \"{issuer}\"\nclient_id = \"interdict\"\nclient_secret_file = \"{dir}/secret\"\n\
             redirect = \"{base}/login/back\"\nviewer = [\"dns-read\"]\noperator = [\"dns-ops\"]\napprover = [\"dns-approve\"]\n{more}\n[querylog]\n"
        ),
    );
    std::fs::write(&site.config, text).unwrap();
}

/// What a browser was sent to the provider with.
struct Going {
    cookie: String,
    fields: HashMap<String, String>,
}

fn go(site: &Site) -> Going {
    let (head, body) = site.browse("GET", "/login/oidc", "", "");
    assert_eq!(status(&head), 303, "{head}{body}");
    let to = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let fields = to.split_once('?').unwrap().1.split('&').filter_map(|pair| pair.split_once('='));
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Lax") && cookie.contains("Path=/login/back"), "{cookie}");
    Going {
        cookie: cookie.split(';').next().unwrap().to_owned(),
        fields: fields
            .map(|(key, value)| (key.to_owned(), value.replace("%3A", ":").replace("%2F", "/")))
            .collect(),
    }
}

impl Going {
    fn come_back(&self, site: &Site, query: &str) -> (String, String) {
        site.browse("GET", &format!("/login/back?{query}"), &format!("Cookie: {}\r\n", self.cookie), "")
    }

    /// As the provider would send the browser back.
    fn answered(&self, site: &Site, issuer: &str) -> (String, String) {
        self.come_back(site, &format!("code=abc&state={}&iss={issuer}", self.fields["state"]))
    }

    fn claims(&self, clock: &Clock, issuer: &str) -> Value {
        let now = clock.wall().as_second();
        json!({
            "iss": issuer, "aud": "interdict", "sub": "u-7", "nonce": self.fields["nonce"], "iat": now, "exp": now + 300,
            "email": "alice@gc.example", "email_verified": true, "groups": ["dns-ops", "staff"],
        })
    }
}

fn token(token: &str) -> (u16, String) {
    (200, json!({ "token_type": "Bearer", "access_token": "x", "id_token": token }).to_string())
}

fn session(head: &str) -> Option<String> {
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: interdict-session="))?;
    assert!(cookie.contains("SameSite=Strict") && cookie.contains("HttpOnly"), "{cookie}");
    Some(cookie.split(';').next().unwrap().to_owned())
}

#[test]
fn whom_the_provider_vouches_for_gets_a_session_with_its_roles_and_the_log_says_who() {
    let (ec, rsa) = (Key::ec(), Key::rsa());
    let provider = Provider::start(&[("ec", &ec), ("rsa", &rsa)]);
    let issuer = provider.issuer.clone();
    let (clock, site) = site(&issuer, "");
    let (_, page) = site.browse("GET", "/login", "", "");
    assert!(page.contains("href=\"/login/oidc\"") && page.contains("name=\"token\""), "{page}");
    for (key, id) in [(&ec, "ec"), (&rsa, "rsa")] {
        let going = go(&site);
        let asked = |name: &str| going.fields[name].as_str();
        assert_eq!((asked("tenant"), asked("response_type"), asked("client_id")), ("7", "code", "interdict"));
        assert_eq!(
            (asked("redirect_uri"), asked("code_challenge_method")),
            ("http://127.0.0.1:1/login/back", "S256")
        );
        assert_eq!(asked("scope"), "openid%20email");
        provider.say(|script| script.token = token(&key.sign(id, &going.claims(&clock, &issuer))));
        let (head, page) = going.answered(&site, &issuer);
        assert_eq!(status(&head), 200, "{page}");
        assert!(head.contains("refresh: 0; url=/") && page.contains("oidc:alice@gc.example"), "{head}{page}");
        let cookie = format!("Cookie: interdict-session={}\r\n", session(&head).unwrap());
        let page = site.browse("GET", "/generations", &cookie, "").1;
        assert!(page.contains("Logged in as <strong>oidc:alice@gc.example</strong>"), "{page}");
        // An operator reloads; the one who approves is somebody else.
        let (_, rest) = page.split_once("name=\"token\" value=\"").expect("a form");
        let body = |what: &str| {
            format!("token={}&what={what}&reason=by+provider&candidate=x&signature=y", &rest[..64])
        };
        let fields = format!("{cookie}{}", site.own_origin());
        let reload = body("reload").replace("&candidate=x&signature=y", "");
        assert_eq!(status(&site.browse("POST", "/act", &fields, &reload).0), 200);
        assert_eq!(status(&site.browse("POST", "/act", &fields, &body("approve")).0), 403);
        let log: Value = site.get("/api/v1/audit?last=3");
        let said: Vec<(&str, &str, &str)> = (0..3)
            .map(|at| ["who", "what", "outcome"].map(|key| log[at][key].as_str().unwrap()))
            .map(|[who, what, outcome]| (who, what, outcome))
            .collect();
        let alice = "oidc:alice@gc.example";
        assert_eq!(
            said,
            [(alice, "login", "admitted"), (alice, "reload", "unchanged"), (alice, "approve", "forbidden")]
        );
        let detail = log[0]["detail"].to_string();
        for part in [
            format!("issuer {issuer}"),
            "subject u-7".into(),
            "roles viewer, operator".into(),
            "from 127.0.0.1".into(),
        ] {
            assert!(detail.contains(&part), "{detail}");
        }
        // The same answer again: neither this browser's nor with the session's cookie.
        let (head, page) = going.answered(&site, &issuer);
        assert!(status(&head) == 400 && session(&head).is_none() && page.contains("used before"), "{page}");
        // It ends by itself, whatever goes on in it.
        for _ in 0..4 {
            assert!(site.browse("GET", "/", &cookie, "").1.contains("Logged in as"));
            clock.advance(Duration::from_secs(899));
        }
        clock.advance(Duration::from_secs(10));
        assert!(!site.browse("GET", "/", &cookie, "").1.contains("Logged in as"));
    }
    // The code goes with the verifier and the secret, which are nowhere in an address.
    let asked = provider.script.lock().unwrap().asked.clone();
    let (_, form, has_secret) = asked.iter().find(|(line, ..)| line.contains("/token")).unwrap();
    assert!(
        form.contains("grant_type=authorization_code")
            && form.contains("code=abc")
            && form.contains("code_verifier="),
        "{form}"
    );
    assert!(*has_secret && !form.contains("precious"), "{form}");
    assert_eq!(site.metric("interdict_sign_ins_total{result=\"begun\"}"), 2.0);
}

#[test]
fn what_a_false_provider_or_a_thief_brings_is_refused_with_its_reason() {
    let (key, other) = (Key::ec(), Key::ec());
    let rsa = Key::rsa();
    let provider = Provider::start(&[("a", &key), ("r", &rsa)]);
    let issuer = provider.issuer.clone();
    let (clock, site) = site(&issuer, "");
    type Forge<'f> = Box<dyn Fn(Value) -> String + 'f>;
    let claim = |name: &'static str, value: Value| -> Forge<'_> {
        let key = &key;
        Box::new(move |mut claims| {
            claims[name] = value.clone();
            key.sign("a", &claims)
        })
    };
    let now = || clock.wall().as_second();
    let cases: Vec<(&str, u16, Forge<'_>)> = vec![
        ("nonce", 403, claim("nonce", json!("another"))),
        ("aud", 403, claim("aud", json!("another"))),
        ("azp", 403, claim("azp", json!("another"))),
        ("issued by", 403, claim("iss", json!("https://other.example"))),
        (
            "expired",
            403,
            Box::new(|mut claims| {
                claims["exp"] = json!(now() - 61);
                key.sign("a", &claims)
            }),
        ),
        (
            "made in the future",
            403,
            Box::new(|mut claims| {
                claims["iat"] = json!(now() + 3600);
                key.sign("a", &claims)
            }),
        ),
        ("not a signed token", 403, Box::new(|claims| unsigned(&claims))),
        ("HS256", 403, Box::new(|claims| by_secret("r", &rsa.public(), &claims))),
        ("signature does not hold", 403, Box::new(|claims| other.sign("a", &claims))),
        (
            "signature does not hold",
            403,
            Box::new(|claims| {
                // Another's claims under a signature that was real.
                let real = key.sign("a", &claims);
                let (mut parts, mut raised) = (real.split('.'), claims);
                raised["groups"] = json!(["dns-approve"]);
                let forged = unsigned(&raised);
                let head = parts.next().unwrap();
                format!("{head}.{}.{}", forged.split('.').nth(1).unwrap(), parts.nth(1).unwrap())
            }),
        ),
        ("a key that the provider does not name", 403, Box::new(|claims| other.sign("unknown", &claims))),
        // The right key of another kind.
        ("a key that the provider does not name", 403, Box::new(|claims| rsa.sign("a", &claims))),
        ("not a signed token", 403, Box::new(|_| "abc".to_owned())),
        ("no role here", 403, claim("groups", json!(["staff"]))),
    ];
    for (words, code, forge) in &cases {
        clock.advance(Duration::from_secs(300));
        let going = go(&site);
        let forged = forge(going.claims(&clock, &issuer));
        provider.say(|script| script.token = token(&forged));
        let (head, page) = going.answered(&site, &issuer);
        assert_eq!(status(&head), *code, "{words}: {page}");
        assert!(session(&head).is_none() && page.contains(words), "{words}: {page}");
    }
    let entry = |last: Value| (last[0]["who"].clone(), last[0]["what"].clone(), last[0]["outcome"].clone());
    let last = entry(site.get("/api/v1/audit?last=1"));
    assert_eq!(
        last,
        (json!("oidc:alice@gc.example"), json!("login"), json!("forbidden")),
        "known, and without a role"
    );

    // The way back: another's state, another browser, another provider, none of these; each before the provider is asked anything.
    let good = |going: &Going| {
        provider.say(|script| script.token = token(&key.sign("a", &going.claims(&clock, &issuer))))
    };
    let asked = provider.asked("/token");
    clock.advance(Duration::from_secs(300));
    let (mine, theirs) = (go(&site), go(&site));
    good(&theirs);
    for (going, query) in [
        (&mine, format!("code=abc&state={}&iss={issuer}", theirs.fields["state"])),
        (&mine, format!("code=abc&iss={issuer}")),
        (
            &Going { cookie: "a=b".to_owned(), fields: HashMap::new() },
            format!("code=abc&state={}", theirs.fields["state"]),
        ),
    ] {
        let (head, page) = going.come_back(&site, &query);
        assert!(status(&head) == 400 && page.contains("another browser"), "{query}: {page}");
    }
    for query in ["code=abc&state=STATE", "code=abc&state=STATE&iss=https://other.example"] {
        let going = go(&site);
        let (head, page) = going.come_back(&site, &query.replace("STATE", &going.fields["state"]));
        assert!(status(&head) == 403 && page.contains("another issuer"), "{page}");
    }
    let going = go(&site);
    let denied = format!("error=access_denied&state={}&iss={issuer}", going.fields["state"]);
    let (head, page) = going.come_back(&site, &denied);
    assert!(status(&head) == 403 && page.contains("access_denied"), "{page}");
    let late = go(&site);
    clock.advance(Duration::from_secs(600));
    let (head, _) = late.answered(&site, &issuer);
    assert_eq!(status(&head), 400, "ten minutes later");
    assert_eq!(provider.asked("/token"), asked);
    // A code that the provider does not take, as one that was used before.
    clock.advance(Duration::from_secs(300));
    let going = go(&site);
    provider.say(|script| script.token = (400, json!({ "error": "invalid_grant" }).to_string()));
    let (head, page) = going.answered(&site, &issuer);
    assert!(status(&head) == 403 && page.contains("invalid_grant"), "{page}");
    // Where to go on is not for the answer to say.
    let going = go(&site);
    good(&going);
    let to = format!(
        "code=abc&state={}&iss={issuer}&next=https://evil.example&url=//evil.example",
        going.fields["state"]
    );
    let (head, page) = going.come_back(&site, &to);
    assert!(status(&head) == 200 && head.contains("refresh: 0; url=/\r\n"), "{head}");
    assert!(!page.contains("href=\"//evil") && !page.contains("href=\"https://evil"), "{page}");
    // Whoever fails over and over waits.
    clock.advance(Duration::from_secs(300));
    for _ in 0..10 {
        assert_eq!(status(&site.browse("GET", "/login/back?state=x", "", "").0), 400);
    }
    assert_eq!(status(&site.browse("GET", "/login/back?state=x", "", "").0), 429);
}

#[test]
fn a_provider_that_changes_its_keys_is_followed_and_not_asked_too_often() {
    let (old, new) = (Key::ec(), Key::rsa());
    let provider = Provider::start(&[("old", &old)]);
    let issuer = provider.issuer.clone();
    let (clock, site) = site(&issuer, "");
    let attempt = |key: &Key, id: &str| {
        let going = go(&site);
        provider.say(|script| script.token = token(&key.sign(id, &going.claims(&clock, &issuer))));
        status(&going.answered(&site, &issuer).0)
    };
    assert_eq!(attempt(&old, "old"), 200);
    provider.say(|script| script.keys = set(&[("new", &new)]));
    assert_eq!(attempt(&new, "new"), 403, "the keys were fetched just now");
    assert_eq!(provider.asked("/keys"), 1);
    clock.advance(Duration::from_secs(30));
    assert_eq!(attempt(&new, "new"), 200);
    assert_eq!((provider.asked("/keys"), provider.asked("/.well-known/")), (2, 1));
    for _ in 0..5 {
        assert_eq!(attempt(&new, "made-up"), 403);
    }
    assert_eq!(
        provider.asked("/keys"),
        2,
        "whoever names keys at will has the provider asked once in half a minute"
    );
    assert_eq!(attempt(&old, "old"), 403, "gone with the new keys");
}

#[test]
fn a_provider_that_is_down_slow_or_odd_holds_up_nobody_else() {
    let key = Key::ec();
    let provider = Provider::start(&[("a", &key)]);
    let issuer = provider.issuer.clone();
    let (clock, site) = site(&issuer, "timeout = \"300ms\"\n");
    let plain = provider.script.lock().unwrap().clone();
    let change = |name: &str, value: Value| {
        let mut discovery = plain.discovery.clone();
        discovery[name] = value;
        discovery
    };
    let no_key = json!({ "keys": [{ "kty": "oct", "k": "AA" }] }).to_string();
    type Case = (&'static str, Box<dyn Fn(&mut provider::Script)>);
    let began: Vec<(&str, Value)> = vec![
        ("says it is https://other.example", change("issuer", json!("https://other.example"))),
        ("names no `token_endpoint`", change("token_endpoint", json!("file:///etc/passwd"))),
        ("names no `jwks_uri`", change("jwks_uri", Value::Null)),
        ("is no JSON", json!("text")),
        ("larger than", change("filler", json!("x".repeat(300_000)))),
    ];
    for (words, discovery) in began {
        clock.advance(Duration::from_secs(5));
        provider.say(|script| script.discovery = discovery.clone());
        let (head, page) = site.browse("GET", "/login/oidc", "", "");
        assert!(
            status(&head) == 503
                && page.contains(words)
                && page.contains("Tokens and certificates still work"),
            "{words}: {page}"
        );
    }
    provider.say(|script| *script = plain.clone());
    let later: Vec<Case> = vec![
        (
            "larger than",
            Box::new(|script| script.keys = json!({ "keys": [], "filler": "x".repeat(300_000) }).to_string()),
        ),
        ("no key for RS256 or ES256", Box::new(move |script| script.keys.clone_from(&no_key))),
        ("sent no ID token", Box::new(|script| script.token = (200, "{}".to_owned()))),
        ("answered 502", Box::new(|script| script.token = (502, "<html>".to_owned()))),
        ("larger than", Box::new(|script| script.token.1 = "x".repeat(300_000))),
        ("within", Box::new(|script| script.delay = Duration::from_secs(3))),
    ];
    for (words, break_it) in &later {
        clock.advance(Duration::from_secs(5));
        provider.say(|script| *script = plain.clone());
        let going = go(&site);
        provider.say(|script| {
            script.token = token(&key.sign("a", &going.claims(&clock, &issuer)));
            break_it(script);
        });
        let began = Instant::now();
        let (head, page) = going.answered(&site, &issuer);
        assert!(status(&head) == 503 && page.contains(words), "{words}: {page}");
        assert!(began.elapsed() < Duration::from_secs(2), "{words}");
        assert!(session(&head).is_none());
    }
    // While many wait for a slow one, names are resolved and tokens are taken.
    clock.advance(Duration::from_secs(3600));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(status(&site.browse("GET", "/login/oidc", "", "").0), 503));
        }
        for _ in 0..20 {
            let began = Instant::now();
            assert_eq!(site.rcode("wechat.com"), "Non-Existent Domain");
            assert!(began.elapsed() < Duration::from_millis(250));
        }
        assert_eq!(site.http("GET", "/api/v1/recent", Some(&site.token())).0, 200);
    });
    // In French, where a reader asks for it.
    let page = site.browse("GET", "/login/oidc", "Accept-Language: fr\r\n", "").1;
    assert!(page.contains("Les jetons et les certificats fonctionnent toujours"), "{page}");
    // Whoever failed by the provider's fault need not wait.
    provider.say(|script| *script = plain.clone());
    clock.advance(Duration::from_secs(5));
    let going = go(&site);
    provider.say(|script| script.token = token(&key.sign("a", &going.claims(&clock, &issuer))));
    assert_eq!(status(&going.answered(&site, &issuer).0), 200);
}

#[test]
fn a_provider_that_others_made_lets_people_in_through_a_browser() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
    for needed in ["puppeteer-core", "oidc-provider"] {
        if !modules.join("node_modules").join(needed).exists() {
            return eprintln!("skipped: tests/run fetches {needed}");
        }
    }
    if !Path::new("/usr/bin/chromium").exists() {
        return eprintln!("skipped: chromium is not installed");
    }
    // Another site than ours, as a browser sees it.
    let (port, own) = (free_port(), free_port());
    let (issuer, base) = (format!("http://localhost:{port}"), format!("http://127.0.0.1:{own}"));
    let site = Site::prepare("", Clock::system());
    let text =
        read(&site.config).replace("listen = \"127.0.0.1:0\"", &format!("listen = \"127.0.0.1:{own}\""));
    std::fs::write(&site.config, text).unwrap();
    write(&site, &base, &issuer, "scopes = [\"openid\", \"email\", \"groups\"]\n");
    std::fs::write(site.path("secret"), "precious%:\n").unwrap();
    let site = site.started();
    let asked = json!({
        "modules": modules, "chromium": "/usr/bin/chromium", "base": base, "issuer": issuer, "port": port, "secret": "precious%:",
        "shots": std::env::var("SHOTS").ok(),
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/sign_in.mjs");
    let child = Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return eprintln!("skipped: node is not installed") };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(said["wrong"], json!([]), "{said}");
    assert!(said["steps"].as_array().unwrap().len() >= 6, "{said}");
    let log: Value = site.get("/api/v1/audit?last=4");
    let found =
        log.as_array().unwrap().iter().find(|entry| entry["outcome"] == "admitted").expect("an entry");
    assert_eq!(found["who"], json!("oidc:alice@gc.example"));
    assert!(found["detail"].to_string().contains("roles viewer, operator"), "{found}");
    assert!(log.to_string().contains("\"forbidden\""), "who has no role: {log}");
}
