//! The proxy between a client, a gateway and origins in network namespaces of their own, brought there by REDIRECT, by TPROXY, or asked; with
//! curl, openssl and quinn as clients, and with clients that no library is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interdict::clock::Clock;
use support::operator::until;
use support::{Program, Site, in_namespaces};

/// A client (10.1.0.2 to .5, fd01::2), this machine as its gateway, and origins: 192.0.2.7 is what the tests' upstream says of every name,
/// 198.51.100.9 what nobody says.
const NETWORK: &str = "set -e; mount -t tmpfs none /run; mkdir -p /run/netns; ip link set lo up; \
    ip netns add c; ip netns add s; ip link add gc type veth peer name c0 netns c; ip link add gs type veth peer name s0 netns s; \
    ip address add 10.1.0.1/24 dev gc; ip address add fd01::1/64 dev gc nodad; ip link set gc up; \
    ip address add 192.0.2.1/24 dev gs; ip address add 198.51.100.1/24 dev gs; ip address add 2001:db8:2::1/64 dev gs nodad; \
    ip link set gs up; \
    for a in 10.1.0.2 10.1.0.3 10.1.0.4 10.1.0.5; do ip -n c address add $a/24 dev c0; done; ip -n c address add fd01::2/64 dev c0 nodad; \
    ip -n c link set lo up; ip -n c link set c0 up; ip -n c route add default via 10.1.0.1; ip -n c route add default via fd01::1; \
    ip -n s address add 192.0.2.7/24 dev s0; ip -n s address add 198.51.100.9/24 dev s0; \
    ip -n s address add 2001:db8:2::2/64 dev s0 nodad; ip -n s link set lo up; ip -n s link set s0 up; \
    ip -n s route add default via 192.0.2.1; ip -n s route add default via 2001:db8:2::1; \
    echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; ulimit -n $(ulimit -Hn)";

const REDIRECT: &str = "printf 'table inet gate { chain to_proxy { type nat hook prerouting priority dstnat; \
    iifname gc tcp dport { 80, 443, 8443 } redirect to :3129; }; }' | nft -f -";

const TPROXY: &str = "ip rule add fwmark 1 lookup 100; ip route add local 0.0.0.0/0 dev lo table 100; \
    ip -6 rule add fwmark 1 lookup 100; ip -6 route add local ::/0 dev lo table 100; \
    printf 'table inet gate { chain to_proxy { type filter hook prerouting priority mangle; \
    iifname gc meta nfproto ipv4 meta l4proto { tcp, udp } th dport { 80, 443, 8443 } tproxy ip to :3129 meta mark set 1 accept; \
    iifname gc meta nfproto ipv6 meta l4proto { tcp, udp } th dport { 80, 443, 8443 } tproxy ip6 to :3129 meta mark set 1 accept; }; \
    }' | nft -f -";

/// A group that rehearses, an exception's device, and a group that may not ask public resolvers.
const GROUPS: &str = "[[policy.group]]\nname = \"rehearsal\"\nclients = [\"10.1.0.3/32\"]\nmode = \"shadow\"\n\
    enforce = [\"ca-tbs-2023-02-28-tiktok\"]\n\
    [[policy.group]]\nname = \"lab\"\nclients = [\"10.1.0.4/32\"]\nenforce = [\"ca-tbs-2023-02-28-tiktok\"]\n\
    [[policy.exception]]\nid = \"forensics\"\ngroup = \"lab\"\napps = [\"tiktok\"]\nuntil = \"2099-01-01\"\napproved_by = \"x\"\nreason = \"y\"\n\
    [[policy.group]]\nname = \"office\"\nclients = [\"10.1.0.5/32\"]\nenforce = [\"encrypted-dns\"]\n";

struct Gateway {
    site: Site,
    _origin: Program,
}

fn proxies(more: &str) -> String {
    ["0.0.0.0:3129", "[::]:3129"]
        .map(|address| format!("[[proxy]]\nmode = \"transparent\"\naddress = \"{address}\"\n{more}\n"))
        .concat()
}

fn script(name: &str) -> String {
    format!("{}/tests/proxied_egress/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Gateway {
    fn start(policy: &str) -> Self {
        Self::around(Site::start(policy, Clock::system()))
    }

    /// With an origin beside it.
    fn around(site: Site) -> Self {
        let folder = site.folder.path();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["good.example".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
        let mut child = Command::new("ip")
            .args(["netns", "exec", "s", "python3", &script("origin.py"), folder.to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { site, _origin: Program(child) }
    }

    /// A counter's value, all rows together that begin with `row`.
    fn count(&self, row: &str) -> f64 {
        let page = self.site.http("GET", "/metrics", None).1;
        let values =
            page.lines().filter(|line| line.starts_with(row)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Waits until a counter has that value.
    fn await_count(&self, row: &str, wanted: f64) {
        until(20, &format!("{row} is {wanted}"), || self.count(row) == wanted);
    }

    fn log(&self, wanted: &str) -> String {
        let path = self.site.path("queries.jsonl");
        let find = || support::read(&path).lines().find(|line| line.contains(wanted)).map(str::to_owned);
        until(5, &format!("{wanted} is in the log"), || find().is_some());
        find().unwrap()
    }
}

fn in_client(arguments: &[&str]) -> Output {
    Command::new("ip").args(["netns", "exec", "c"]).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What curl, as the client, is shown, or the number of its error.
fn curl(arguments: &[&str]) -> String {
    let output = in_client(&[&["curl", "-sk", "--max-time", "20"], arguments].concat());
    match output.status.code() {
        Some(0) => said(&output),
        code => format!("error {}", code.unwrap_or(-1)),
    }
}

/// curl to a name at an address.
fn fetch(name: &str, address: &str) -> String {
    curl(&["--resolve", &format!("{name}:443:{address}"), &format!("https://{name}/")])
}

fn client(arguments: &[&str]) -> String {
    said(&in_client(&[&["python3", &script("client.py")], arguments].concat()))
}

const RESET: &str = "error 35";

fn namespaces(setup: &str, test: &str) {
    let nft = Command::new("nft").arg("--version").output();
    if !nft.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: nft is not installed");
    }
    in_namespaces(&["--net", "--mount"], &format!("{NETWORK}; {setup}"), test);
}

#[test]
fn an_app_that_never_asks_is_stopped_by_redirect() {
    namespaces(REDIRECT, "inside_redirect");
}

#[test]
fn an_app_that_never_asks_is_stopped_by_tproxy() {
    namespaces(TPROXY, "inside_tproxy");
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_redirect() {
    every_way_round(&Gateway::start(&format!("{}{GROUPS}", proxies(""))));
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_tproxy() {
    every_way_round(&Gateway::start(&format!("{}{GROUPS}", proxies(""))));
}

fn every_way_round(gateway: &Gateway) {
    // At an address that no resolver ever said: a name that is allowed, and one that is not.
    assert_eq!(fetch("good.example", "192.0.2.7"), "secret good.example");
    for address in ["192.0.2.7", "198.51.100.9", "[2001:db8:2::2]"] {
        assert_eq!(fetch("www.tiktok.com", address), RESET, "{address}");
    }
    assert_eq!(fetch("good.example", "[2001:db8:2::2]"), "secret good.example", "over IPv6");
    let line = gateway.log("www.tiktok.com");
    assert!(line.contains("\"proxy\"") && line.contains("tiktok") && line.contains("10.1.0.2"), "{line}");
    assert!(gateway.count("interdict_proxy_blocked_total{app=\"tiktok\"") >= 3.0);
    assert_eq!(
        gateway.count("interdict_proxy_connections_total{mode=\"transparent\",outcome=\"denied\"}"),
        3.0
    );

    // However the hello is cut, and whatever hides in it.
    for (cut, name, result) in [
        ("split", "www.tiktok.com", "reset"),
        ("split", "good.example", "shaken hands"),
        ("records", "www.tiktok.com", "reset"),
        ("encrypted", "www.tiktok.com", "reset"),
    ] {
        assert_eq!(client(&[cut, "192.0.2.7", "443", name]), result, "{cut} {name}");
    }
    for cut in ["records", "encrypted"] {
        let said = client(&[cut, "192.0.2.7", "443", "good.example"]);
        assert!(said.starts_with("got "), "{cut}: {said}");
    }
    assert_eq!(gateway.count("interdict_proxy_encrypted_hellos_total"), 2.0);

    // Plain HTTP says why; the request goes on with the host that was judged, and ends there.
    let plain =
        |name: &str| curl(&["-i", "--resolve", &format!("{name}:80:192.0.2.7"), &format!("http://{name}/x")]);
    let passed = plain("good.example");
    assert!(passed.contains("plain GET /x HTTP/1.1") && passed.contains("Host: good.example"), "{passed}");
    let page = plain("www.tiktok.com");
    assert!(
        page.starts_with("HTTP/1.1 403 ") && page.contains("TikTok") && page.contains("Reference"),
        "{page}"
    );
    let two = "GET / HTTP/1.1\\r\\nHost: good.example\\r\\nHost: www.tiktok.com\\r\\n\\r\\n";
    assert_eq!(client(&["raw", "192.0.2.7", "80", two]), "reset");
    let tunnel = "CONNECT good.example:443 HTTP/1.1\\r\\nHost: good.example\\r\\n\\r\\n";
    let said = client(&["raw", "192.0.2.7", "80", tunnel]);
    assert!(said.starts_with("got "), "a page instead of somebody else's proxy: {said}");
    let knowing = |name: &str| {
        let address = format!("{name}:80:192.0.2.7");
        curl(&["--http2-prior-knowledge", "--resolve", &address, &format!("http://{name}/")])
    };
    assert!(knowing("www.tiktok.com").starts_with("error"), "{}", knowing("www.tiktok.com"));
    assert!(
        gateway.count("interdict_proxy_connections_total{mode=\"transparent\",outcome=\"malformed\"}") >= 1.0
    );

    // A banned app's own network, 77.74.176.0/21, without a name.
    let openssl = |arguments: &[&str]| {
        let output = in_client(&[&["openssl", "s_client", "-brief", "-connect"], arguments].concat());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let begun = Instant::now();
    let refused = openssl(&["77.74.177.1:443", "-noservername"]);
    assert!(refused.contains("error") || refused.contains("errno=104"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let told = gateway.log("1.177.74.77.in-addr.arpa");
    assert!(told.contains("\"kaspersky\"") && told.contains("blocked") && told.contains("egress"), "{told}");
    let passed = openssl(&["192.0.2.7:443", "-noservername"]);
    assert!(passed.contains("CONNECTION ESTABLISHED"), "{passed}");

    // Public resolvers by name, and an app's own way of asking for names, by address: for whom they are banned.
    let office = |arguments: &[&str]| curl(&[&["--interface", "10.1.0.5"], arguments].concat());
    let resolver = ["--resolve", "dns.google:443:192.0.2.7", "https://dns.google/dns-query"];
    assert_eq!(office(&resolver), RESET);
    assert_eq!(curl(&resolver), "secret dns.google", "a group that does not ban them");
    let told = gateway.log("dns.google");
    assert!(
        told.contains("\"encrypted-dns\"") && told.contains("office") && told.contains("blocked"),
        "{told}"
    );
    let page = office(&["-i", "http://119.29.29.29/d?dn=www.tiktok.com"]);
    assert!(page.starts_with("HTTP/1.1 403 ") || page.starts_with("error"), "{page}");
    let told = gateway.log("29.29.29.119.in-addr.arpa");
    assert!(
        told.contains("\"encrypted-dns\"") && told.contains("10.1.0.5") && told.contains("blocked"),
        "{told}"
    );

    // One who rehearses passes and is counted; an exception's device passes.
    for (address, mode) in [("10.1.0.3", "shadow"), ("10.1.0.4", "permitted")] {
        let name = "www.tiktok.com";
        let fetched = curl(&[
            "--interface",
            address,
            "--resolve",
            &format!("{name}:443:192.0.2.7"),
            &format!("https://{name}/"),
        ]);
        assert_eq!(fetched, "secret www.tiktok.com", "{mode}");
        assert!(gateway.log(address).contains(mode), "{}", gateway.log(address));
    }
    assert_eq!(gateway.count("interdict_proxy_blocked_total{app=\"tiktok\",instrument=\"ca-tbs-2023-02-28-tiktok\",group=\"rehearsal\""), 1.0);

    // Fronting is counted, not refused, unless it is configured.
    let failed = gateway.count("interdict_proxy_names_verified_total{result=\"failed\"}");
    assert_eq!(fetch("front.example", "198.51.100.9"), "secret front.example");
    assert_eq!(gateway.count("interdict_proxy_names_verified_total{result=\"failed\"}"), failed + 1.0);

    // A hundred megabytes, with one end before the other; nothing of it stays here.
    assert_eq!(client(&["transfer", "192.0.2.7", "8443", "100"]), "intact 100");
    let moved = gateway.count("interdict_proxy_bytes_total{direction=\"up\"}");
    assert!(moved >= f64::from(100 << 20), "{moved}");

    // Back to the proxy itself.
    let mut own = std::net::TcpStream::connect("10.1.0.1:3129").unwrap();
    let _refused_at_once = own.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_err();
    assert!(own.read(&mut [0; 9]).map_or(true, |read| read == 0));
    gateway.await_count("interdict_proxy_connections_total{mode=\"transparent\",outcome=\"inside\"}", 1.0);
    gateway.await_count("interdict_proxy_open_connections", 0.0);
}

#[test]
fn a_ban_counts_in_the_proxy_from_its_day_on() {
    namespaces(REDIRECT, "inside_dates");
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_dates() {
    let clock = Clock::manual("2023-02-27T12:00:00Z".parse().unwrap());
    let ministry = "[[policy.group]]\nname = \"ministry\"\nclients = [\"10.1.0.2/32\"]\n\
        enforce = [\"ca-tbs-2023-02-28-tiktok\"]\n";
    let gateway = Gateway::around(Site::start(&format!("{}{ministry}", proxies("")), clock.clone()));
    assert_eq!(fetch("www.tiktok.com", "192.0.2.7"), "secret www.tiktok.com", "the day before");
    clock.advance(Duration::from_secs(48 * 3600));
    until(10, "the ban is in force", || fetch("www.tiktok.com", "192.0.2.7") == RESET);
    assert_eq!(fetch("good.example", "192.0.2.7"), "secret good.example");
    let told = gateway.log("www.tiktok.com");
    assert!(told.contains("2023-02-28") && told.contains("blocked"), "{told}");
}

#[test]
fn fronting_and_half_said_hellos_are_refused() {
    namespaces(REDIRECT, "inside_strict");
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_strict() {
    let more = "verify = \"refuse\"\nunnamed = \"refuse\"\nhead = \"8s\"\nconnections = 12000\nconnections_of_client = 12000\nproxy_protocol = false";
    let gateway = Gateway::start(&proxies(more));
    assert_eq!(fetch("good.example", "192.0.2.7"), "secret good.example");
    assert_eq!(fetch("good.example", "198.51.100.9"), RESET, "a name at an address that is not its own");
    gateway
        .await_count("interdict_proxy_connections_total{mode=\"transparent\",outcome=\"mismatched\"}", 1.0);
    assert_eq!(client(&["raw", "192.0.2.7", "8443", "SSH-2.0-x\\r\\n"]), "reset");
    gateway.await_count("interdict_proxy_connections_total{mode=\"transparent\",outcome=\"unnamed\"}", 1.0);
    let long = "A".repeat(40);
    let head = format!("GET / HTTP/1.1\\r\\n{}", format!("X: {long}\\r\\n").repeat(400));
    assert_eq!(client(&["raw", "192.0.2.7", "80", &head]), "reset");
    gateway
        .await_count("interdict_proxy_connections_total{mode=\"transparent\",outcome=\"head-bytes\"}", 1.0);

    // Nine thousand who never finish cost little, and nobody else anything.
    let memory = || {
        let status = support::read(Path::new("/proc/self/status"));
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = memory();
    let mut half = Command::new("ip")
        .args(["netns", "exec", "c", "sh", "-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\"", "python3"])
        .args([script("client.py").as_str(), "half", "192.0.2.7", "443", "9000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(half.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let begun = Instant::now();
    assert_eq!(fetch("good.example", "192.0.2.7"), "secret good.example");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let grown = memory().saturating_sub(before);
    println!("9000 half hellos cost {grown} KiB here");
    assert!(grown < 9000 * 8, "{grown} KiB");
    assert_eq!(lines.next().unwrap().unwrap(), "ended 9000");
    assert!(half.wait().unwrap().success());
    gateway
        .await_count("interdict_proxy_connections_total{mode=\"transparent\",outcome=\"head-time\"}", 9000.0);
}

#[test]
fn clients_that_ask_the_proxy_are_served_by_the_policy() {
    namespaces("true", "inside_explicit");
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_explicit() {
    let gateway = Gateway::start("[[proxy]]\nmode = \"explicit\"\naddress = \"10.1.0.1:3128\"\n");
    let asked = |proxy: &str, rest: &[&str]| curl(&[&["-x", proxy], rest].concat());
    let http = "http://10.1.0.1:3128";
    for proxy in [http, "socks5h://10.1.0.1:3128"] {
        assert_eq!(asked(proxy, &["https://good.example/"]), "secret good.example", "{proxy}");
        assert_eq!(asked(proxy, &["https://192.0.2.7/"]), "secret nobody", "{proxy}");
        assert!(asked(proxy, &["http://good.example/x"]).contains("GET /x HTTP/1.1"), "{proxy}");
        assert!(asked(proxy, &["https://www.tiktok.com/"]).starts_with("error"), "{proxy}");
        assert!(asked(proxy, &["https://cloaked.example/"]).starts_with("error"), "{proxy}");
        // A tunnel to a name that is allowed, and another name inside.
        let inside = ["--connect-to", "www.tiktok.com:443:good.example:443", "https://www.tiktok.com/"];
        assert_eq!(asked(proxy, &inside), RESET, "{proxy}");
        for nowhere in ["https://127.0.0.1/", "https://good.example:25/", "https://nxdomain.example/"] {
            assert!(asked(proxy, &[nowhere]).starts_with("error"), "{nowhere}");
        }
    }
    assert!(
        asked(
            "socks5://10.1.0.1:3128",
            &["--resolve", "good.example:443:192.0.2.7", "https://good.example/"]
        )
        .contains("secret")
    );
    // A banned app's own network, whatever name is said.
    let page = asked(http, &["-i", "http://77.74.177.1/"]);
    assert!(page.starts_with("HTTP/1.1 403 ") && page.contains("Kaspersky"), "{page}");
    let named =
        asked(http, &["--connect-to", "good.example:80:77.74.177.1:80", "-p", "-i", "http://good.example/"]);
    assert!(named.starts_with("error"), "{named}");
    assert!(gateway.log("1.177.74.77.in-addr.arpa").contains("\"kaspersky\""));
    let page = asked(http, &["-i", "http://www.tiktok.com/"]);
    assert!(
        page.starts_with("HTTP/1.1 403 ") && page.contains("TikTok") && page.contains("Interdict-Reference"),
        "{page}"
    );
    let denied = curl(&[
        "-v",
        "--stderr",
        "-",
        "-x",
        http,
        "https://www.tiktok.com/",
        "-o",
        "/dev/null",
        "-w",
        "%{http_connect}",
    ]);
    assert!(denied.starts_with("error"), "{denied}");
    let code = in_client(&[
        "curl",
        "-s",
        "-x",
        http,
        "-o",
        "/dev/null",
        "-w",
        "%{http_connect}",
        "https://www.tiktok.com/",
    ]);
    assert_eq!(said(&code), "403");
    let line = gateway.log("www.tiktok.com");
    assert!(line.contains("\"proxy\"") && line.contains("10.1.0.2"), "{line}");
    for (outcome, least) in [("denied", 5.0), ("port", 2.0), ("inside", 2.0), ("passed", 6.0)] {
        let row = format!("interdict_proxy_connections_total{{mode=\"explicit\",outcome=\"{outcome}\"}}");
        assert!(gateway.count(&row) >= least, "{outcome}: {}", gateway.count(&row));
    }
    let configuration = curl(&["http://10.1.0.1:3128/proxy.pac"]);
    assert!(
        configuration.contains("FindProxyForURL") && configuration.contains("PROXY 10.1.0.1:3128"),
        "{configuration}"
    );
    assert!(curl(&["-i", "http://10.1.0.1:3128/"]).starts_with("HTTP/1.1 400 "));
}

/// Proxies that want to know, and a group of somebody known.
const KNOWN: &str = "[tls]\ncertificate = \"$DIR/proxy.pem\"\nkey = \"$DIR/proxy.key\"\n\
    [[proxy]]\nmode = \"explicit\"\naddress = \"10.1.0.1:3128\"\nusers = \"$DIR/users\"\n\
    [[proxy]]\nmode = \"explicit\"\naddress = \"10.1.0.1:3130\"\nusers = \"$DIR/users\"\nrequire = \"user\"\n\
    [[proxy]]\nmode = \"explicit\"\naddress = \"10.1.0.1:3443\"\ntls = true\nclient_ca = \"$DIR/ca.pem\"\nrequire = \"client-certificate\"\n\
    [[proxy]]\nmode = \"explicit\"\naddress = \"10.1.0.1:3444\"\ntls = true\nclient_ca = \"$DIR/ca.pem\"\nusers = \"$DIR/users\"\n\
    require = \"either\"\nports = [\"443\", \"8443\"]\n\
    [[policy.group]]\nname = \"default\"\nenforce = [\"ca-tbs-2023-02-28-tiktok\"]\n\
    [[policy.group]]\nname = \"lab\"\nusers = [\"ada\"]\ncertificates = [\"lab-7.example\"]\nenforce = [\"telegram\"]\n";

#[test]
fn clients_that_show_who_they_are_get_their_own_groups_policy() {
    namespaces("true", "inside_known");
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_known() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let site = Site::prepare(KNOWN, Clock::system());
    let write = |name: &str, text: &str| std::fs::write(site.path(name), text).unwrap();
    let path = |name: &str| site.path(name).to_str().unwrap().to_owned();
    let own = rcgen::generate_simple_self_signed(vec!["proxy.example".to_owned()]).unwrap();
    write("proxy.pem", &own.cert.pem());
    write("proxy.key", &own.signing_key.serialize_pem());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.pem", &params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let device = KeyPair::generate().unwrap();
    let names = vec!["lab-7.example".to_owned()];
    write("lab.pem", &CertificateParams::new(names).unwrap().signed_by(&device, &issuer).unwrap().pem());
    write("lab.key", &device.serialize_pem());
    let hash = |kind: &str, password: &str| {
        let made = Command::new("openssl").args(["passwd", kind, password]).output().unwrap();
        said(&made)
    };
    // Two users; htpasswd writes such lines too.
    write("users", &format!("ada:{}\nben:{}\n", hash("-6", "s3cret"), hash("-5", "pass:word")));
    let (certificate, key) = (path("lab.pem"), path("lab.key"));
    let gateway = Gateway::around(site.started());
    let asked = |proxy: &str, url: &str| curl(&["-x", proxy, url]);

    // By a password, over HTTP and SOCKS: another group than the address's, in what is resolved too.
    for scheme in ["http", "socks5h"] {
        let [ada, ben, nobody] =
            ["ada:s3cret@", "ben:pass%3Aword@", ""].map(|who| format!("{scheme}://{who}10.1.0.1:3128"));
        assert_eq!(asked(&ada, "https://www.tiktok.com/"), "secret www.tiktok.com", "{scheme}");
        assert!(asked(&ada, "https://telegram.org/").starts_with("error"), "{scheme}");
        for others in [&ben, &nobody] {
            assert!(asked(others, "https://www.tiktok.com/").starts_with("error"), "{others}");
            assert_eq!(asked(others, "https://telegram.org/"), "secret telegram.org", "{others}");
        }
        let required = |who: &str| asked(&format!("{scheme}://{who}10.1.0.1:3130"), "https://good.example/");
        assert_eq!(required("ben:pass%3Aword@"), "secret good.example", "{scheme}");
        for (who, why) in
            [("", "nothing"), ("ada:wrong@", "a wrong password"), ("eve:s3cret@", "nobody's name")]
        {
            assert!(required(who).starts_with("error"), "{scheme} {why}");
        }
    }
    let line = gateway.log("user:ada");
    assert!(line.contains("\"proxy\"") && line.contains("telegram") && line.contains("\"lab\""), "{line}");
    assert!(gateway.log("user:ben").contains("tiktok"), "a user without a group has the address's");
    let page = curl(&["-i", "-x", "http://10.1.0.1:3130", "http://good.example/x"]);
    assert!(
        page.starts_with("HTTP/1.1 407 ") && page.contains("Proxy-Authenticate: Basic realm=\"interdict\""),
        "{page}"
    );
    let passed = curl(&["-x", "http://ada:s3cret@10.1.0.1:3130", "http://good.example/x"]);
    assert!(passed.contains("GET /x HTTP/1.1") && !passed.contains("Authorization"), "{passed}");
    let explained = gateway.site.http("GET", "/api/v1/explain?name=www.tiktok.com&identity=user:ada", None);
    assert!(explained.0 == 200 && explained.1.contains("\"lab\""), "{explained:?}");

    // By a certificate, to a proxy inside of TLS.
    let in_tls = |port: u16, more: &[&str], url: &str| {
        let proxy = format!("https://10.1.0.1:{port}");
        curl(&[&["-x", &proxy, "--proxy-insecure"], more, &[url]].concat())
    };
    let shown = ["--proxy-cert", certificate.as_str(), "--proxy-key", key.as_str()];
    for port in [3443, 3444] {
        assert_eq!(in_tls(port, &shown, "https://www.tiktok.com/"), "secret www.tiktok.com", "{port}");
        assert!(in_tls(port, &shown, "https://telegram.org/").starts_with("error"), "{port}");
        assert!(in_tls(port, &[], "https://good.example/").starts_with("error"), "{port}");
    }
    assert!(gateway.log("certificate:lab-7.example").contains("telegram"));
    let user = ["--proxy-user", "ada:s3cret"];
    assert_eq!(in_tls(3444, &user, "https://www.tiktok.com/"), "secret www.tiktok.com");
    assert_eq!(client(&["transfer_in_tls", "10.1.0.1", "3444", "192.0.2.7:8443", "20"]), "intact 20");
    let configuration = curl(
        &[&shown[..], &["--cert", &certificate, "--key", &key, "https://10.1.0.1:3443/proxy.pac"]].concat(),
    );
    assert!(configuration.contains("HTTPS 10.1.0.1:3443"), "{configuration}");
    for (outcome, least) in [("handshake", 1.0), ("unidentified", 7.0)] {
        let row = format!("interdict_proxy_connections_total{{mode=\"explicit\",outcome=\"{outcome}\"}}");
        assert!(gateway.count(&row) >= least, "{outcome}: {}", gateway.count(&row));
    }

    // Who guesses is not looked at any more, even with what is right; who is known stays known.
    let guess = |password: &str| {
        let proxy = format!("http://ben:{password}@10.1.0.1:3130");
        let answered = in_client(&[
            "curl",
            "-s",
            "--interface",
            "10.1.0.3",
            "-x",
            &proxy,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "http://good.example/",
        ]);
        said(&answered)
    };
    let codes: Vec<String> = (0..10).map(|number| guess(&number.to_string())).collect();
    assert_eq!(codes, ["407"; 10]);
    assert_eq!((guess("11").as_str(), guess("pass%3Aword").as_str()), ("429", "200"));
    assert!(gateway.count("interdict_proxy_logins_total{result=\"limited\"}") >= 1.0);
    assert!(gateway.count("interdict_proxy_logins_total{result=\"wrong\"}") >= 10.0);
}

#[test]
fn what_fails_beside_the_proxy_fails_nobody_else() {
    namespaces("true", "inside_faults");
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_faults() {
    // An origin, and beside its own resolver one whose upstream is dead and that may open few files.
    let gateway = Gateway::start("");
    let port = support::free_port();
    let config = gateway.site.path("starved.toml");
    let text = format!(
        "[server]\nworkers = 1\n[[listener]]\naddress = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:9154\"\n\
         [upstream]\nservers = [\"udp://127.0.0.1:9\"]\ntimeout = \"200ms\"\n\
         [[proxy]]\nmode = \"explicit\"\naddress = \"10.1.0.1:3128\"\nhead = \"4s\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("prlimit")
        .args(["--nofile=100:100", env!("CARGO_BIN_EXE_interdict"), "-c", config.to_str().unwrap(), "serve"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut program = Program(child);
    let dns = SocketAddr::from(([127, 0, 0, 1], port));
    let blocked = || support::reply_of(dns, "www.tiktok.com").is_some();
    until(20, "it answers", blocked);
    let asked = |url: &str, format: &str| {
        said(&in_client(&[
            "curl",
            "-sk",
            "--max-time",
            "20",
            "-x",
            "http://10.1.0.1:3128",
            "-o",
            "/dev/null",
            "-w",
            format,
            url,
        ]))
    };

    // Upstream dead: names are not to be had, and are said so; addresses are, and bans hold.
    assert_eq!(asked("https://good.example/", "%{http_connect}"), "502");
    assert_eq!(asked("https://192.0.2.7/", "%{http_connect}"), "200");
    assert_eq!(asked("https://www.tiktok.com/", "%{http_connect}"), "403");

    // Out of file descriptors: DNS goes on, new connections wait, and are served when there is room again.
    let mut idle = Command::new("ip")
        .args([
            "netns",
            "exec",
            "c",
            "python3",
            &script("client.py"),
            "half",
            "10.1.0.1",
            "3128",
            "150",
            "GET http",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(idle.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let open = || std::fs::read_dir(format!("/proc/{}/fd", program.0.id())).unwrap().count();
    until(5, "no file is left", || open() >= 98);
    assert!(blocked(), "DNS goes on");
    assert_eq!(asked("https://192.0.2.7/", "%{http_connect}"), "200", "late, and served");
    assert_eq!(lines.next().unwrap().unwrap(), "ended 150");
    assert!(idle.wait().unwrap().success());

    // Killed: what was open ends at once, and nothing is let past.
    let held = Command::new("ip")
        .args(["netns", "exec", "c", "python3", &script("client.py"), "raw", "10.1.0.1", "3128"])
        .arg("CONNECT 192.0.2.7:443 HTTP/1.1\\r\\nHost: 192.0.2.7:443\\r\\n\\r\\n")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(String::from_utf8_lossy(&held.wait_with_output().unwrap().stdout).starts_with("got "));
    program.0.kill().unwrap();
    let _ended = program.0.wait();
    assert_eq!(curl(&["-x", "http://10.1.0.1:3128", "https://192.0.2.7/"]), "error 7", "refused");
}

#[test]
fn quic_is_passed_on_or_swallowed() {
    namespaces(TPROXY, "inside_quic");
}

#[test]
#[ignore = "needs the namespaces that another test makes"]
fn inside_quic() {
    let gateway = Gateway::start(&proxies("quic = true"));
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["good.example", "www.tiktok.com"].map(str::to_owned)).unwrap();
    std::fs::write(gateway.site.path("quic.der"), cert.der()).unwrap();
    std::fs::write(gateway.site.path("quic.key"), signing_key.serialize_der()).unwrap();
    let folder = gateway.site.folder.path().to_str().unwrap();
    let this = std::env::current_exe().unwrap();
    let run = |namespace: &str, test: &str, what: &str| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(&this).args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
        ]);
        command.env("WHAT", what).stdout(Stdio::piped());
        command
    };
    let mut server = run("s", "speak_as_a_quic_server", folder).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ready")));
    let _server = Program(server);
    let fetch = |name: &str, address: &str| {
        let output =
            run("c", "speak_as_a_quic_client", &format!("{folder} {name} {address}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .find_map(|line| Some(line.split_once("got: ")?.1.to_owned()))
    };
    for address in ["192.0.2.7:443", "[2001:db8:2::2]:443"] {
        assert_eq!(fetch("good.example", address).as_deref(), Some("1000000 bytes"), "{address}");
        assert_eq!(fetch("www.tiktok.com", address).as_deref(), Some("nothing"), "{address}");
    }
    assert_eq!(gateway.count("interdict_proxy_connections_total{mode=\"quic\",outcome=\"denied\"}"), 2.0);
    assert!(gateway.count("interdict_proxy_blocked_total{app=\"tiktok\"") >= 2.0);
    assert!(gateway.log("www.tiktok.com").contains("\"proxy\""));
    assert!(gateway.count("interdict_proxy_bytes_total{direction=\"down\"}") >= 2_000_000.0);
}

fn bytes(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
#[ignore = "run by another test in a namespace"]
fn speak_as_a_quic_server() {
    let folder = std::env::var("WHAT").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(bytes(&format!("{folder}/quic.key")).into());
        let certificate = bytes(&format!("{folder}/quic.der")).into();
        let config = quinn::ServerConfig::with_single_cert(vec![certificate], key).unwrap();
        let endpoint = quinn::Endpoint::server(config, "[::]:443".parse().unwrap()).unwrap();
        println!("ready");
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(&vec![7; 1_000_000]).await.unwrap();
                stream.finish().unwrap();
                connection.closed().await;
            });
        }
    });
}

#[test]
#[ignore = "run by another test in a namespace"]
fn speak_as_a_quic_client() {
    let what = std::env::var("WHAT").unwrap();
    let [folder, name, address] = what.split(' ').collect::<Vec<_>>()[..] else { panic!("{what}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(bytes(&format!("{folder}/quic.der")).into()).unwrap();
        let config = quic_client(roots);
        let address: SocketAddr = address.parse().unwrap();
        let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let endpoint = quinn::Endpoint::client(local.parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, address, name).unwrap();
        let connection = match tokio::time::timeout(Duration::from_secs(4), connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return println!("got: {error}"),
            Err(_) => return println!("got: nothing"),
        };
        let mut stream = connection.accept_uni().await.unwrap();
        println!("got: {} bytes", stream.read_to_end(2_000_000).await.unwrap().len());
        connection.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
    });
}

/// A client of QUIC that trusts what is in `roots`.
fn quic_client(roots: rustls::RootCertStore) -> quinn::ClientConfig {
    quinn::ClientConfig::with_root_certificates(Arc::new(roots)).unwrap()
}
