//! Owns one look at a zone: asked for the differences since the version at hand, or for all of it where there is none or
//! they do not fit. Blocks for a bounded time; never keeps anything.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::config::{Transfer, TsigKey};
use super::connection::{Connection, Deadline, resolve};
use super::refused;
use super::soa::Soa;
use super::stream::{Fault, Reader, Received, Request};
use super::zone;
use crate::dns::tsig::{self, Key};
use crate::dns::{Message, is_newer_serial};
use crate::formats::Text;
use crate::sources::refusal::{Reason, Refusal};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::sources) struct Asked<'a> {
    /// Where, and how.
    pub(in crate::sources) transfer: &'a Transfer,
    /// The zone's text at hand.
    pub(in crate::sources) known: Option<&'a Text>,
    /// Most bytes of its text.
    pub(in crate::sources) cap: u64,
    /// Longest time for all of it.
    pub(in crate::sources) limit: Duration,
    /// The time, which signatures hold.
    pub(in crate::sources) now: Timestamp,
}

/// Why there is no zone.
enum Failure {
    /// Another way may still do.
    Response(Fault),
    /// None will.
    Refused(Refusal),
}

/// Bytes on the way for each byte of text that the cap allows: names may come uncompressed, differences say things twice.
const OVERHEAD: u64 = 4;

/// Looks at a zone; its text when there is a newer version. Notes in `primaries` where the primary is.
pub(in crate::sources) fn fetch(
    asked: Asked<'_>,
    primaries: &mut Vec<IpAddr>,
) -> Result<Option<Text>, Refusal> {
    let zone = &asked.transfer.address.zone;
    let deadline = Deadline::after(asked.transfer.timeout.min(asked.limit));
    let key = asked.transfer.key.as_ref().map(TsigKey::load).transpose()?;
    *primaries = resolve(asked.transfer, &deadline)?;
    let visit = Visit { asked, key, deadline, primaries };
    let known = asked.known.and_then(|text| Some((text, zone::head(text.rest(0), zone)?)));
    let known = match known {
        None => None,
        Some((text, soa)) => {
            let received = visit.request(Some(&soa)).and_then(|received| match received {
                Received::Changes(differences) => {
                    let text = differences.apply(text, zone).map_err(Failure::Response)?;
                    Ok(Some(text))
                }
                Received::Unchanged => Ok(None),
                Received::Whole(_, text) => Ok(Some(text)),
            });
            match received {
                Ok(Some(text)) => return visit.within_cap(text).map(Some),
                Ok(None) => return Ok(None),
                Err(Failure::Refused(refusal)) if refusal.reason == Reason::Truncated => {
                    // Some end the connection when they do not know IXFR.
                    tracing::debug!(%zone, "no differences came; the whole zone is asked for");
                }
                Err(Failure::Refused(refusal)) => return Err(refusal),
                Err(Failure::Response(fault @ (Fault::Older { .. } | Fault::TooLarge))) => {
                    return Err(refused::response(fault, asked.cap));
                }
                Err(Failure::Response(fault)) => {
                    tracing::debug!(%zone, %fault, "no differences; the whole zone is asked for");
                }
            }
            Some(soa)
        }
    };
    visit.whole(known.as_ref())
}

/// One look.
struct Visit<'a> {
    asked: Asked<'a>,
    key: Option<Key>,
    deadline: Deadline,
    primaries: &'a [IpAddr],
}

impl Visit<'_> {
    /// The whole zone, unless it is no newer than what is known.
    fn whole(&self, known: Option<&Soa>) -> Result<Option<Text>, Refusal> {
        let refuse = |fault| refused::response(fault, self.asked.cap);
        match (self.request(None), known) {
            (Err(Failure::Refused(refusal)), _) => Err(refusal),
            (Err(Failure::Response(fault)), _) => Err(refuse(fault)),
            (Ok(Received::Whole(soa, _)), Some(known)) if soa.serial == known.serial => Ok(None),
            (Ok(Received::Whole(soa, _)), Some(known)) if !is_newer_serial(soa.serial, known.serial) => {
                Err(refuse(Fault::Older { offered: soa.serial, known: known.serial }))
            }
            (Ok(Received::Whole(_, text)), _) => self.within_cap(text).map(Some),
            // The reader makes nothing else of a response to AXFR.
            (Ok(Received::Changes(_) | Received::Unchanged), _) => Err(refuse(Fault::Stranger)),
        }
    }

    /// The text unless it is too long; in as many pieces of the one at hand as it can be.
    fn within_cap(&self, text: Text) -> Result<Text, Refusal> {
        if text.len() as u64 > self.asked.cap {
            return Err(refused::too_large(self.asked.cap));
        }
        Ok(match self.asked.known {
            Some(known) => text.sharing(known),
            None => text,
        })
    }

    /// One request and its response, over a connection of its own: many primaries end it behind a response.
    fn request(&self, known: Option<&Soa>) -> Result<Received, Failure> {
        let Asked { transfer, cap, .. } = self.asked;
        let request = Request { id: fastrand::u16(..), zone: &transfer.address.zone, known };
        let mut message = request.message();
        let mut verifier = self.key.as_ref().map(|key| tsig::sign_request(&mut message, key, self.now()));
        let mut connection =
            Connection::open(transfer, self.primaries, &self.deadline).map_err(Failure::Refused)?;
        connection.send(&message).map_err(Failure::Refused)?;
        let mut reader = Reader::new(request, cap);
        let mut received = 0;
        loop {
            connection.receive(&mut message).map_err(Failure::Refused)?;
            received += message.len() as u64 + 2;
            if received > cap.saturating_mul(OVERHEAD).saturating_add(u64::from(u16::MAX)) {
                return Err(Failure::Refused(refused::too_large(cap)));
            }
            if let Some(verifier) = &mut verifier
                && let Err(fault) = verifier.verify(&message, self.now())
            {
                return Err(unsigned(fault, &message));
            }
            if reader.read(&message).map_err(Failure::Response)? {
                break;
            }
        }
        if let Some(verifier) = verifier {
            verifier.finish().map_err(|fault| Failure::Refused(refused::signature(fault)))?;
        }
        reader.finish().ok_or(Failure::Response(Fault::Broken))
    }

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        u64::try_from(self.asked.now.as_second()).unwrap_or(0) + self.deadline.elapsed()
    }
}

/// A primary that does not sign its refusal still says why.
fn unsigned(fault: tsig::Fault, message: &[u8]) -> Failure {
    let rcode = Message::new(message).map_or(0, |message| message.flags().rcode().0);
    match fault {
        // Nothing of it is used but the word; at worst the whole zone is asked for in vain.
        tsig::Fault::Missing if rcode != 0 => Failure::Response(Fault::Rcode(rcode)),
        fault => Failure::Refused(refused::signature(fault)),
    }
}
