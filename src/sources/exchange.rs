//! Owns one exchange with a server that sends no list: a small document is read, or a form is sent and its answer read. A door of `ureq`, beside `http`,
//! by whose rules it goes: the same authorities, a proxy, time-outs, a size cap, nothing in the clear that began encrypted. Never follows a redirect: what is
//! sent may be a secret.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header;

use super::http::{self, Proxy};
use super::refusal::{Reason, Refusal};

/// What is sent to whom.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// An `https://` or `http://` address.
    pub address: &'a str,
    /// The fields of a form, which is sent by POST; without, the address is read by GET.
    pub form: Option<&'a [(&'a str, &'a str)]>,
    /// A name and a password for the server, as Basic has them (RFC 7617).
    pub basic: Option<(&'a str, &'a str)>,
    /// The only authorities the server may be certified by, in PEM; without, the system's.
    pub ca: Option<&'a Path>,
    /// The proxy that leads there.
    pub proxy: Option<&'a Proxy>,
    /// Longest time for all of it.
    pub timeout: Duration,
    /// Longest answer in bytes.
    pub cap: u64,
}

/// Asks once; returns the status and the body. Blocks, at most for `timeout`.
pub fn exchange(asked: &Exchange<'_>) -> Result<(u16, Vec<u8>), Refusal> {
    let agent: ureq::Agent = http::settings(asked.ca, asked.timeout)?
        .https_only(asked.address.starts_with("https:"))
        .max_redirects(0)
        .proxy(asked.proxy.map(Proxy::settings))
        .build()
        .into();
    let agreed = asked.basic.map(|(name, password)| STANDARD.encode(format!("{name}:{password}")));
    let agreed = agreed.map(|pair| format!("Basic {pair}"));
    let reply = match asked.form {
        Some(form) => {
            let mut call = agent.post(asked.address).header(header::ACCEPT, "application/json");
            if let Some(agreed) = &agreed {
                call = call.header(header::AUTHORIZATION, agreed);
            }
            call.send_form(form.iter().copied())
        }
        None => agent.get(asked.address).header(header::ACCEPT, "application/json").call(),
    };
    let mut reply = reply.map_err(|error| http::failed(error, asked.timeout))?;
    let mut bytes = Vec::new();
    let read = reply.body_mut().as_reader().take(asked.cap + 1).read_to_end(&mut bytes);
    read.map_err(|error| http::failed(ureq::Error::from(error), asked.timeout))?;
    if bytes.len() as u64 > asked.cap {
        let what = format!("it is larger than {} bytes", asked.cap);
        return Err(Refusal::new(Reason::TooLarge, what, "is that the address that is meant?"));
    }
    Ok((reply.status().as_u16(), bytes))
}
