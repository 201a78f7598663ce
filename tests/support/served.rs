//! The shipped program as a process of its own, for tests that look at its memory and descriptors or stop it for a moment.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Upstream, read, reply_of};

/// A running `interdict serve` with a scripted upstream.
pub struct Served {
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    pub upstream: Upstream,
    admin: SocketAddr,
    child: Child,
}

impl Served {
    /// Starts with `more` appended to a configuration of two workers; `$DIR` in it stands for the folder, and `$DIR/own.txt`
    /// holds `list`.
    pub fn start(more: &str, list: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("own.txt"), list).unwrap();
        let upstream = Upstream::start();
        for _ in 0..10 {
            let (address, admin) = (free_port(), free_port());
            let text = format!(
                "[server]\nworkers = 2\n[[listener]]\naddress = \"{address}\"\n[admin]\nlisten = \"{admin}\"\n\
                 [upstream]\nservers = [\"udp://{}\"]\ntimeout = \"500ms\"\n{more}",
                upstream.address
            );
            let config = folder.path().join("interdict.toml");
            std::fs::write(&config, text.replace("$DIR", &folder.path().display().to_string())).unwrap();
            let log = std::fs::File::create(folder.path().join("log")).unwrap();
            let mut child = Command::new(env!("CARGO_BIN_EXE_interdict"))
                .args(["-c", config.to_str().unwrap(), "serve"])
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            // The free port may have been taken meanwhile: then it ends, and another is tried.
            for _ in 0..200 {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                // The operators' token is written a moment after the first query can be answered.
                if folder.path().join("state/token").exists() && ask(address, "wechat.com") == Some(3) {
                    return Self { address, folder, upstream, admin, child };
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let _gone = child.kill();
            child.wait().unwrap();
        }
        panic!("does not start: {}", read(&folder.path().join("log")));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The response code for a name's address; `None` without a reply in time.
    pub fn rcode(&self, name: &str) -> Option<u8> {
        ask(self.address, name)
    }

    /// Stops (`STOP`) or continues (`CONT`) the process where it stands.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success(), "kill -{name}");
    }

    /// Resident bytes.
    pub fn memory(&self) -> u64 {
        let status = read(&PathBuf::from(format!("/proc/{}/status", self.child.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        PathBuf::from(format!("/proc/{}/fd", self.child.id())).read_dir().unwrap().count()
    }

    /// The value of a metric, with its labels as the page writes them.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.http("GET", "/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        line.parse().unwrap()
    }

    /// Reloads; the outcome's word.
    pub fn reload(&self) -> String {
        let body = self.http("POST", "/api/v1/reload");
        let outcome: serde_json::Value = serde_json::from_str(&body).unwrap();
        outcome["outcome"].as_str().unwrap_or(&body).to_owned()
    }

    fn http(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let token = if method == "POST" { read(&self.path("state/token")) } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            token.trim()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        self.upstream.stop();
    }
}

fn ask(server: SocketAddr, name: &str) -> Option<u8> {
    Some(reply_of(server, name)?[3] & 15)
}

/// A port that was free for both transports a moment ago.
pub fn free_port() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), crate::support::free_port())
}

/// Datagrams that the kernel threw away before the sockets on these ports read them.
pub fn dropped_by_kernel(ports: &[u16]) -> u64 {
    let table = read(&PathBuf::from("/proc/net/udp"));
    let drops = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(words.get(1)?.split_once(':')?.1, 16).ok()?;
        ports.contains(&port).then(|| words.last()?.parse::<u64>().ok())?
    });
    drops.sum()
}
