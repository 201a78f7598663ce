//! Owns the way of one source's bytes from its server or file to content that may be judged: read, verify, unpack, look.
//! Never keeps anything and never judges rules.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::config::{Config, Network, Origin};
use super::file::{Raw, read_file};
use super::http::{self, Reply, Request, Validators};
use super::kept::Kept;
use super::refusal::{Reason, Refusal};
use super::signature::{Key, SIGNATURE_FILE, Seal};
use super::transfer::{self, Asked, Soa};
use super::unpack::Packing;
use super::{Address, FetchError};
use crate::formats::{self, Text};

/// Bytes of a source that its server and its signer stand for.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// As published: what the signature is of.
    pub(super) published: Text,
    /// The list itself, unpacked if it was published packed.
    pub(super) raw: Raw,
    /// What the server said about this version.
    pub(super) validators: Validators,
    /// The signature, where one is needed.
    pub(super) signature: Option<Signature>,
    /// What a transferred zone says to those who copy it.
    pub(super) soa: Option<Soa>,
}

/// One visit to where a source's bytes come from.
#[derive(Debug)]
pub(super) struct Visit {
    /// Longest time; its own time-out may be shorter.
    pub(super) limit: Duration,
    /// The time.
    pub(super) now: Timestamp,
    /// Where a zone's primary was found to be.
    pub(super) primaries: Vec<IpAddr>,
}

/// A verified signature.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) text: String,
    pub(super) key: Key,
    pub(super) seal: Seal,
}

impl Content {
    /// Content out of published bytes: verified, unpacked, and looked at.
    pub(super) fn new(
        source: &Config,
        published: Text,
        validators: Validators,
        signature: Option<Vec<u8>>,
    ) -> Result<Self, Refusal> {
        if published.is_empty() {
            let hint = "its publisher may be writing it; it is fetched again by itself";
            return Err(Refusal::new(Reason::Empty, "nothing came: the list is empty", hint));
        }
        let signature = match (&source.key, signature) {
            (Some(key), Some(bytes)) => {
                let seal = key.verify(&published.bytes(), &bytes)?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Some(Signature { text, key: key.clone(), seal })
            }
            _ => None,
        };
        let list = match Packing::of(published.rest(0)) {
            Some(packing) => {
                let list = packing.unpack(&published.bytes(), source.max_bytes).map_err(http::unpacking)?;
                Text::whole(list)
            }
            None => published.clone(),
        };
        if formats::is_web_page(list.rest(0)) {
            return Err(http::web_page());
        }
        let soa = match &source.origin {
            Origin::Zone(transfer) => transfer::head(published.rest(0), &transfer.address.zone),
            Origin::File { .. } | Origin::Network(_) => None,
        };
        Ok(Self { raw: Raw::of(source.title(), list), published, validators, signature, soa })
    }
}

/// Reads or asks for a source's bytes; `None` when they are those at hand, `known`, good by the present configuration. Blocks for at most twice
/// the visit's limit or the source's own time-out, whichever is shorter.
pub(super) fn fetch(
    source: &Config,
    known: Option<&Kept>,
    visit: &mut Visit,
) -> Result<Option<Content>, Refusal> {
    let limit = visit.limit;
    // What another server said says nothing here.
    let from_there = known.filter(|known| known.from == source.title());
    let (published, validators) = match &source.origin {
        Origin::File { path, .. } => {
            let raw = read_file(path, source.max_bytes).map_err(|error| match error {
                FetchError::TooLarge(cap) => http::too_large(cap),
                FetchError::Io(_) => unreadable(&error.problem(path)),
            })?;
            (raw.content, Validators::default())
        }
        Origin::Network(network) => {
            let asked = from_there.map(|known| &known.content.validators);
            let request = Request {
                address: &network.address,
                network,
                known: asked,
                cap: source.max_bytes,
                timeout: network.timeout.min(limit),
                signed: source.key.is_some(),
            };
            match http::get(request)? {
                Reply::Body(bytes, validators) => (Text::whole(bytes), validators),
                Reply::Unchanged => return Ok(None),
            }
        }
        Origin::Zone(transfer) => {
            let known = from_there.map(|known| &known.content.published);
            let asked = Asked { transfer, known, cap: source.max_bytes, limit, now: visit.now };
            match transfer::fetch(asked, &mut visit.primaries)? {
                Some(text) => (text, Validators::default()),
                None => return Ok(None),
            }
        }
    };
    if known.is_some_and(|known| known.content.published == published) {
        return Ok(None);
    }
    let signature = source.key.is_some().then(|| signature(source, limit)).transpose()?;
    let content = Content::new(source, published, validators, signature)?;
    not_replayed(&content, known)?;
    Ok(Some(content))
}

fn signature(source: &Config, limit: Duration) -> Result<Vec<u8>, Refusal> {
    const HINT: &str = "sign the list with: minisign -Sm FILE; or set `signature` to where it is";
    let missing = |what: String| Refusal::new(Reason::SignatureMissing, what, HINT);
    match &source.origin {
        Origin::File { signature, .. } => match read_file(signature, SIGNATURE_FILE) {
            Ok(raw) => Ok(raw.bytes().into_owned()),
            Err(error) => {
                Err(missing(format!("its signature {} cannot be read: {error}", signature.display())))
            }
        },
        // The configuration refuses a minisign key here: what is signed is the transfer.
        Origin::Zone(_) => Err(missing("a transferred zone has no minisign signature".to_owned())),
        Origin::Network(network) => {
            let Network { signature, .. } = network;
            let wrong = |refusal: Refusal, address: &Address| match refusal.reason {
                Reason::Status | Reason::Html | Reason::Empty => {
                    missing(format!("no signature at {address}: {}", refusal.what))
                }
                _ => Refusal { what: format!("its signature {address}: {}", refusal.what), ..refusal },
            };
            let request = Request {
                address: signature,
                network,
                known: None,
                cap: SIGNATURE_FILE,
                timeout: network.timeout.min(limit),
                signed: true,
            };
            match http::get(request).map_err(|refusal| wrong(refusal, signature))? {
                Reply::Body(bytes, _) => Ok(bytes),
                Reply::Unchanged => Err(missing(format!("no signature at {signature}"))),
            }
        }
    }
}

/// A list that was signed before the one in use is an old one, sent again: by mistake, or to lift a ban.
fn not_replayed(content: &Content, known: Option<&Kept>) -> Result<(), Refusal> {
    let signed_at = |content: &Content| content.signature.as_ref()?.seal.signed_at;
    match (known.and_then(|known| signed_at(&known.content)), signed_at(content)) {
        (Some(before), Some(now)) if now < before => Err(Refusal::new(
            Reason::Replayed,
            format!("it was signed at {}, before the list in use, signed at {}", date(now), date(before)),
            "if its publisher means to go back, the old list must be signed anew",
        )),
        _ => Ok(()),
    }
}

/// Seconds since 1970 as a date, or as they are.
pub(super) fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or(format!("second {seconds}"), |at| at.to_string())
}

fn unreadable(problem: &crate::problem::Problem) -> Refusal {
    Refusal::new(Reason::Io, problem.what.clone(), problem.hint.clone())
}
