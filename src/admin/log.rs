//! Owns what operators look for in the kept query log: from its newest line back, an excerpt at a time. It shows what people asked: only to who is known,
//! no more of a client than the sink that shows least. Never opens another file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::answer::{Parameters, busy, complaint, problem, stranger, unmade, with_next, wrong};
use super::api::Parts;
use super::link::link;
use super::visitor::Visitor;
use crate::problem::{Place, Problem};
use crate::telemetry::{Clients, Excerpt, Found, KeptLog, Search, Sought, Unsearchable};

/// How long one search may read: some four million lines, and no longer than somebody waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines of an answer that is asked for no number.
const USUAL: u64 = 100;
/// Lines of the longest answer.
const MOST: u64 = 1000;
/// Lines of one millisecond that may be passed over; they have to be kept until it is known which they are.
const FARTHEST: usize = 1000;
/// How long a search waits for another one.
const QUEUE: Duration = Duration::from_secs(10);
/// Characters that are written down of what somebody looks for: no name is longer.
const WRITTEN: usize = 256;

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/log", get(log))
}

/// What somebody looks for, and where.
#[derive(Debug)]
pub(super) struct Question {
    search: Search,
    excerpt: Excerpt,
    sink: Option<String>,
    /// As it was written.
    said: Vec<String>,
}

/// What was looked for.
#[derive(Debug)]
pub(super) struct Looked {
    /// Whose log it is.
    pub(super) sink: String,
    /// How much of clients is shown.
    pub(super) clients: Clients,
    /// What was found.
    pub(super) found: Found,
}

/// Why nothing was looked for, and under which status that is said.
type Refusal = (StatusCode, Problem);

async fn log(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    let question = match Question::read(&parameters, &TimeZone::UTC) {
        _ if !visitor.is_known() => return stranger(),
        Ok(question) => question,
        Err(problem) => return wrong(&problem),
    };
    match look(&parts, &visitor, question).await {
        Ok(looked) => {
            let next = looked.found.next.map(|next| next_of("/api/v1/log", &parameters, next));
            with_next(Json(said(&looked)).into_response(), next.as_deref())
        }
        Err((status, one)) => problem(status, &[one]),
    }
}

fn said(Looked { sink, clients, found }: &Looked) -> Value {
    let unreadable =
        |(path, error): &(PathBuf, std::io::Error)| json!({ "file": path, "error": error.to_string() });
    json!({
        "sink": sink,
        "clients": clients.as_str(),
        "lines": found.lines,
        "files": found.reading.files,
        "lines_read": found.read,
        "lines_refused": found.refused,
        "files_gone": found.reading.gone,
        "files_unreadable": found.reading.broken.iter().map(unreadable).collect::<Vec<_>>(),
        "complete": found.unread.is_none(),
        "complete_after": found.unread.and_then(|unread| unread.before),
    })
}

/// The same question about what comes next, at `path`.
pub(super) fn next_of(path: &str, parameters: &Parameters, (until, offset): (Timestamp, usize)) -> String {
    let cursor = format!("{until}_{offset}");
    let same = parameters.all().filter(|(key, _)| *key != "cursor");
    link(path, &same.chain([("cursor", cursor.as_str())]).collect::<Vec<_>>())
}

/// Reads what [`next_of`] wrote.
fn cursor(text: &str) -> Option<(Timestamp, usize)> {
    let (until, offset) = text.split_once('_')?;
    let offset = offset.parse().ok().filter(|offset| *offset <= FARTHEST)?;
    Some((until.parse().ok()?, offset))
}

impl Question {
    /// Reads what is asked; days are those of `zone`.
    pub(super) fn read(parameters: &Parameters, zone: &TimeZone) -> Result<Self, Problem> {
        parameters.only(&[&Sought::KEYS[..], &["sink", "limit", "cursor"]].concat())?;
        let wrong = |wrong: Unsearchable| complaint(wrong.key, &wrong.what, &wrong.hint);
        let sought = Sought::read(|key| parameters.get(key)).map_err(wrong)?;
        let mut search = Search::new(sought, zone).map_err(wrong)?;
        let mut offset = 0;
        if let Some(text) = parameters.get("cursor") {
            let hint = "take the link to the next part as it is";
            let read = cursor(text).ok_or_else(|| complaint("cursor", "is none", hint))?;
            (search, offset) = (search.until(read.0), read.1);
        }
        let limit = parameters.number("limit", 1..MOST + 1)?.unwrap_or(USUAL) as usize;
        Ok(Self {
            search,
            excerpt: Excerpt { offset, limit },
            sink: parameters.get("sink").map(str::to_owned),
            said: parameters.all().map(|(key, value)| format!("{key}={value:.WRITTEN$}")).collect(),
        })
    }
}

/// Looks, one at a time, off the threads that must not wait. Who asked for what is in the service's log.
pub(super) async fn look(parts: &Parts, visitor: &Visitor, question: Question) -> Result<Looked, Refusal> {
    /// Ends a search that nobody waits for any more.
    struct Waiting(Arc<AtomicBool>);
    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let died = || (StatusCode::INTERNAL_SERVER_ERROR, unmade());
    let Question { search, excerpt, sink, said } = question;
    let (sink, path) = readable(parts, sink.as_deref())?;
    // Pages are for more people than files are: as the live tail, they show the least that any sink does.
    let clients = parts.querylog.clients().unwrap_or(Clients::None);
    let search = search.by_who_sees(clients);
    if search.is_in_vain(clients) {
        let hint = "as a sink shows none; look by name and time, or with `interdict log` on the host";
        return Err((StatusCode::BAD_REQUEST, complaint("client", "no addresses are shown here", hint)));
    }
    let who = visitor.person.as_ref().map_or("stranger", |person| &person.name);
    tracing::info!(who, from = ?visitor.from, asked = ?said, "looks into the query log");
    let searching = Arc::clone(&parts.searching).acquire_owned();
    let place = tokio::time::timeout(QUEUE, searching).await;
    let place = place.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, busy("others are searching")))?;
    let place = place.map_err(|_| died())?;
    let is_left = Arc::new(AtomicBool::new(false));
    let _waiting = Waiting(Arc::clone(&is_left));
    let clock = parts.clock.clone();
    let found = tokio::task::spawn_blocking(move || {
        let until = clock.now() + PATIENCE;
        let is_over = || is_left.load(Ordering::Relaxed) || clock.now() >= until;
        let log = KeptLog::open(&path, clock.wall());
        let found = log.map(|log| search.newest(log, excerpt, is_over));
        drop(place);
        found.map_err(|error| {
            let hint = "was anything logged yet, and may the service read it?";
            let (place, what) = (Place::file(path.display().to_string()), format!("cannot be read: {error}"));
            (StatusCode::SERVICE_UNAVAILABLE, Problem::error(place, what, hint))
        })
    });
    let mut found = found.await.map_err(|_| died())??;
    // Further than that nobody is led: so many lines of one millisecond are a clock that stands still.
    found.next = found.next.filter(|(_, offset)| *offset <= FARTHEST);
    Ok(Looked { sink, clients, found })
}

/// The log of a sink.
fn readable(parts: &Parts, sink: Option<&str>) -> Result<(String, PathBuf), Refusal> {
    parts.querylog.readable(sink).map(|(sink, path)| (sink.name.clone(), path.to_owned())).map_err(|names| {
        if names.is_empty() {
            let hint = "log to one: to = [\"file:/var/log/interdict/queries.jsonl\"]";
            let what = "no sink writes a file in the form `json`";
            return (StatusCode::NOT_FOUND, Problem::error(Place::file("[querylog]"), what, hint));
        }
        let hint = format!("use one of {}", names.join(", "));
        (StatusCode::BAD_REQUEST, complaint("sink", "is none that writes a file in the form `json`", &hint))
    })
}
