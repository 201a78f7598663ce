//! Ask others: upstream, question, forward, asking. Owns the talk with other resolvers and hands back what of their
//! bytes answers the question. Never caches, never joins identical questions, never looks at the policy.
//!
//! # A question's way
//!
//! `forward` takes it on the caller's thread → `servers` chooses → `ports` draws a socket, `place` an id, and the query
//! leaves. The thread of `receive` waits for all sockets at once: `place` matches what comes to a try, `asking` tells who
//! asked, or asks the next server. What no datagram tells, a sweep finds; what is late by its server's own measure, `hedge` does, and
//! another is asked beside it. Of what comes, `scrub` leaves what belongs to the question. Truncated answers, and questions whose port
//! somebody tries to guess, are asked again over `tcp`, on the runtime; servers that are asked over TCP, TLS, HTTPS or QUIC
//! alone have connections that are `kept`.
//!
//! Servers in clear may be asked inside of TLS where they speak it (`private`).
//!
//! With validation, `resolver` gives it to `secure`, which asks in the same way for whatever the chain of trust takes; in recursion
//! to `recurse`, which asks the authoritative servers themselves.
//!
//! Descriptors: at most 128 sockets to an upstream, 512 to all (16 each when there are more than 32 upstreams), opened
//! when there are questions and closed within 5 s after; and at most 256 connections. With fewer, questions share what
//! sockets there are, and a warning says so.

/// What keeps the library below quiet in a log, in the form of a filter of `tracing`.
pub const QUIET: &str = "hickory_net=off,hickory_proto=off,hickory_resolver=off";

mod answer;
mod asking;
mod dns64;
mod forward;
mod health;
mod hedge;
mod kept;
mod metrics;
mod place;
mod ports;
mod private;
mod question;
mod random;
mod receive;
mod recurse;
mod resolver;
mod scrub;
mod secure;
mod servers;
mod tcp;
mod upstream;
mod way;

pub use answer::kept_of;
pub use forward::{Ask, Failure, Forwarder, ShownUpstream};
pub use metrics::METRICS;
pub use question::{Response, Then};
pub use resolver::Resolver;
pub use secure::{Exempt, TrustAnchor, TrustState, rewritten};
pub use upstream::{Config, Dnssec, Mode, Protocol, Route, Upstream, system_servers};
