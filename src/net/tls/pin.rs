//! Owns the keys that a server may have: one that is none of them is somebody else's, whoever certified it (RFC 7858 section 4.2). Never takes
//! the place of the check of the certificate itself.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// SHA-256 of a SubjectPublicKeyInfo (RFC 7469 section 2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin([u8; 32]);

impl FromStr for Pin {
    type Err = String;

    /// In base 64, as `openssl dgst -sha256 -binary | base64` shows it.
    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| format!("`{text}` is not the SHA-256 of a key in base 64"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// Takes certificates that count, with a key that was named.
#[derive(Debug)]
pub(super) struct Pinned {
    inner: Arc<WebPkiServerVerifier>,
    pins: Vec<Pin>,
}

impl Pinned {
    pub(super) fn new(inner: Arc<WebPkiServerVerifier>, pins: &[Pin]) -> Self {
        Self { inner, pins: pins.to_vec() }
    }
}

fn pin(certificate: &[u8]) -> Option<Pin> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let key = certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
    Some(Pin(Sha256::digest(key).into()))
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let is_pinned = pin(end_entity).is_some_and(|pin| self.pins.contains(&pin));
        let other = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        if is_pinned { Ok(verified) } else { Err(other) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_the_digest_of_a_key() {
        let made = rcgen::generate_simple_self_signed(vec!["dns.example".to_owned()]).unwrap();
        let found = pin(made.cert.der()).unwrap();
        assert_eq!(format!("{found:?}").parse(), Ok(found));
        assert_eq!(pin(b"no certificate"), None);
        for wrong in ["", "AAAA", "not base 64", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="] {
            assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
        }
    }
}
