//! Owns where a sink is, and how that is written. Never opens it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::net::tls::Peer;

/// Where a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file, or whatever else can be opened and written to.
    File(PathBuf),
    /// A collector of syslog messages (RFC 5424), as datagrams (RFC 5426).
    SyslogUdp(SocketAddr),
    /// The same over a connection (RFC 6587, octets counted).
    SyslogTcp(SocketAddr),
    /// The same inside of TLS (RFC 5425).
    SyslogTls {
        /// Where it listens.
        address: SocketAddr,
        /// The name that its certificate must hold; the address without one.
        name: Option<String>,
    },
    /// systemd's journal, at its socket of this machine.
    Journald(PathBuf),
    /// A reader of dnstap frames at a socket of this machine.
    DnstapUnix(PathBuf),
    /// The same over TCP.
    DnstapTcp(SocketAddr),
}

/// Where systemd's journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

impl Target {
    /// The kind of it, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::SyslogUdp(_) | Self::SyslogTcp(_) | Self::SyslogTls { .. } => "syslog",
            Self::Journald(_) => "journald",
            Self::DnstapUnix(_) | Self::DnstapTcp(_) => "dnstap",
        }
    }

    /// Whether records have a form of their own there.
    pub fn has_own_form(&self) -> bool {
        matches!(self, Self::Journald(_) | Self::DnstapUnix(_) | Self::DnstapTcp(_))
    }

    /// Whether it is reached inside of TLS.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::SyslogTls { .. })
    }
}

impl FromStr for Target {
    type Err = String;

    /// `file:/var/log/q.jsonl`, `syslog://192.0.2.1`, `syslog+tcp://192.0.2.1:601`, `syslog+tls://192.0.2.1#collector.example`,
    /// `journald`, `journald:/run/systemd/journal.dns/socket`, `dnstap:unix:/run/dnstap.sock`, `dnstap:tcp://127.0.0.1:6000`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file:") {
            Ok(Self::File(path.into()))
        } else if let Some(rest) = text.strip_prefix("syslog://") {
            Ok(Self::SyslogUdp(address(rest, 514)?))
        } else if let Some(rest) = text.strip_prefix("syslog+tcp://") {
            Ok(Self::SyslogTcp(address(rest, 601)?))
        } else if let Some(rest) = text.strip_prefix("syslog+tls://") {
            let (rest, name) = rest.split_once('#').map_or((rest, None), |(rest, name)| (rest, Some(name)));
            if let Some(wrong) = name.filter(|name| Peer::named(name).is_none()) {
                return Err(format!("`{wrong}` is not a server's name"));
            }
            let name = name.map(str::to_ascii_lowercase);
            Ok(Self::SyslogTls { address: address(rest, 6514)?, name })
        } else if text == "journald" {
            Ok(Self::Journald(JOURNAL.into()))
        } else if let Some(path) = text.strip_prefix("journald:") {
            Ok(Self::Journald(path.into()))
        } else if let Some(path) = text.strip_prefix("dnstap:unix:") {
            Ok(Self::DnstapUnix(path.into()))
        } else if let Some(rest) = text.strip_prefix("dnstap:tcp://") {
            Ok(Self::DnstapTcp(address(rest, 6000)?))
        } else {
            Err("not a place that lines can go to".to_owned())
        }
    }
}

/// An address, and the port unless another is written.
fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok();
    let alone = || bare.parse().ok().map(|address| SocketAddr::new(address, port));
    with_port().or_else(alone).ok_or_else(|| format!("`{text}` is not an address, or an address and port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_inside_of_tls_has_a_name_behind_its_address() {
        let read = |text: &str| text.parse::<Target>();
        let tls = |address: &str, name: Option<&str>| {
            Ok(Target::SyslogTls { address: address.parse().unwrap(), name: name.map(str::to_owned) })
        };
        assert_eq!(read("syslog+tls://192.0.2.1#Logs.example"), tls("192.0.2.1:6514", Some("logs.example")));
        assert_eq!(read("syslog+tls://[2001:db8::1]:601"), tls("[2001:db8::1]:601", None));
        assert_eq!(read("syslog+tls://192.0.2.1#a b"), Err("`a b` is not a server's name".to_owned()));
        assert!(read("syslog+tls://logs.example").unwrap_err().contains("is not an address"));
    }
}
