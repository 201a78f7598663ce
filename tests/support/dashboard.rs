//! A site with something to see on every page of the dashboard, and the way through its login.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use interdict::clock::Clock;

use super::{Site, query, read};

/// A label that would be markup if anybody let it.
pub const HOSTILE: &str = "<script>alert(1)</script>";

/// What a policy for pages holds: an own list, a rehearsal for some clients, an exception that ends soon.
const POLICY: &str = r#"
[[policy.source]]
name = "own"
from = "$DIR/own.txt"
format = "domains"

[[policy.group]]
name = "rehearsal"
clients = ["127.0.3.0/24"]
enforce = ["ca-tbs-2023-02-28-tiktok", "own"]
mode = "shadow"

[[policy.group]]
name = "default"
enforce = ["ca-tbs-2023-10-30-wechat-kaspersky", "ca-tbs-2023-02-28-tiktok", "own"]

[[policy.exception]]
id = "forensics-lab"
group = "rehearsal"
apps = ["kaspersky"]
until = "UNTIL"
approved_by = "CIO office, ticket 4711"
reason = "malware analysis"

[[proxy]]
mode = "page"
address = "127.0.0.1:0"
"#;

/// A running site with two generations, tokens `viewer-token`, `operator-token`, `approver-token` and `old-token` of people called likewise, and some
/// minutes' worth of queries. `more` is added to the configuration, `ADMIN` stands for what is added to `[admin]`.
pub fn furnished(clock: Clock, admin: &str) -> Site {
    let soon = clock.wall() + Duration::from_secs(3 * 86_400);
    let policy = POLICY.replace("UNTIL", soon.to_string().split('T').next().unwrap());
    let site = Site::prepare(&policy, clock);
    // A link out of the watched folder: what is written through it is found by a reload, not by itself before that.
    std::fs::create_dir(site.path("lists")).unwrap();
    std::os::unix::fs::symlink("lists/own.txt", site.path("own.txt")).unwrap();
    std::fs::write(site.path("own.txt"), "*.one.example\n").unwrap();
    let mut tokens = String::new();
    for (name, role) in
        [("viewer", " viewer"), ("operator", " operator"), ("approver", " approver"), ("old", "")]
    {
        let digest = interdict::sources::Digest::of(format!("{name}-token").as_bytes());
        tokens.push_str(&format!("{name} {digest}{role}\n"));
    }
    std::fs::write(site.path("tokens"), tokens).unwrap();
    let dir = site.folder.path().display().to_string();
    let own = format!("[admin]\ntokens = \"{dir}/tokens\"\n{}", admin.replace("$DIR", &dir));
    let text = read(&site.config)
        .replace("[admin]\n", &own)
        .replace("[querylog]\n", "[querylog]\nwhich = \"all\"\n");
    std::fs::write(&site.config, text).unwrap();
    let site = site.settled();
    std::fs::write(site.path("own.txt"), "*.one.example\n*.two.example\n").unwrap();
    site.reload("?reason=ticket%204711");
    site.ask_around();
    // The log's thread looks fifty times a second.
    std::thread::sleep(Duration::from_millis(200));
    site
}

impl Site {
    /// Questions of many kinds from several clients.
    pub fn ask_around(&self) {
        let hostile = format!("{HOSTILE}.wechat.com");
        let names = [
            "wechat.com",
            "www.wechat.com",
            "www.tiktok.com",
            "kaspersky.com",
            "www.canada.ca",
            "x.two.example",
        ];
        for client in 1..=5 {
            for (place, name) in names.iter().chain([&hostile.as_str()]).enumerate() {
                for group in [2, 3] {
                    let address = Ipv4Addr::new(127, 0, group, client);
                    self.udp_from(address, &query(place as u16, 0x0100, name, 1, Some(1232)))
                        .expect("a reply");
                }
            }
        }
    }

    /// Asks the admin interface as a browser would; returns head and body.
    pub fn browse(&self, method: &str, path: &str, fields: &str, body: &str) -> (String, String) {
        let admin = self.running.as_ref().unwrap().admin;
        let mut stream = TcpStream::connect(admin).unwrap();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/x-www-form-urlencoded\r\n" };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {admin}\r\n{fields}{kind}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// The field that browsers send with a form of our own page.
    pub fn own_origin(&self) -> String {
        format!("Origin: http://{}\r\n", self.running.as_ref().unwrap().admin)
    }

    /// Logs in with a token; returns the session's secret.
    pub fn log_in(&self, token: &str) -> String {
        let (head, body) = self.browse("POST", "/login", &self.own_origin(), &format!("token={token}"));
        assert!(head.starts_with("HTTP/1.1 303"), "{head}\n{body}");
        let cookie =
            head.lines().find_map(|line| line.strip_prefix("set-cookie: interdict-session=")).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

/// The status of a head.
pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
