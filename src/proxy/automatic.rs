//! Owns what browsers fetch from the proxy to find it (proxy auto-configuration): the policy of the client's own group, and this proxy for the
//! rest. Never decides.

use std::sync::Arc;

use super::door::{Door, Refusal};
use super::judge::Caller;
use super::metrics::Outcome;
use super::page;
use super::peek::Authority;
use crate::feeds::{Format, Part, Selection};

/// Where it lies; the second is where browsers look by themselves.
const PATHS: [&str; 2] = ["/proxy.pac", "/wpad.dat"];

/// The response to a request for this proxy itself. `own` is how the client calls it.
pub(super) async fn response(
    path: &str,
    own: Option<&Authority>,
    caller: Caller,
    door: &Arc<Door>,
) -> Vec<u8> {
    let refused = |outcome| page::refusal(&Refusal::Other(outcome), door.request(&[])).into_bytes();
    let Some(own) = own.filter(|_| PATHS.contains(&path)) else { return refused(Outcome::Malformed) };
    let host = match &own.host {
        super::peek::Host::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        host => host.to_string().trim_end_matches('.').to_owned(),
    };
    let (word, port) = if door.tls.is_some() { ("HTTPS", 443) } else { ("PROXY", 80) };
    let proxy = format!("{word} {host}:{}", own.port.unwrap_or(port));
    let door = Arc::clone(door);
    // A long list takes its time.
    let rendered = tokio::task::spawn_blocking(move || {
        let snapshot = door.judge.live.load();
        let selection = Selection { group: Some(door.judge.group(&snapshot, caller)), part: Part::All };
        door.feeds.render(&snapshot, Format::Pac, &selection).ok()
    });
    let Ok(Some(rendered)) = rendered.await else { return refused(Outcome::Unreachable) };
    let text = rendered.feed.text.replace("\"DIRECT\"", &format!("\"{proxy}\""));
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\nContent-Length: {}\r\n\
         Cache-Control: max-age=60\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}
