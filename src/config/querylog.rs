//! Owns the reading of `[querylog]`: where lines go, which, in which form. Never opens one of them.

use super::value::{Size, Span};
use crate::document::{Located, Section};
use crate::net::tls::Files;
use crate::telemetry::{Clients, Config, Form, Sink, Target};

const TO: &str = "write \"file:/var/log/interdict/queries.jsonl\", \"syslog://192.0.2.1\", \"syslog+tcp://192.0.2.1:601\", \
                  \"syslog+tls://192.0.2.1#collector.example\", \"journald\", \"dnstap:unix:/run/dnstap.sock\" or \"dnstap:tcp://127.0.0.1:6000\"";
const CLIENTS: &str = "use one of full, prefix, hmac, none";

/// What holds for every target of a section.
struct Common {
    all: bool,
    clients: Clients,
    answers: bool,
}

/// All of `[querylog]`: `to`, a list with one set of settings, and `[[querylog.sink]]`, each with its own.
pub(super) fn read(section: &mut Section<'_>) -> Config {
    let mut config = Config::default();
    let targets = section.parsed_list::<Target>("to", TO).unwrap_or_default();
    let otherwise = Common { all: false, clients: Clients::default(), answers: true };
    let common = common(section, &otherwise);
    for Located { value, .. } in targets {
        let Common { all, clients, answers } = common;
        config.sinks.push(Sink { all, clients, answers, ..Sink::to(value) });
    }
    for mut section in section.sections("sink") {
        config.sinks.extend(one(&mut section, &common));
    }
    let mut taken: Vec<String> = Vec::new();
    for sink in &mut config.sinks {
        let mut number = 1;
        let plain = sink.name.clone();
        while taken.contains(&sink.name) {
            number += 1;
            sink.name = format!("{plain}-{number}");
        }
        taken.push(sink.name.clone());
    }
    config
}

fn one(section: &mut Section<'_>, common: &Common) -> Option<Sink> {
    section.required("to");
    let to = section.parsed::<Target>("to", TO);
    let Common { all, clients, answers } = self::common(section, common);
    let name = section.string("name");
    let form = section.parsed::<Form>("form", "use one of json, ecs, ocsf");
    let strings = |section: &mut Section<'_>, key| {
        let all = section.strings(key).unwrap_or_default();
        all.into_iter().map(|one| one.value).collect::<Vec<_>>()
    };
    let (apps, groups) = (strings(section, "apps"), strings(section, "groups"));
    let sample = section.integer("sample", 1..1_000_001);
    let size = section.parsed::<Size>("rotate", "write a size such as \"100MiB\"");
    let retention = section.parsed::<Span>("retention", "write a duration such as \"400d\"");
    let total = section.parsed::<Size>("total", "write a size such as \"10GiB\"");
    let (ca, certificate, key) = (section.string("ca"), section.string("certificate"), section.string("key"));
    let Located { value: to, place } = to?;
    if (ca.is_some() || certificate.is_some() || key.is_some()) && !to.is_encrypted() {
        section.problem(
            place.clone(),
            "certificates count for what is inside of TLS only",
            "leave `ca`, `certificate` and `key` out, or write syslog+tls://",
        );
    }
    if certificate.is_some() != key.is_some() {
        section.problem(place.clone(), "`certificate` and `key` go together", "name both, in PEM form");
    }
    if form.is_some() && to.has_own_form() {
        let what = format!("{} has a form of its own", to.kind());
        section.problem(place.clone(), what, "leave `form` out");
    }
    if (size.is_some() || retention.is_some() || total.is_some()) && to.kind() != "file" {
        section.problem(
            place.clone(),
            "only files are put aside",
            "leave `rotate`, `retention` and `total` out",
        );
    }
    if (retention.is_some() || total.is_some()) && size.is_none() {
        section.problem(
            place,
            "nothing is put aside, so nothing is taken away",
            "say from which size on, with `rotate`",
        );
    }
    let mut sink = Sink { all, clients, answers, apps, groups, ..Sink::to(to) };
    sink.name = name.map_or(sink.name, |name| name.value);
    sink.form = form.map_or(sink.form, |form| form.value);
    sink.sample = sample.map_or(sink.sample, |sample| sample as u32);
    sink.rotation.size = size.map(|size| size.value.0);
    sink.rotation.retention = retention.map(|span| span.value.0);
    sink.rotation.total = total.map(|size| size.value.0);
    sink.tls.authorities = ca.map(|path| path.value.into());
    sink.tls.own = certificate
        .zip(key)
        .map(|(certificate, key)| Files { certificate: certificate.value.into(), key: key.value.into() });
    Some(sink)
}

fn common(section: &mut Section<'_>, otherwise: &Common) -> Common {
    let mut all = otherwise.all;
    if let Some(which) = section.string("which") {
        match which.value.as_str() {
            "blocked" => all = false,
            "all" => all = true,
            other => {
                section.problem(which.place, format!("`which` is \"{other}\""), "use one of blocked, all");
            }
        }
    }
    let clients = section.parsed::<Clients>("clients", CLIENTS);
    Common {
        all,
        clients: clients.map_or(otherwise.clients, |clients| clients.value),
        answers: section.boolean("answers").unwrap_or(otherwise.answers),
    }
}
