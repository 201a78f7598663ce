//! Owns why records do not get where they should: a word each for the metric, and what to do about it. Never decides what becomes of them.

use std::io::{Error, ErrorKind};

use crate::net::tls::{Fault, TlsError};

/// Why a sink could not be written to. Also the last label of the metric that counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The collector's certificate does not count, for another reason than those below.
    Certificate,
    /// No authority that counts has signed it.
    CertificateAuthority,
    /// It has ended, or not begun.
    CertificateExpired,
    /// It is for another name.
    CertificateName,
    /// The collector wants a certificate of this resolver's, or another one.
    ClientCertificate,
    /// The other end has ended the connection.
    Closed,
    /// Nobody is there.
    Connect,
    /// The disk is full.
    Full,
    /// Anything else.
    Io,
    /// This process may not.
    Permission,
    /// The other end speaks something else.
    Protocol,
    /// The other end takes nothing, or does not answer.
    Timeout,
    /// One record is more than the other end takes.
    TooLarge,
}

impl Reason {
    /// Every reason.
    pub(super) const ALL: [Self; 13] = [
        Self::Certificate,
        Self::CertificateAuthority,
        Self::CertificateExpired,
        Self::CertificateName,
        Self::ClientCertificate,
        Self::Closed,
        Self::Connect,
        Self::Full,
        Self::Io,
        Self::Permission,
        Self::Protocol,
        Self::Timeout,
        Self::TooLarge,
    ];

    /// Why that happened.
    pub(super) fn of(error: &Error) -> Self {
        if let Some(fault) = fault(error) {
            return match fault {
                Fault::Authority => Self::CertificateAuthority,
                Fault::Certificate => Self::Certificate,
                Fault::Client => Self::ClientCertificate,
                Fault::Expired => Self::CertificateExpired,
                Fault::Name => Self::CertificateName,
                Fault::Protocol => Self::Protocol,
            };
        }
        match error.kind() {
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::UnexpectedEof => Self::Closed,
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NotConnected
            | ErrorKind::NotFound => Self::Connect,
            ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded | ErrorKind::StorageFull => Self::Full,
            ErrorKind::InvalidData => Self::Protocol,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Permission,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Timeout,
            _ if error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) => Self::TooLarge,
            _ => Self::Io,
        }
    }

    /// The word in the metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::CertificateAuthority => "certificate_authority",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateName => "certificate_name",
            Self::ClientCertificate => "client_certificate",
            Self::Closed => "closed",
            Self::Connect => "connect",
            Self::Full => "full",
            Self::Io => "io",
            Self::Permission => "permission",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
        }
    }
}

/// What to do about it; may be empty.
pub(super) fn hint(error: &Error) -> &'static str {
    if let Some(fault) = fault(error) {
        return fault.hint();
    }
    match Reason::of(error) {
        Reason::Connect => "is it running, and is this where it listens?",
        Reason::Full => "make room; lines are lost until there is some",
        Reason::Permission => "may the service's user write there?",
        Reason::Protocol => "is that the port, or the socket, for what is sent?",
        Reason::Timeout => "is it overloaded, or is a packet filter in the way?",
        _ => "",
    }
}

fn fault(error: &Error) -> Option<Fault> {
    error.get_ref()?.downcast_ref::<TlsError>().map(TlsError::fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_word_and_its_place_in_the_list() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        let mut words = Reason::ALL.map(Reason::as_str).to_vec();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(words.is_sorted());
    }

    #[test]
    fn the_systems_words_lead_to_ours() {
        for (number, reason) in [
            (28, Reason::Full),
            (90, Reason::TooLarge),
            (111, Reason::Connect),
            (13, Reason::Permission),
            (32, Reason::Closed),
        ] {
            assert_eq!(Reason::of(&Error::from_raw_os_error(number)), reason, "{number}");
        }
    }
}
