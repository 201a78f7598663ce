//! Owns the settings of the query log: where lines go, which, in which form, and how much of a client they show. Never writes one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::clients::Clients;

/// Settings of the query log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where lines go, and which. Default: nowhere, as a log of people's queries is a decision to be taken.
    pub sinks: Vec<Sink>,
}

/// One place that lines go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// What metrics call it.
    pub name: String,
    /// Where it is.
    pub to: Target,
    /// In which form lines are written.
    pub form: Form,
    /// Whether queries that met no rule are written too. Default: no, as only the others need an explanation.
    pub all: bool,
    /// How clients are shown.
    pub clients: Clients,
    /// Only of these apps; empty for all.
    pub apps: Vec<String>,
    /// Only of these groups; empty for all.
    pub groups: Vec<String>,
    /// One record in so many. Default 1.
    pub sample: u32,
    /// For files: when they are put aside, and how long they stay.
    pub rotation: Rotation,
}

/// Where a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file, or whatever else can be opened and written to.
    File(PathBuf),
    /// A collector of syslog messages (RFC 5424), as datagrams (RFC 5426).
    SyslogUdp(SocketAddr),
    /// The same over a connection (RFC 6587, octets counted).
    SyslogTcp(SocketAddr),
    /// A reader of dnstap frames at a socket of this machine.
    DnstapUnix(PathBuf),
    /// The same over TCP.
    DnstapTcp(SocketAddr),
}

/// How a record is written where the target leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// JSON with this product's own fields. The default: they say all that is known.
    #[default]
    Json,
    /// The Elastic Common Schema.
    Ecs,
    /// The class DNS Activity of the Open Cybersecurity Schema Framework.
    Ocsf,
}

/// When a file is put aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes from which a file is put aside and compressed. Default never: many systems have a tool for it, which this log follows.
    pub size: Option<u64>,
    /// How long files that were put aside stay. Default for ever.
    pub retention: Option<Duration>,
    /// Bytes that all of them together may have; the oldest go first. Default any.
    pub total: Option<u64>,
}

impl Config {
    /// The least that any sink shows of clients; `None` without one.
    pub fn clients(&self) -> Option<Clients> {
        let shown = |clients: &Clients| match clients {
            Clients::None => 0,
            Clients::Hmac => 1,
            Clients::Prefix => 2,
            Clients::Full => 3,
        };
        self.sinks.iter().map(|sink| sink.clients).min_by_key(shown)
    }

    /// True when some sink wants queries that met no rule.
    pub fn wants_all(&self) -> bool {
        self.sinks.iter().any(|sink| sink.all)
    }
}

impl Sink {
    /// A sink with the defaults.
    pub fn to(to: Target) -> Self {
        Self {
            name: to.kind().to_owned(),
            to,
            form: Form::default(),
            all: false,
            clients: Clients::default(),
            apps: Vec::new(),
            groups: Vec::new(),
            sample: 1,
            rotation: Rotation::default(),
        }
    }
}

impl Target {
    /// The kind of it, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::SyslogUdp(_) | Self::SyslogTcp(_) => "syslog",
            Self::DnstapUnix(_) | Self::DnstapTcp(_) => "dnstap",
        }
    }
}

impl FromStr for Target {
    type Err = String;

    /// `file:/var/log/q.jsonl`, `syslog://192.0.2.1`, `syslog+tcp://192.0.2.1:601`, `dnstap:unix:/run/dnstap.sock`,
    /// `dnstap:tcp://127.0.0.1:6000`.
    fn from_str(text: &str) -> Result<Self, String> {
        let address = |text: &str, port: u16| {
            let with_port = text.parse::<SocketAddr>().ok();
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            with_port
                .or_else(|| bare.parse().ok().map(|address| SocketAddr::new(address, port)))
                .ok_or_else(|| format!("`{text}` is not an address, or an address and port"))
        };
        if let Some(path) = text.strip_prefix("file:") {
            Ok(Self::File(path.into()))
        } else if let Some(rest) = text.strip_prefix("syslog://") {
            Ok(Self::SyslogUdp(address(rest, 514)?))
        } else if let Some(rest) = text.strip_prefix("syslog+tcp://") {
            Ok(Self::SyslogTcp(address(rest, 601)?))
        } else if let Some(path) = text.strip_prefix("dnstap:unix:") {
            Ok(Self::DnstapUnix(path.into()))
        } else if let Some(rest) = text.strip_prefix("dnstap:tcp://") {
            Ok(Self::DnstapTcp(address(rest, 6000)?))
        } else {
            Err("not a place that lines can go to".to_owned())
        }
    }
}

impl FromStr for Form {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "ecs" => Ok(Self::Ecs),
            "ocsf" => Ok(Self::Ocsf),
            _ => Err("use one of json, ecs, ocsf"),
        }
    }
}
