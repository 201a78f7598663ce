//! Owns what a refused client of plain HTTP is shown: a page in plain words, with the app, the act, the authority, the date and a reference.
//! Never shows what a client sent.

use std::fmt::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::door::Refusal;
use super::judge::Denial;
use super::metrics::Outcome;

/// The whole response to a refused request.
pub(super) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Denied(denial) => denied(denial),
        Refusal::Other(Outcome::Unreachable) => plain(
            "502 Bad Gateway",
            "The server cannot be reached",
            "It has no address, or it does not answer.",
        ),
        Refusal::Other(Outcome::Mismatched) => plain(
            "403 Forbidden",
            "Not connected",
            "The name that was asked for does not lead to the address that was connected to.",
        ),
        Refusal::Other(Outcome::Port | Outcome::Inside) => {
            plain("403 Forbidden", "Not connected", "This proxy does not connect to that address and port.")
        }
        Refusal::Other(Outcome::HeadBytes) => plain(
            "431 Request Header Fields Too Large",
            "Too long",
            "The request's fields are longer than is read.",
        ),
        Refusal::Other(_) => plain("400 Bad Request", "Not understood", "The request cannot be read."),
    }
}

fn denied(denial: &Denial) -> String {
    let words = &denial.words;
    let mut rows = String::new();
    let mut row = |title: &str, text: &str| {
        if !text.is_empty() && text != "none" {
            // Writing to a string does not fail.
            let _never = writeln!(rows, "<dt>{title}</dt><dd>{}</dd>", escaped(text)).is_err();
        }
    };
    row("App", if words.app_title.is_empty() { &words.app } else { &words.app_title });
    row("Instrument", &words.instrument);
    row("Authority", &words.authority);
    row("Where it is written", &words.citation);
    row("In force from", &words.in_force_from.map(|from| from.to_string()).unwrap_or_default());
    row("Listed as", &words.listed);
    row("Reference", &denial.reference);
    let body = format!(
        "<p>This network does not allow this connection. Nothing is wrong with your device.</p>\n<dl>\n{rows}</dl>\n\
         <p>If you need it for your work, give the reference to whoever runs this network.</p>\n"
    );
    response("403 Forbidden", "Blocked", &body, &format!("Interdict-Reference: {}\r\n", denial.reference))
}

fn plain(status: &str, title: &str, text: &str) -> String {
    response(status, title, &format!("<p>{text}</p>\n"), "")
}

fn response(status: &str, title: &str, body: &str, fields: &str) -> String {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body><h1>{title}</h1>\n\
         {body}</body></html>\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         {fields}Connection: close\r\n\r\n{page}",
        page.len()
    )
}

/// The text without what means something in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Sends a last response, and takes what the client still sends for a moment: a connection closed before that is reset, and the response
/// may be lost (RFC 9112 section 9.6).
pub(super) async fn send_last(client: &mut TcpStream, response: &[u8]) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const TAKEN: usize = 64 << 10;
    let sending = async {
        if client.write_all(response).await.is_err()
            || SockRef::from(&*client).shutdown(Shutdown::Write).is_err()
        {
            return;
        }
        let mut left = TAKEN;
        let mut taken = [0; 1024];
        while left > 0 {
            let Ok(()) = client.readable().await else { return };
            match client.try_read(&mut taken) {
                Ok(0) => return,
                Ok(bytes) => left = left.saturating_sub(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
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

    #[test]
    fn a_page_says_why_and_holds_no_markup_of_others() {
        let words =
            Description { app_title: "A <b>pp".into(), authority: "X & Y".into(), ..Description::default() };
        let refused = Refusal::Denied(Box::new(Denial { words, reference: "7-1a".into() }));
        let page = refusal(&refused);
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 403 ") && head.contains("Interdict-Reference: 7-1a"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("A &lt;b&gt;pp") && body.contains("X &amp; Y") && !body.contains("Instrument"));
    }
}
