//! Owns what each ending of a transfer means to an operator: one of the reasons that all sources share, words, a hint.
//! Never decides what follows from it.

use std::io;
use std::time::Duration;

use super::stream::Fault;
use crate::dns::tsig;
use crate::sources::http;
use crate::sources::refusal::{Reason, Refusal};

/// A connection that fails, or ends too soon.
pub(super) fn connection(error: &io::Error, limit: Duration) -> Refusal {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return http::tls(inner);
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            let what = format!("the zone did not come whole within {} s", limit.as_secs_f32());
            Refusal::new(
                Reason::Timeout,
                what,
                "can this host reach the primary? if the way is slow, raise `timeout`",
            )
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Refusal::new(
                Reason::Truncated,
                "the primary ended the connection before the zone's end",
                "its log may say why",
            )
        }
        _ => Refusal::new(Reason::Connect, error.to_string(), "can this host reach the primary over TCP?"),
    }
}

/// A primary's name without an address.
pub(super) fn unresolved() -> Refusal {
    Refusal::new(Reason::Connect, "the primary's name does not resolve", "name it by its address")
}

/// More came than any zone within the cap takes.
pub(super) fn too_large(cap: u64) -> Refusal {
    http::too_large(cap)
}

/// A response that is wrong.
pub(super) fn response(fault: Fault, cap: u64) -> Refusal {
    let (reason, hint) = match fault {
        Fault::TooLarge => return too_large(cap),
        Fault::Rcode(_) => {
            (Reason::Status, "does the primary serve the zone, and let this host transfer it?")
        }
        Fault::Older { .. } => (
            Reason::Replayed,
            "if its owner means to go back, the serial must go forward all the same (RFC 1982)",
        ),
        _ => (Reason::Damaged, "ask the primary's operator; it is tried again by itself"),
    };
    Refusal::new(reason, fault.to_string(), hint)
}

/// A signature that does not count.
pub(super) fn signature(fault: tsig::Fault) -> Refusal {
    use tsig::Fault as F;
    let reason = match fault {
        F::Missing => Reason::SignatureMissing,
        F::BadKey | F::Peer(17) => Reason::SignatureKey,
        _ => Reason::SignatureWrong,
    };
    let hint = match fault {
        F::BadTime | F::Peer(18) => "set both clocks; five minutes of difference are allowed",
        F::Missing => "the primary must sign with the key named in `tsig`",
        _ => "name, algorithm and secret of the key must be the same at both ends",
    };
    Refusal::new(reason, format!("transaction signature: {fault}"), hint)
}
