//! Owns what keeps two ends of TLS apart, in the kinds that somebody can do something about. Never decides what follows from one.

use rustls::{AlertDescription, CertificateError, Error};

/// Why there is no session with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The server's certificate is signed by no authority that counts.
    Authority,
    /// The server's certificate does not count for another reason.
    Certificate,
    /// The server takes no client without a certificate, or not this one's.
    Client,
    /// The server's certificate has ended, or not begun.
    Expired,
    /// The server's certificate is for another name.
    Name,
    /// What the server speaks is no TLS, or no version or cipher that both know.
    Protocol,
}

impl Fault {
    /// What kind of fault it is.
    pub(super) fn of(error: &Error) -> Self {
        use AlertDescription as Alert;
        match error {
            Error::InvalidCertificate(why) => match why {
                CertificateError::UnknownIssuer => Self::Authority,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::Name
                }
                _ => Self::Certificate,
            },
            Error::AlertReceived(
                Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied,
            ) => Self::Client,
            _ => Self::Protocol,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Authority => "name the authority that signed the server's certificate with `ca`",
            Self::Certificate => "look at the server's certificate, and at those that lead to its authority",
            Self::Client => {
                "the server wants a certificate: name one that it knows with `certificate` and `key`"
            }
            Self::Expired => "renew the server's certificate; is this host's clock right?",
            Self::Name => "write the name that the certificate is for behind the address, as `#name`",
            Self::Protocol => "does the server speak TLS 1.2 or 1.3 at that port?",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_about_this_ends_certificate_are_told_from_faults_of_the_other_ends() {
        let alert = |alert| Fault::of(&Error::AlertReceived(alert));
        assert_eq!(alert(AlertDescription::CertificateRequired), Fault::Client);
        assert_eq!(alert(AlertDescription::UnknownCA), Fault::Client);
        assert_eq!(alert(AlertDescription::ProtocolVersion), Fault::Protocol);
        let certificate = |why| Fault::of(&Error::InvalidCertificate(why));
        assert_eq!(certificate(CertificateError::UnknownIssuer), Fault::Authority);
        assert_eq!(certificate(CertificateError::Expired), Fault::Expired);
        assert_eq!(certificate(CertificateError::NotValidForName), Fault::Name);
        assert_eq!(certificate(CertificateError::Revoked), Fault::Certificate);
    }
}
