//! Owns what each request is answered: who may ask, whether it is signed, and what there is to say (SOA, NS, AXFR, IXFR).
//! Never touches a socket.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::config::Config;
use super::metrics::{Asked, Refusal, Sent, Statistics};
use super::record::Record;
use super::request::{Malformed, Request};
use super::response::{Echo, Response};
use super::transfer::{Transfer, What};
use super::version::{Version, name_server};
use crate::clock::Clock;
use crate::dns::tsig::{Key, Verified, verify_request};
use crate::dns::{Class, Name, Rcode, RecordType};

/// What all sockets of the zone share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: Config,
    /// What every request must be signed with, if anything.
    pub(super) key: Option<Key>,
    pub(super) clock: Clock,
    /// `None` until the first version is there.
    pub(super) versions: watch::Receiver<Option<Arc<Version>>>,
    pub(super) statistics: Arc<Statistics>,
    /// Places for whole transfers.
    pub(super) whole: Semaphore,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// What is sent back.
#[derive(Debug)]
pub(super) enum Answer {
    Message(Vec<u8>),
    Nothing,
    Transfer(Box<Transfer>),
}

impl Server {
    /// Answers one request.
    pub(super) fn answer(&self, packet: &[u8], client: IpAddr, transport: Transport) -> Answer {
        let request = match Request::read(packet) {
            Ok(request) => request,
            Err(Malformed::Silent) => return Answer::Nothing,
            Err(Malformed::Answer(rcode)) => {
                self.statistics.refused(Refusal::Malformed);
                return Answer::Message(Response::bare(packet, rcode));
            }
        };
        self.statistics.asked(Asked::of(request.record_type));
        let echo = Echo::of(&request);
        let refuse = |why, rcode| {
            self.statistics.refused(why);
            Response::new(&echo, rcode).finish(echo.edns)
        };
        if !self.config.admits(client) {
            return Answer::Message(refuse(Refusal::Address, Rcode::REFUSED));
        }
        let now = self.clock.wall().as_second().unsigned_abs();
        let key = self.key.as_ref();
        let known = |name: &Name| key.filter(|key| key.name() == name).cloned();
        let signed = match verify_request(packet, known, now) {
            Ok(None) if key.is_some() => {
                return Answer::Message(refuse(Refusal::Unsigned, Rcode::REFUSED));
            }
            Ok(signed) => signed,
            Err(rejected) => {
                tracing::warn!(%client, why = %rejected.fault, "a request for the zone is not signed as it should be");
                let mut message = refuse(Refusal::Signature, rejected.rcode());
                rejected.sign(&mut message, now);
                return Answer::Message(message);
            }
        };
        let one = |mut message: Vec<u8>| {
            if let Some(signed) = &signed {
                signed.sign(&mut message, now);
            }
            if transport == Transport::Udp && message.len() > request.udp_limit() {
                message = Response::truncated(&echo);
                if let Some(signed) = &signed {
                    signed.sign(&mut message, now);
                }
            }
            Answer::Message(message)
        };
        if request.name.as_wire() != self.config.name.as_wire() || request.class != Class::IN {
            return one(refuse(Refusal::Name, Rcode::REFUSED));
        }
        let Some(version) = self.versions.borrow().clone() else {
            return one(refuse(Refusal::Loading, Rcode::SERVFAIL));
        };
        let soa = || {
            let mut response = Response::new(&echo, Rcode::NOERROR);
            response.add_soa(version.head);
            response.finish(echo.edns)
        };
        match (request.record_type, transport) {
            (RecordType::SOA, _) => one(soa()),
            (RecordType::NS, _) => {
                let mut response = Response::new(&echo, Rcode::NOERROR);
                let ttl = version.head.ttl;
                response.add(&Record { owner: b"", record_type: RecordType::NS, ttl, rdata: name_server() });
                one(response.finish(echo.edns))
            }
            // The version's SOA alone: whoever has another comes by TCP (RFC 1995 section 2).
            (RecordType::IXFR, Transport::Udp) => one(soa()),
            (RecordType::IXFR, Transport::Tcp) => {
                let steps = version.steps_from(request.serial.unwrap_or_default());
                if steps.as_ref().is_some_and(Vec::is_empty) {
                    self.statistics.sent(Sent::Current);
                    return one(soa());
                }
                let what = steps.map_or(What::Whole, What::Differences);
                self.transfer(version, what, echo, signed.as_ref())
            }
            (RecordType::AXFR, Transport::Tcp) => self.transfer(version, What::Whole, echo, signed.as_ref()),
            _ => one(refuse(Refusal::Name, Rcode::REFUSED)),
        }
    }

    fn transfer(&self, version: Arc<Version>, what: What, echo: Echo, signed: Option<&Verified>) -> Answer {
        let signer = signed.map(Verified::stream);
        Answer::Transfer(Box::new(Transfer { version, what, echo, signer, clock: self.clock.clone() }))
    }
}
