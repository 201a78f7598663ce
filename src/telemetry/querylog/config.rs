//! Owns the settings of the query log: where lines go, which, in which form, and how much of a client they show. Never writes one.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::clients::Clients;
use super::encrypted;
use super::target::Target;
use crate::net::tls::{CertificateError, Files};
use crate::problem::{Place, Problem};

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
    /// Whether the records of the answer are told, beside its code. Default: yes, as a log that does not tell where a device was sent answers no
    /// question of an incident (OMB M-21-31 asks for it). What is blocked has none, so that they cost bytes mostly where all queries are told.
    pub answers: bool,
    /// Only of these apps; empty for all.
    pub apps: Vec<String>,
    /// Only of these groups; empty for all.
    pub groups: Vec<String>,
    /// One record in so many. Default 1.
    pub sample: u32,
    /// For files: when they are put aside, and how long they stay.
    pub rotation: Rotation,
    /// For what is reached inside of TLS: whose certificates count, and what is shown.
    pub tls: Tls,
}

/// What sessions with a collector go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities whose certificates count, in PEM. Default: the system's.
    pub authorities: Option<PathBuf>,
    /// This resolver's own certificate for collectors that ask for one. Default none.
    pub own: Option<Files>,
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

    /// The sink of that name whose lines this product can read, as it wrote them in its own form into a file; without a name the first that has all
    /// queries, else the first. Fails with the names of those that there are.
    pub fn readable(&self, name: Option<&str>) -> Result<(&Sink, &Path), Vec<&str>> {
        let files = || self.sinks.iter().filter_map(|sink| Some((sink, sink.readable()?)));
        let mut named = files().filter(|(sink, _)| name.is_none_or(|name| sink.name == name));
        let all = named.clone().find(|(sink, _)| sink.all);
        all.or_else(|| named.next()).ok_or_else(|| files().map(|(sink, _)| sink.name.as_str()).collect())
    }

    /// True when some sink wants queries that met no rule.
    pub fn wants_all(&self) -> bool {
        self.sinks.iter().any(|sink| sink.all)
    }
}

impl Config {
    /// What would keep sinks from being opened, as far as that can be told beforehand: a place may be there only later.
    pub fn problems(&self) -> Vec<Problem> {
        let encrypted = self.sinks.iter().filter(|sink| sink.to.is_encrypted());
        let found = encrypted.filter_map(|sink| Some((sink, encrypted::problem(&sink.tls)?)));
        let complaint = |(sink, error): (&Sink, CertificateError)| {
            let what = format!("sink `{}`: {error}", sink.name);
            Problem::error(Place::file("[querylog]"), what, error.hint())
        };
        found.map(complaint).collect()
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
            answers: true,
            apps: Vec::new(),
            groups: Vec::new(),
            sample: 1,
            rotation: Rotation::default(),
            tls: Tls::default(),
        }
    }

    fn readable(&self) -> Option<&Path> {
        match &self.to {
            Target::File(path) if self.form == Form::Json => Some(path),
            _ => None,
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
