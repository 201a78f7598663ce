//! Owns the page itself: the app, the act, the authority, the date, whom to ask and a reference, without a script or anything from elsewhere; and
//! its way to the client.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::timeout;

use super::words::Words;
use crate::proxy::door::Refusal;
use crate::proxy::judge::Denial;
use crate::proxy::line::Line;
use crate::proxy::metrics::Outcome;

/// A request as far as a page needs it.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Request<'r> {
    /// The first line and the fields; nothing when they could not be read.
    pub(in crate::proxy) head: &'r [u8],
    /// The languages there are.
    pub(in crate::proxy) words: &'r [Words],
    /// Whether there are users who may show their passwords.
    pub(in crate::proxy) asks_for_users: bool,
}

/// How a name and a password are asked for (RFC 7617).
const CHALLENGE: &str = "Proxy-Authenticate: Basic realm=\"interdict\", charset=\"UTF-8\"\r\n";

impl<'r> Request<'r> {
    /// The value of a field; the first of several.
    fn field(&self, name: &str) -> &'r str {
        let lines = self.head.split(|byte| *byte == b'\n').skip(1);
        let values = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (found, value) = line.split_at_checked(colon)?;
            found.eq_ignore_ascii_case(name.as_bytes()).then_some(value.get(1..)?)
        });
        values.filter_map(|value| std::str::from_utf8(value).ok()).map(str::trim).next().unwrap_or("")
    }

    /// The language that is asked for by a link of the page.
    fn asked(&self) -> Option<&'r str> {
        let line = self.head.split(|byte| *byte == b'\r').next()?;
        let target = std::str::from_utf8(line).ok()?.split(' ').nth(1)?;
        let (_, query) = target.split_once('?')?;
        query.split('&').find_map(|part| part.strip_prefix("lang="))
    }

    fn words(&self) -> Option<&'r Words> {
        Words::chosen(self.words, self.asked(), self.field("accept-language"))
    }
}

/// The whole response to a refused request.
pub(in crate::proxy) fn refusal(refusal: &Refusal, request: Request<'_>) -> String {
    let asks = request.asks_for_users;
    let not_connected = |status, why| plain(status, "not_connected", why, request);
    match refusal {
        Refusal::Denied(denial) => denied(denial, None, request),
        Refusal::Other(Outcome::Unreachable) => not_connected("502 Bad Gateway", "unreachable"),
        Refusal::Other(Outcome::Mismatched) => not_connected("403 Forbidden", "mismatched"),
        Refusal::Other(Outcome::Port | Outcome::Inside) => not_connected("403 Forbidden", "inside"),
        Refusal::Other(Outcome::Unidentified) => {
            // Who is known by a certificate alone has no password to send.
            let challenge = if asks { CHALLENGE } else { "" };
            let status = if asks { "407 Proxy Authentication Required" } else { "403 Forbidden" };
            plain_with(status, "not_connected", "unidentified", challenge, request)
        }
        Refusal::Other(Outcome::Attempts) => {
            plain_with("429 Too Many Requests", "not_connected", "attempts", "Retry-After: 300\r\n", request)
        }
        Refusal::Other(Outcome::HeadBytes) => {
            not_connected("431 Request Header Fields Too Large", "not_understood")
        }
        Refusal::Other(_) => not_connected("400 Bad Request", "not_understood"),
    }
}

/// The response to whoever was sent to a sinkhole: why `name` is blocked, or that nothing blocks it.
pub(in crate::proxy) fn visit(denial: Option<&Denial>, name: Option<&str>, request: Request<'_>) -> String {
    let response = match denial {
        Some(denial) => denied(denial, name, request),
        None => plain("404 Not Found", "free", "free_why", request),
    };
    match (request.head.starts_with(b"HEAD "), response.find("\r\n\r\n")) {
        (true, Some(end)) => response.get(..end + 4).unwrap_or(&response).to_owned(),
        _ => response,
    }
}

fn denied(denial: &Denial, name: Option<&str>, request: Request<'_>) -> String {
    let Some(words) = request.words() else { return String::new() };
    let found = &denial.words;
    let since = found.in_force_day.map(|day| day.to_string()).unwrap_or_default();
    let app = if found.app_title.is_empty() { &found.app } else { &found.app_title };
    let reference = denial.reference.map(|reference| reference.to_string()).unwrap_or_default();
    let mut rows = String::new();
    for (key, text) in [
        ("asked", name.unwrap_or(&found.listed)),
        ("app", app.as_str()),
        ("instrument", found.instrument.as_str()),
        ("authority", found.authority.as_str()),
        ("citation", found.citation.as_str()),
        ("since", since.as_str()),
        ("contact", denial.contact.as_str()),
        ("reference", reference.as_str()),
    ] {
        if !text.is_empty() && text != "none" {
            // Writing to a string does not fail.
            let _never =
                writeln!(rows, "<dt>{}</dt><dd>{}</dd>", escaped(words.say(key)), shown(text)).is_err();
        }
    }
    let body = format!(
        "<p>{}</p>\n<dl>\n{rows}</dl>\n<p>{}</p>\n",
        escaped(words.say("why")),
        escaped(words.say("ask"))
    );
    let header =
        if reference.is_empty() { String::new() } else { format!("Interdict-Reference: {reference}\r\n") };
    response("403 Forbidden", "blocked", &body, &header, words, request)
}

fn plain(status: &str, title: &str, why: &str, request: Request<'_>) -> String {
    plain_with(status, title, why, "", request)
}

fn plain_with(status: &str, title: &str, why: &str, fields: &str, request: Request<'_>) -> String {
    let Some(words) = request.words() else { return String::new() };
    response(status, title, &format!("<p>{}</p>\n", escaped(words.say(why))), fields, words, request)
}

/// How it looks: readable on a telephone and on paper, light and dark, without anything from elsewhere.
const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1.5rem;color:#1a1a1a;background:#fff}\
h1{font-size:1.6rem}dt{font-weight:600;margin-top:.6rem}dd{margin:0;overflow-wrap:anywhere}nav a{margin-right:1rem}a{color:#0b4f9e}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}a{color:#8cc2ff}}";
/// SHA-256 of the style, which is all that a browser may apply (Content Security Policy).
const STYLE_HASH: &str = "pT3+9O/2w0jbGduLmgUWkAH4Xn+ZPPqIHwLey6KSEd4=";

fn response(
    status: &str,
    title: &str,
    body: &str,
    fields: &str,
    words: &Words,
    request: Request<'_>,
) -> String {
    let title = escaped(words.say(title));
    let mut others = String::new();
    for other in request.words.iter().filter(|other| other.language != words.language) {
        let (tag, name) = (&other.language, escaped(other.say("name")));
        let _never =
            write!(others, "<a href=\"?lang={tag}\" lang=\"{tag}\" hreflang=\"{tag}\">{name}</a>").is_err();
    }
    let page = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n\
         {body}</main><nav>{others}</nav></body></html>\n",
        words.language
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nContent-Language: {}\r\n\
         Cache-Control: no-store\r\nVary: Accept-Language\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
         {fields}Connection: close\r\n\r\n{page}",
        page.len(),
        words.language
    )
}

/// A text of the policy's, of bounded length: lists and acts may be long, and a page is not.
fn shown(text: &str) -> String {
    const LONGEST: usize = 400;
    let short: String = text.chars().take(LONGEST).collect();
    escaped(&short)
}

/// The text without what means something in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Sends a last response, and takes what the client still sends for a moment: a connection closed before that is reset, and the response
/// may be lost (RFC 9112 section 9.6).
pub(in crate::proxy) async fn send_last(client: &mut Line, response: &[u8]) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const TAKEN: usize = 64 << 10;
    let sending = async {
        if client.say(response).await.is_err() || client.finish().await.is_err() {
            return;
        }
        let mut left = TAKEN;
        let mut taken = Vec::new();
        while left > 0 {
            taken.clear();
            match client.more(&mut taken, 1).await {
                Ok(0) | Err(_) => return,
                Ok(bytes) => left = left.saturating_sub(bytes),
            }
        }
    };
    // Who takes longer is cut off.
    let _late = timeout(PATIENCE, sending).await.is_err();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Description;

    fn denial(words: Description) -> Denial {
        Denial { words, reference: Some("7-1a-5f60".parse().unwrap()), contact: "dns <team>".into() }
    }

    fn request<'r>(head: &'r [u8], words: &'r [Words]) -> Request<'r> {
        Request { head, words, asks_for_users: false }
    }

    #[test]
    fn a_page_says_why_and_holds_no_markup_of_others() {
        let words =
            Description { app_title: "A <b>pp".into(), authority: "X & Y".into(), ..Description::default() };
        let refused = Refusal::Denied(Box::new(denial(words)));
        let all = Words::built_in();
        let page = refusal(&refused, request(b"GET / HTTP/1.1\r\nAccept-Language: fr-CA\r\n\r\n", &all));
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 403 ") && head.contains("Interdict-Reference: 7-1a"));
        assert!(
            head.contains(&format!("Content-Length: {}", body.len()))
                && head.contains("Content-Language: fr")
        );
        assert!(
            body.contains("A &lt;b&gt;pp") && body.contains("X &amp; Y") && body.contains("dns &lt;team&gt;")
        );
        assert!(!body.contains("<dt>Acte</dt>"), "there is none");
        assert!(body.contains("Accès bloqué") && body.contains("<a href=\"?lang=en\" lang=\"en\""));
    }

    #[test]
    fn a_reader_may_ask_for_another_language() {
        let all = Words::built_in();
        let page = |head: &[u8]| visit(None, None, request(head, &all));
        assert!(page(b"GET /x?a=b&lang=fr HTTP/1.1\r\nAccept-Language: en\r\n\r\n").contains("non bloqué"));
        assert!(page(b"GET /?lang=fr HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(page(b"").contains("Not blocked"));
        let only_head = page(b"HEAD / HTTP/1.1\r\n\r\n");
        assert!(only_head.ends_with("\r\n\r\n") && only_head.contains("Content-Length: "));
    }

    #[test]
    fn the_style_is_the_one_that_browsers_may_apply() {
        use base64::Engine;
        use sha2::{Digest, Sha256};
        assert_eq!(base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE)), STYLE_HASH);
    }

    #[test]
    fn the_longest_page_is_below_ten_kibibytes() {
        let long = || "é".repeat(5000);
        let words = Description {
            app_title: long(),
            instrument: long(),
            authority: long(),
            citation: long(),
            listed: long(),
            ..Description::default()
        };
        let all = Words::built_in();
        for head in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"GET /?lang=fr HTTP/1.1\r\n\r\n"] {
            assert!(visit(Some(&denial(words.clone())), None, request(head, &all)).len() < 10 << 10);
        }
    }
}
