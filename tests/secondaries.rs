//! Debian's BIND and Unbound as secondaries of the zone: what the shipped program bans they ban, and a change reaches both by
//! NOTIFY and a difference, within seconds. Skipped, and said so, where they are not installed; `tests/run` installs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares files with other suites")]

#[path = "support/served.rs"]
mod served;
mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use served::{Served, free_port};
use support::reply_of;

const SECRET: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";
/// Response code and number of answers.
type Reply = Option<(u8, u8)>;
const ADDRESS: Reply = Some((0, 1));
const NODATA: Reply = Some((0, 0));
const NXDOMAIN: Reply = Some((3, 0));

/// Asks for a name's address.
fn ask(server: SocketAddr, name: &str) -> Reply {
    let reply = reply_of(server, name)?;
    Some((reply[3] & 15, reply[7]))
}

/// A resolver of another make, ended with the test.
struct Resolver {
    address: SocketAddr,
    folder: tempfile::TempDir,
    child: Child,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Resolver {
    /// Runs `program` with a configuration of its own folder (`$DIR`); `None` when it is not installed.
    fn start(program: &str, arguments: &[&str], address: SocketAddr, config: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, config.replace("$DIR", folder.path().to_str().unwrap())).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .args(["-c", path.to_str().unwrap()])
            .current_dir(folder.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self { address, folder, child }),
            Err(error) => {
                eprintln!("skipped: {program}: {error}");
                None
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits for a reply.
    fn comes_to(&self, name: &str, reply: Reply) -> Duration {
        let begin = Instant::now();
        while ask(self.address, name) != reply {
            let waited = begin.elapsed();
            assert!(waited < Duration::from_secs(30), "{name} never comes to {reply:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        begin.elapsed()
    }
}

/// BIND as a secondary of the zone at `primary`, resolving by `upstream` (address and port).
fn bind(address: SocketAddr, primary: SocketAddr, upstream: SocketAddr, is_signed: bool) -> Option<Resolver> {
    let (port, zone, forward) = (address.port(), primary.port(), upstream.port());
    let key = if is_signed { " key transfer.test" } else { "" };
    let config = format!(
        "key transfer.test {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         options {{ directory \"$DIR\"; pid-file none; session-keyfile \"$DIR/session.key\"; lock-file none; recursion yes;\n\
           managed-keys-directory \"$DIR\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
           dnssec-validation no; forward only; forwarders port {forward} {{ 127.0.0.1; }}; notify no;\n\
           response-policy {{ zone \"rpz.test\" max-policy-ttl 5; }} min-update-interval 0 qname-wait-recurse no;\n\
         }};\ncontrols {{ }};\n\
         zone \"rpz.test\" {{ type secondary; primaries port {zone} {{ 127.0.0.1{key}; }}; file \"rpz.db\";\n\
           masterfile-format text; allow-notify {{ 127.0.0.1; }}; }};\n"
    );
    Resolver::start("named", &["-g", "-n", "1"], address, &config)
}

/// Unbound as a secondary of the zone at `primary`, resolving by `upstream`.
fn unbound(address: SocketAddr, primary: SocketAddr, upstream: SocketAddr) -> Option<Resolver> {
    let config = format!(
        "server:\n interface: 127.0.0.1@{}\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n directory: \"$DIR\"\n\
         pidfile: \"$DIR/pid\"\n use-syslog: no\n logfile: \"\"\n verbosity: 2\n num-threads: 1\n\
         module-config: \"respip iterator\"\n do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n\
         cache-max-ttl: 1\n cache-max-negative-ttl: 1\n so-reuseport: no\n\
         remote-control:\n control-enable: no\n\
         rpz:\n name: rpz.test.\n primary: 127.0.0.1@{}\n allow-notify: 127.0.0.1\n zonefile: \"$DIR/rpz.db\"\n\
         forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{}\n",
        address.port(),
        primary.port(),
        upstream.port()
    );
    Resolver::start("unbound", &["-d", "-p"], address, &config)
}

/// interdict with one list, published at `zone`.
fn primary(zone: SocketAddr, secondaries: &[SocketAddr], more: &str, list: &str) -> Served {
    let secondaries: Vec<String> = secondaries.iter().map(SocketAddr::to_string).collect();
    Served::start(
        &format!(
            "[policy]\nstate = \"$DIR/state\"\n[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n\
             [[policy.tsig]]\nname = \"transfer.test\"\nalgorithm = \"hmac-sha256\"\nsecret = \"{SECRET}\"\n\
             [guard]\nmax_shrink = \"100%\"\nmax_growth = \"100000%\"\n\
             [zone]\nname = \"rpz.test\"\nlisten = [\"{zone}\"]\nnotify = {secondaries:?}\n{more}"
        ),
        list,
    )
}

fn publish(primary: &Served, list: &str) {
    std::fs::write(primary.path("own.txt"), list).unwrap();
    let _published_or_noticed_before = primary.reload();
}

/// The secondary answers as interdict itself does.
fn agrees(primary: &Served, secondary: &Resolver, names: &[&str]) {
    for name in names {
        assert_eq!(ask(secondary.address, name), ask(primary.address, name), "{name}: {}", secondary.log());
    }
}

const NAMES: &[&str] = &[
    "one.example",
    "www.one.example",
    "a.b.c.one.example",
    "xone.example",
    "name.example",
    "below.name.example",
    "fine.example",
    "wechat.com",
    "long.wechat.com",
    "tiktok.com",
    "canada.ca",
    "use-application-dns.net",
];

#[test]
fn bind_and_unbound_ban_what_the_policy_bans_and_follow_it_by_notify() {
    let (zone, at_bind, at_unbound) = (free_port(), free_port(), free_port());
    let primary = primary(zone, &[at_bind, at_unbound], "", "*.one.example\nname.example\n");
    let upstream = primary.upstream.address;
    let (Some(bind), Some(unbound)) =
        (bind(at_bind, zone, upstream, false), unbound(at_unbound, zone, upstream))
    else {
        return;
    };
    for secondary in [&bind, &unbound] {
        secondary.comes_to("one.example", NXDOMAIN);
        agrees(&primary, secondary, NAMES);
    }
    // The whole zone went to each once; from now on differences do.
    let whole = "interdict_zone_transfers_total{sent=\"whole\"}";
    let difference = "interdict_zone_transfers_total{sent=\"difference\"}";
    let (all, before) = (primary.metric(whole), primary.metric(difference));
    assert!(all >= 2.0);
    publish(&primary, "*.two.example\nname.example\n");
    for secondary in [&bind, &unbound] {
        let came = secondary.comes_to("www.two.example", NXDOMAIN);
        let went = secondary.comes_to("www.one.example", ADDRESS);
        eprintln!("followed after {came:?} and {went:?}");
        agrees(&primary, secondary, NAMES);
        assert_eq!(ask(secondary.address, "two.example"), NXDOMAIN);
    }
    assert_eq!(primary.metric(whole), all, "no second whole transfer: {}", bind.log());
    assert!(primary.metric(difference) >= before + 2.0);
    assert_eq!(primary.metric("interdict_zone_secondaries_behind"), 0.0);
}

#[test]
fn bind_transfers_a_long_zone_with_a_key_and_notices_a_primary_that_comes_back() {
    let (zone, at_bind) = (free_port(), free_port());
    let many: String = (0..5000).map(|i| format!("n{i}.example\n")).collect();
    let primary = primary(zone, &[at_bind], "tsig = \"transfer.test\"\n", &format!("{many}one.example\n"));
    let Some(bind) = bind(at_bind, zone, primary.upstream.address, true) else { return };
    bind.comes_to("n4999.example", NODATA);
    bind.comes_to("wechat.com", NXDOMAIN);
    assert!(!bind.log().contains("tsig verify failure"), "{}", bind.log());
    // Stopped for a while, the primary answers nobody; what it told before goes on.
    primary.signal("STOP");
    assert_eq!(ask(bind.address, "wechat.com"), NXDOMAIN);
    primary.signal("CONT");
    publish(&primary, &format!("{many}*.two.example\n"));
    bind.comes_to("www.two.example", NXDOMAIN);
    assert!(primary.metric("interdict_zone_transfers_total{sent=\"difference\"}") >= 1.0);
    assert!(primary.metric("interdict_zone_refused_total{reason=\"signature\"}") == 0.0);
}
