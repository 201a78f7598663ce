//! The policy as lists of other programs: each loaded by the program it is for, which then blocks what interdict blocks and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may read any file"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares files with other suites")]

#[path = "support/capture.rs"]
mod capture;
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use interdict::clock::Clock;
use interdict::feeds::Format;
use support::{Program, Site, free_port, reply_of};

/// A name with everything below it, one alone, what is below one, and what is let pass inside; names that no format can carry.
const ZONE: &str = "$TTL 60
@ SOA ns. contact. 1 2 3 4 5
@ NS ns.
tree.example CNAME .
*.tree.example CNAME .
a.b.ok.tree.example CNAME rpz-passthru.
*.a.b.ok.tree.example CNAME rpz-passthru.
bad.a.b.ok.tree.example CNAME .
*.bad.a.b.ok.tree.example CNAME .
half.tree.example CNAME .
*.half.tree.example CNAME rpz-passthru.
self.tree.example CNAME rpz-passthru.
only.example CNAME .
*.under.example CNAME .
other.example A 192.0.2.99
a\\034\\059b.example CNAME .
24.0.113.0.203.rpz-ip CNAME .
24.0.100.51.198.rpz-ip CNAME .
32.9.100.51.198.rpz-ip CNAME rpz-passthru.
";

const LIST: &str =
    "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.rpz\"\nformat = \"rpz\"\nzone = \"rpz.example\"\n";

/// Names, and whether interdict blocks them.
const NAMES: [(&str, bool); 18] = [
    ("tree.example", true),
    ("www.tree.example", true),
    ("b.ok.tree.example", true),
    ("x.b.ok.tree.example", true),
    ("a.b.ok.tree.example", false),
    ("www.a.b.ok.tree.example", false),
    ("bad.a.b.ok.tree.example", true),
    ("www.bad.a.b.ok.tree.example", true),
    ("half.tree.example", true),
    ("www.half.tree.example", false),
    ("self.tree.example", false),
    ("www.self.tree.example", true),
    ("xtree.example", false),
    ("only.example", true),
    ("www.only.example", false),
    ("under.example", false),
    ("www.under.example", true),
    ("www.wechat.com", true),
];

fn site() -> Site {
    let site = Site::prepare(LIST, Clock::system());
    std::fs::write(site.path("own.rpz"), ZONE).unwrap();
    let site = site.started();
    for (name, blocked) in NAMES {
        assert_eq!(is_blocked(site.address(), name), Some(blocked), "interdict: {name}");
    }
    site
}

/// The list, as a program fetches it.
fn feed(site: &Site, path: &str) -> String {
    let (status, text) = site.http("GET", &format!("/feeds/{path}"), None);
    assert_eq!(status, 200, "{text}");
    text
}

/// True when a server has no address for a name, or one that leads nowhere.
fn is_blocked(server: SocketAddr, name: &str) -> Option<bool> {
    let reply = reply_of(server, name)?;
    let answers = u16::from_be_bytes([reply[6], reply[7]]);
    Some(
        answers == 0
            || reply.ends_with(&[0, 4, 0, 0, 0, 0])
            || reply.windows(6).any(|bytes| bytes == [0, 4, 0, 0, 0, 0]),
    )
}

/// Runs a resolver with `config` in the site's folder; `None`, and said so, where it is not installed.
fn resolver(site: &Site, program: &str, arguments: &[&str], config: &str, port: u16) -> Option<Program> {
    let path = site.path(&format!("{}.conf", program.rsplit('/').next().unwrap()));
    let folder = site.folder.path().to_str().unwrap();
    std::fs::write(&path, config.replace("$DIR", folder)).unwrap();
    let arguments = arguments.iter().map(|argument| argument.replace("CONFIG", path.to_str().unwrap()));
    let log = std::fs::File::create(site.path("log")).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let running = match child {
        Ok(child) => Program(child),
        Err(error) => {
            eprintln!("skipped: {program}: {error}");
            return None;
        }
    };
    let answers = |_| {
        std::thread::sleep(Duration::from_millis(100));
        // It may answer before it has read its list to the end.
        let answer = |name| is_blocked((Ipv4Addr::LOCALHOST, port).into(), name);
        answer("free.example") == Some(false) && answer("tree.example") == Some(true)
    };
    assert!((0..300).any(answers), "{program}: {}", support::read(&site.path("log")));
    Some(running)
}

fn agrees(port: u16, program: &str, but_for: &[&str]) {
    for (name, blocked) in NAMES {
        let found = is_blocked((Ipv4Addr::LOCALHOST, port).into(), name);
        assert_eq!(found, Some(blocked != but_for.contains(&name)), "{program}: {name}");
    }
}

#[test]
fn unbound_blocks_what_its_list_says() {
    let (site, port) = (site(), free_port());
    std::fs::write(site.path("list"), feed(&site, "unbound")).unwrap();
    let config = format!(
        "server:\n interface: 127.0.0.1@{port}\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n directory: \"$DIR\"\n pidfile: \"\"\n \
         use-syslog: no\n logfile: \"\"\n module-config: \"iterator\"\n do-not-query-localhost: no\nremote-control:\n control-enable: no\n\
         include: \"$DIR/list\"\nforward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{}\n",
        site.upstream.address.port()
    );
    let Some(_running) = resolver(&site, "/usr/sbin/unbound", &["-d", "-c", "CONFIG"], &config, port) else {
        return;
    };
    // It has no word for what is below a name alone: that is not blocked, or passes with the name.
    agrees(port, "unbound", &["www.under.example", "www.self.tree.example"]);
}

#[test]
fn dnsmasq_blocks_what_its_lists_say() {
    let (site, port) = (site(), free_port());
    std::fs::write(site.path("list"), feed(&site, "dnsmasq")).unwrap();
    let upstream = site.upstream.address.port();
    let base = format!(
        "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nserver=127.0.0.1#{upstream}\nuser=root\npid-file=\n"
    );
    let run = |config: &str| {
        resolver(&site, "/usr/sbin/dnsmasq", &["--keep-in-foreground", "--conf-file=CONFIG"], config, port)
    };
    let Some(running) = run(&format!("{base}conf-file=$DIR/list\n")) else { return };
    agrees(
        port,
        "dnsmasq",
        &["www.under.example", "only.example", "half.tree.example", "www.self.tree.example"],
    );
    drop(running);
    // Names alone.
    std::fs::write(site.path("hosts"), feed(&site, "hosts")).unwrap();
    let running = run(&format!("{base}addn-hosts=$DIR/hosts\n"));
    agrees(
        port,
        "hosts",
        &[
            "www.tree.example",
            "b.ok.tree.example",
            "x.b.ok.tree.example",
            "www.bad.a.b.ok.tree.example",
            "www.self.tree.example",
            "www.under.example",
            "www.wechat.com",
        ],
    );
    drop(running);
}

#[test]
fn bind_blocks_what_its_zone_says_to_the_last_name() {
    let (site, port) = (site(), free_port());
    std::fs::write(site.path("zone"), feed(&site, "rpz")).unwrap();
    let config = format!(
        "options {{ directory \"$DIR\"; pid-file none; session-keyfile \"$DIR/session.key\"; lock-file none; recursion yes;\n\
           managed-keys-directory \"$DIR\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
           dnssec-validation no; forward only; forwarders port {} {{ 127.0.0.1; }};\n\
           response-policy {{ zone \"rpz.test\"; }} qname-wait-recurse no; }};\ncontrols {{ }};\n\
         zone \"rpz.test\" {{ type primary; file \"$DIR/zone\"; allow-query {{ none; }}; }};\n",
        site.upstream.address.port()
    );
    let Some(_running) =
        resolver(&site, "/usr/sbin/named", &["-g", "-n", "1", "-c", "CONFIG"], &config, port)
    else {
        return;
    };
    agrees(port, "named", &[]);
}

#[test]
fn squid_takes_its_list_without_a_word() {
    let site = site();
    std::fs::write(site.path("list"), feed(&site, "squid")).unwrap();
    let config = site.path("squid.conf");
    let text = format!(
        "acl banned dstdomain \"{}\"\nhttp_access deny banned\nhttp_port 127.0.0.1:3128\n",
        site.path("list").display()
    );
    std::fs::write(&config, text).unwrap();
    let parsed =
        Command::new("/usr/sbin/squid").args(["-k", "parse", "-f", config.to_str().unwrap()]).output();
    let Ok(parsed) = parsed else { return eprintln!("skipped: squid is not installed") };
    let said = String::from_utf8_lossy(&parsed.stderr);
    assert!(parsed.status.success(), "{said}");
    for wrong in ["WARNING", "ERROR", "subdomain"] {
        assert!(!said.contains(wrong), "{said}");
    }
    // A tree with a hole is not said to be blocked: its name is, and those in it that are listed.
    let list = feed(&site, "squid");
    let lines: Vec<&str> =
        list.lines().filter(|line| line.ends_with(".example") && !line.starts_with('#')).collect();
    assert_eq!(lines, ["only.example", "tree.example", "half.tree.example", ".bad.a.b.ok.tree.example"]);
    assert!(list.lines().any(|line| line == ".wechat.com") && list.contains("not in it"), "{list}");
}

#[test]
fn firewalls_get_names_and_prefixes_alone() {
    let site = site();
    let names = feed(&site, "domains");
    assert!(names.lines().all(|line| !line.is_empty() && !line.contains([' ', '#', '"', ';'])), "{names}");
    for (line, is_there) in [
        ("wechat.com", true),
        ("*.wechat.com", true),
        ("tree.example", true),
        ("*.tree.example", false),
        ("only.example", true),
        ("*.only.example", false),
        ("*.under.example", true),
        ("under.example", false),
    ] {
        assert_eq!(names.lines().any(|found| found == line), is_there, "{line}");
    }
    let networks = feed(&site, "addresses");
    assert!(networks.lines().any(|line| line == "203.0.113.0/24"), "{networks}");
    assert!(!networks.contains("198.51.100"), "an exception is inside: {networks}");
    for line in networks.lines() {
        let (address, length) = line.split_once('/').unwrap();
        assert!(address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok(), "{line}");
    }
    let apps = feed(&site, "addresses?app=kaspersky");
    assert!(apps.contains("77.74.176.0/21") && !apps.contains("203.0.113"), "{apps}");
    let act = feed(&site, "domains?instrument=ca-tbs-2023-02-28-tiktok");
    assert!(act.contains("tiktok.com\n") && !act.contains("wechat") && !act.contains("kaspersky"), "{act}");
}

#[test]
fn nftables_holds_the_sets_and_takes_them_again() {
    let site = site();
    let path = site.path("list.nft");
    std::fs::write(&path, feed(&site, "nftables")).unwrap();
    // Twice, as each fetch does.
    let script = format!("nft -f {0} && nft -f {0} && nft list table inet interdict_feed", path.display());
    let ran = Command::new("unshare").args(["--net", "--map-root-user", "sh", "-c", &script]).output();
    let ran = ran.expect("unshare is there");
    let (said, wrong) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if wrong.contains("not found") || wrong.contains("Operation not permitted") {
        return eprintln!("skipped: {wrong}");
    }
    assert!(ran.status.success(), "{wrong}");
    assert!(said.contains("77.74.176.0/21") && said.contains("2a03:2480:68::/47"), "{said}");
}

#[test]
fn a_browser_is_told_by_its_proxy_configuration() {
    let site = site();
    let calls: String =
        NAMES.map(|(name, _)| format!("print(FindProxyForURL('https://{name}/', '{name}'));\n")).concat();
    let upper = "print(FindProxyForURL('https://x/', 'WWW.WeChat.com.'));\n";
    let path = site.path("list.js");
    std::fs::write(&path, format!("{}\n{calls}{upper}", feed(&site, "pac"))).unwrap();
    let ran = Command::new("duk").arg(&path).output();
    let Ok(ran) = ran else { return eprintln!("skipped: duktape is not installed") };
    let said = String::from_utf8_lossy(&ran.stdout);
    let found: Vec<bool> = said.lines().map(|line| line.starts_with("PROXY")).collect();
    let expected: Vec<bool> = NAMES.iter().map(|(_, blocked)| *blocked).chain([true]).collect();
    assert_eq!(found, expected, "{said} {}", String::from_utf8_lossy(&ran.stderr));
}

/// What clients say of each name in a question, in TLS and in HTTP, read by Suricata from a capture.
#[test]
fn suricata_drops_what_its_rules_say_and_nothing_else() {
    let site = site();
    let [rules, packets, config, events] =
        ["list.rules", "packets", "suricata.yaml", "eve.json"].map(|name| site.path(name));
    std::fs::write(&rules, feed(&site, "suricata")).unwrap();
    let names = NAMES.map(|(name, _)| name);
    std::fs::write(&packets, capture::capture(&names)).unwrap();
    let folder = site.folder.path().display();
    let text = format!(
        "%YAML 1.1\n---\ndefault-rule-path: {folder}\nrule-files: []\nclassification-file: {folder}/none\nreference-config-file: {folder}/none\n\
         app-layer:\n  protocols:\n    tls: {{enabled: yes, detection-ports: {{dp: 443}}}}\n    http: {{enabled: yes}}\n    \
         dns: {{udp: {{enabled: yes, detection-ports: {{dp: 53}}}}, tcp: {{enabled: no}}}}\n\
         outputs:\n  - eve-log: {{enabled: yes, filetype: regular, filename: eve.json, types: [alert]}}\n"
    );
    std::fs::write(&config, text).unwrap();
    std::fs::write(site.path("none"), "").unwrap();
    let run = |more: &[&std::ffi::OsStr]| {
        let mut command = Command::new("suricata");
        command
            .arg("-c")
            .arg(&config)
            .arg("-S")
            .arg(&rules)
            .arg("-l")
            .arg(site.folder.path())
            .args(more)
            .output()
    };
    let Ok(tested) = run(&["-T".as_ref()]) else { return eprintln!("skipped: suricata is not installed") };
    let said = String::from_utf8_lossy(&tested.stdout) + String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success() && !said.contains("rror: detect"), "{said}");
    let ran = run(&["-k".as_ref(), "none".as_ref(), "-r".as_ref(), packets.as_os_str()]).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let events = support::read(&events);
    let dropped: std::collections::BTreeSet<u64> = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .flat_map(|event| [event["src_port"].as_u64(), event["dest_port"].as_u64()])
        .flatten()
        .collect();
    for (at, (name, blocked)) in (0..).zip(NAMES) {
        for port in capture::PORTS {
            assert_eq!(dropped.contains(&(u64::from(port) + at)), blocked, "{name}, {port}: {events}");
        }
    }
}

#[test]
fn rules_for_suricata_have_numbers_of_their_own_that_stay() {
    let site = site();
    let rules = feed(&site, "suricata");
    let number =
        |line: &str| line.rsplit_once("sid:").unwrap().1.split(';').next().unwrap().parse::<u32>().unwrap();
    let lines: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#')).collect();
    let numbers: std::collections::BTreeSet<u32> = lines.iter().map(|line| number(line)).collect();
    assert_eq!(numbers.len(), lines.len());
    for line in &lines {
        let is_whole = line.ends_with("rev:1;)") && line.starts_with("drop ");
        assert!(is_whole && line.matches('"').count() % 2 == 0 && line.len() < 8192, "{line}");
    }
    let smaller = feed(&site, "suricata?app=kaspersky");
    for line in smaller.lines().filter(|line| !line.starts_with('#')) {
        assert!(lines.contains(&line), "{line}");
    }
}

#[test]
fn a_list_is_fetched_anew_only_when_the_policy_changed_and_what_is_not_there_is_said() {
    let site = site();
    let curl = |arguments: &[&str]| {
        let admin = site.running.as_ref().unwrap().admin;
        let uri = format!("http://{admin}/feeds/domains");
        let ran = Command::new("curl").args(["--silent", "--include"]).args(arguments).arg(uri).output();
        String::from_utf8(ran.expect("curl is installed").stdout).unwrap()
    };
    let first = curl(&[]);
    let header = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{name} in {text}"))
            .trim()
            .to_owned()
    };
    let (tag, policy) = (header(&first, "etag: "), header(&first, "interdict-policy: "));
    assert_eq!(policy.len(), 64);
    assert!(header(&first, "interdict-left-out: ").contains("hosts' names"), "{first}");
    let known = format!("If-None-Match: {tag}");
    let again = curl(&["--header", &known]);
    assert!(again.starts_with("HTTP/1.1 304") && !again.contains("wechat.com"), "{again}");
    std::fs::write(site.path("own.rpz"), format!("{ZONE}new.example CNAME .\n")).unwrap();
    assert_eq!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
    let changed = curl(&["--header", &known]);
    assert!(changed.starts_with("HTTP/1.1 200") && changed.contains("new.example\n"), "{changed}");
    assert_ne!(header(&changed, "etag: "), tag);
    for (path, status, what) in [
        ("domain", 404, "did you mean `domains`"),
        ("domains?app=wechatt", 404, "did you mean `wechat`"),
        ("domains?instrument=x&app=y", 404, "write one of them"),
        ("domains?group=nobody", 404, "no group is called"),
        ("domains?apps=wechat", 400, "use app, instrument or group"),
    ] {
        let (found, said) = site.http("GET", &format!("/feeds/{path}"), None);
        assert_eq!(found, status, "{said}");
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn the_command_line_writes_what_is_fetched_and_exceptions_and_shadow_count() {
    let site = Site::prepare(
        "[[policy.group]]\nname = \"lab\"\nclients = [\"10.9.0.0/16\"]\nenforce = [\"ca-tbs-2023-02-28-tiktok\"]\n\
         [[policy.exception]]\nid = \"free\"\ngroup = \"lab\"\nnames = [\"ads.tiktok.com\"]\nuntil = \"2099-01-01\"\napproved_by = \"x\"\nreason = \"y\"\n\
         [[policy.group]]\nname = \"trial\"\nclients = [\"10.8.0.0/16\"]\nenforce = [\"ca-tbs-2023-02-28-tiktok\"]\nmode = \"shadow\"\n",
        Clock::system(),
    );
    let site = site.started();
    let export = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
        let ran = command.arg("export").args(arguments).arg("--config").arg(&site.config).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
    };
    let (code, printed, said) = export(&["unbound", "--group", "lab"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(printed, feed(&site, "unbound?group=lab"));
    assert!(printed.contains("\"ads.tiktok.com.\" always_transparent"), "{printed}");
    let (code, printed, said) = export(&["domains", "--group", "trial"]);
    assert_eq!((code, printed.contains("tiktok.com\n")), (Some(0), false), "rehearsed only");
    assert!(said.contains("names in shadow mode"), "{said}");
    let file = site.path("out");
    let (code, printed, said) = export(&["hosts", "--app", "tiktok", "--output", file.to_str().unwrap()]);
    assert_eq!((code, printed.as_str()), (Some(0), ""), "{said}");
    assert!(
        support::read(&file).contains("0.0.0.0 www.tiktok.com\n")
            || support::read(&file).contains("0.0.0.0 tiktok.com\n")
    );
    let (code, _, said) = export(&["hosts", "--app", "nothing"]);
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(export(&["fortran"]).0, Some(2));
}

#[test]
fn a_reader_that_went_away_is_no_error_and_a_full_disk_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("interdict.toml");
    std::fs::write(&config, "[admin]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let begin = |arguments: &[&str], out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
        command.args(arguments).arg("--config").arg(&config);
        command.stdout(out).stderr(Stdio::piped()).spawn().unwrap()
    };
    for (arguments, code) in [(&["export", "domains"][..], 0), (&["explain", "www.tiktok.com"], 1)] {
        let mut left = begin(arguments, Stdio::piped());
        drop(left.stdout.take());
        let left = left.wait_with_output().unwrap();
        let said = String::from_utf8(left.stderr).unwrap();
        assert_eq!(left.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("standard output"), "{said}");

        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = begin(arguments, full.into()).wait_with_output().unwrap();
        let said = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(3), "{arguments:?}: {said}");
        assert_eq!(said.matches("standard output: No space left on device").count(), 1, "{said}");
    }
}

/// A list for an app, or an act, holds what is banned for it, whoever else bans the same.
#[test]
fn what_several_lists_and_acts_ban_is_in_the_list_of_each() {
    let site = Site::prepare(
        "[[policy.source]]\nname = \"first\"\nfrom = \"$DIR/first.txt\"\nformat = \"domains\"\n\
         [[policy.source]]\nname = \"second\"\nfrom = \"$DIR/second.txt\"\nformat = \"domains\"\napp = \"tiktok\"\n\
         [[policy.group]]\nname = \"default\"\nenforce = [\"first\", \"second\", \"ca-tbs-2023-02-28-tiktok\", \"us-no-tiktok-act\"]\n",
        Clock::system(),
    );
    std::fs::write(site.path("first.txt"), "www.tiktok.com\nshop.tree.example\nalone.example\n").unwrap();
    std::fs::write(site.path("second.txt"), "tree.example\n*.tree.example\n").unwrap();
    let site = site.started();
    for format in
        Format::ALL.map(Format::as_str).iter().filter(|format| !["addresses", "nftables"].contains(format))
    {
        let list = feed(&site, &format!("{format}?app=tiktok"));
        for word in
            ["passthru", "always_transparent", "server=/", "pass ", "content:!", ", 4)", ", 8)", ", 12)"]
        {
            assert!(!list.contains(word), "{format} lets pass what is banned: {list}");
        }
        assert!(list.contains("tiktok.com") && list.contains("tree.example"), "{format}: {list}");
        assert!(!list.contains("alone.example"), "{format}: {list}");
    }
    let domains = |selection: &str| feed(&site, &format!("domains?{selection}"));
    let app = domains("app=tiktok");
    for line in ["tiktok.com\n", "*.tiktok.com\n", "*.tree.example\n"] {
        assert!(app.contains(line), "{line}: {app}");
    }
    let (first, second) =
        (domains("instrument=ca-tbs-2023-02-28-tiktok"), domains("instrument=us-no-tiktok-act"));
    assert!(first.contains("*.tiktok.com\n") && !first.contains("tree.example"), "{first}");
    assert_eq!(first, second, "two acts that ban the same");
}

/// Networks too: each of the acts that cover an app has all of them.
#[test]
fn each_act_that_bans_an_app_bans_its_networks() {
    let site = site();
    let acts = ["ca-tbs-2023-10-30-wechat-kaspersky", "us-bod-17-01"];
    let [first, second] = acts.map(|act| feed(&site, &format!("addresses?instrument={act}")));
    assert!(second.contains("77.74.176.0/21\n"), "{second}");
    assert!(second.lines().all(|line| first.lines().any(|other| other == line)), "{first} {second}");
}

/// An address in the answer for a canary name sends browsers to resolvers of their own.
#[test]
fn canary_names_are_in_no_list_whose_reader_answers_with_addresses() {
    let site = site();
    for (format, has_them) in
        [("domains", false), ("hosts", false), ("dnsmasq", true), ("rpz", true), ("unbound", true)]
    {
        let list = feed(&site, format);
        for canary in ["use-application-dns.net", "mask.icloud.com"] {
            assert_eq!(list.contains(canary), has_them, "{canary} for {format}");
        }
    }
    assert!(feed(&site, "hosts").contains("# not in it: 5 canary names"));
}

/// Networks decide no query, so the policy's digest does not tell of them; whoever holds the list before is told all the same.
#[test]
fn a_network_more_in_the_catalog_is_a_list_more_to_fetch() {
    let site = Site::prepare("blocklists = \"$DIR/lists\"\n", Clock::system());
    for folder in ["lists/apps", "lists/instruments"] {
        std::fs::create_dir_all(site.path(folder)).unwrap();
    }
    let app = "id = \"app\"\ntitle = \"App\"\nowner = \"o\"\n\
               [[name]]\nname = \"app.example\"\nmatch = \"subtree\"\ntier = \"core\"\npurpose = \"core\"\ncertainty = \"owned\"\norigin = [\"x\"]\n";
    let network = |prefix| {
        format!(
            "[[address]]\nprefix = \"{prefix}\"\ntier = \"core\"\ncertainty = \"owned\"\norigin = [\"x\"]\n"
        )
    };
    let act = "id = \"ban\"\ntitle = \"Ban\"\nkind = \"ban\"\nauthority = \"a\"\njurisdiction = \"CA\"\ncitation = \"c\"\ntime_zone = \"UTC\"\n\
               apps = [\"app\"]\ncovers = \"devices\"\nembedded = \"unstated\"\nin_force_from = { date = \"2023-02-28\", verified = true }\norigin = [\"x\"]\n";
    std::fs::write(site.path("lists/apps/app.toml"), format!("{app}{}", network("192.0.2.0/24"))).unwrap();
    std::fs::write(site.path("lists/instruments/ban.toml"), act).unwrap();
    std::fs::write(site.path("lists/default.toml"), "enforce = [\"ban\"]\n").unwrap();
    std::fs::write(site.path("lists/never.toml"), "").unwrap();
    std::fs::write(site.path("lists/bypass.toml"), "").unwrap();
    let site = site.settled();
    let tag = || {
        let head = site.http_whole("HEAD", "/feeds/addresses", None).0;
        head.lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap_or_else(|| panic!("{head}"))
            .to_owned()
    };
    assert_eq!(feed(&site, "addresses"), "192.0.2.0/24\n");
    let before = tag();
    assert_eq!(before, tag(), "while nothing changes");
    let both = [app.to_owned(), network("192.0.2.0/24"), network("198.51.100.0/24")].concat();
    std::fs::write(site.path("lists/apps/app.toml"), both).unwrap();
    assert_eq!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
    assert_eq!(feed(&site, "addresses"), "192.0.2.0/24\n198.51.100.0/24\n");
    assert_ne!(before, tag());
}

/// A group's name is anything that a string of TOML holds; in a comment it stays in its line.
#[test]
fn no_name_of_a_group_ends_the_comment_that_it_stands_in() {
    let site = Site::start(
        "[[policy.group]]\nname = \"a\\nlocal-zone: x\\r\\u2028b\"\nclients = [\"10.9.0.0/16\"]\nenforce = [\"ca-tbs-2023-02-28-tiktok\"]\n",
        Clock::system(),
    );
    for format in Format::ALL {
        let list = feed(&site, &format!("{format}?group=a%0Alocal-zone:%20x%0D%E2%80%A8b"));
        assert!(!list.contains(['\r', '\u{2028}']), "{format}: {list}");
        assert!(!list.lines().any(|line| line.starts_with("local-zone: x")), "{format}: {list}");
    }
}
