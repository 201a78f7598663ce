//! Owns this process's certificate, as a server or as a client: read from PEM files, checked against its key, renewed in place when the files change.
//! Never lets a pair that does not fit replace one that does.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those that lead to its authority, in PEM, its own first.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("`{}` cannot be read: {cause}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file holds nothing of the kind.
    #[error("`{}` holds no {what} in PEM form", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A certificate's bytes are none.
    #[error("the certificate in `{}` is malformed", .0.display())]
    Malformed(PathBuf),
    /// The library takes none of it.
    #[error("TLS cannot be set up: {0}")]
    Settings(rustls::Error),
    /// The key is of a kind that cannot sign here, or belongs to another certificate.
    #[error("the key in `{}` does not go with the certificate: {cause}", key.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
}

/// A certificate whose files are looked at again from time to time. Handshakes under way and open connections keep the one
/// they began with.
pub struct Renewable {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
    known: Mutex<Known>,
}

/// What is known of the files.
struct Known {
    /// What the files looked like when they were last read.
    stamps: [Option<Stamp>; 2],
    expires: i64,
}

/// What tells a changed file: device and inode, size, time of change in nanoseconds.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

/// Longest file of either kind in bytes; a chain of four certificates has about 8 KB.
const LONGEST: u64 = 1 << 20;

impl Renewable {
    /// Reads the files for the first time.
    pub fn read(files: Files) -> Result<Self, CertificateError> {
        let stamps = stamps(&files);
        let (key, expires) = read(&files)?;
        Ok(Self { files, current: RwLock::new(key), known: Mutex::new(Known { stamps, expires }) })
    }

    /// Reads the files again when they have changed since they were last read. Says whether a new pair is in use from now
    /// on; after an error the one before stays, and the files are not read again until they change once more.
    pub fn renew(&self) -> Result<bool, CertificateError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.files);
        if stamps == known.stamps {
            return Ok(false);
        }
        known.stamps = stamps;
        let (key, expires) = read(&self.files)?;
        known.expires = expires;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.cert != key.cert;
        *current = key;
        Ok(changed)
    }

    /// When the certificate in use ends, in seconds of Unix time.
    pub fn expires(&self) -> i64 {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).expires
    }

    /// Where it is read from.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Fails when this process, as the user that it is now, could not read the files again.
    pub fn readable(&self) -> Result<(), CertificateError> {
        for path in [&self.files.certificate, &self.files.key] {
            File::open(path)
                .map(drop)
                .map_err(|cause| CertificateError::Unreadable { path: path.clone(), cause })?;
        }
        Ok(())
    }
}

impl ResolvesServerCert for Renewable {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Shown to every server that asks for one, whoever's it says that it takes.
impl ResolvesClientCert for Renewable {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Renewable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewable").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps(files: &Files) -> [Option<Stamp>; 2] {
    [&files.certificate, &files.key].map(|path| stamp(path))
}

/// What a file looks like; `None` when there is none.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

/// The certificate with its key, and when it ends.
fn read(files: &Files) -> Result<(Arc<CertifiedKey>, i64), CertificateError> {
    let (certificates, key) = (bytes(&files.certificate)?, bytes(&files.key)?);
    let empty = |path: &Path, what| CertificateError::Empty { path: path.to_owned(), what };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificates)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Malformed(files.certificate.clone()))?;
    let own = chain.first().ok_or_else(|| empty(&files.certificate, "certificate"))?;
    let expires = Certificate::from_der(own)
        .map_err(|_| CertificateError::Malformed(files.certificate.clone()))?
        .tbs_certificate()
        .validity()
        .not_after
        .to_unix_duration()
        .as_secs();
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| empty(&files.key, "private key"))?;
    let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|cause| CertificateError::Mismatch { key: files.key.clone(), cause })?;
    Ok((Arc::new(pair), i64::try_from(expires).unwrap_or(i64::MAX)))
}

/// A file's bytes, as far as they count.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map_err(|cause| CertificateError::Unreadable { path: path.to_owned(), cause })?;
    Ok(bytes)
}

impl CertificateError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "name a file that the service's user may read",
            Self::Empty { .. } | Self::Malformed(_) => {
                "the file begins with -----BEGIN …-----; the server's own certificate stands first"
            }
            Self::Settings(_) => "",
            Self::Mismatch { .. } => "both files must come from the same request for a certificate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let pair = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(folder.join("cert.pem"), &pair.0).unwrap();
        std::fs::write(folder.join("key.pem"), &pair.1).unwrap();
        pair
    }

    fn files(folder: &Path) -> Files {
        Files { certificate: folder.join("cert.pem"), key: folder.join("key.pem") }
    }

    #[test]
    fn a_renewed_pair_replaces_the_old_and_half_of_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.example");
        let renewable = Renewable::read(files(folder.path())).unwrap();
        let current = || Arc::clone(&renewable.current.read().unwrap()).cert.clone();
        let first = current();
        assert!(renewable.expires() > 1_700_000_000);
        assert!(!renewable.renew().unwrap(), "nothing changed");
        // Only the certificate has been renewed so far.
        let (_, key) = {
            let before = File::open(folder.path().join("key.pem")).unwrap();
            let mut text = String::new();
            io::BufReader::new(before).read_to_string(&mut text).unwrap();
            let pair = write(folder.path(), "two.example");
            std::fs::write(folder.path().join("key.pem"), text).unwrap();
            pair
        };
        assert!(matches!(renewable.renew(), Err(CertificateError::Mismatch { .. })));
        assert_eq!(current(), first);
        assert!(!renewable.renew().unwrap(), "complained of once");
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
        assert!(renewable.renew().unwrap());
        assert_ne!(current(), first);
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let said = |files| Renewable::read(files).unwrap_err();
        assert!(matches!(said(files(folder.path())), CertificateError::Unreadable { .. }));
        write(folder.path(), "one.example");
        std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
        assert!(matches!(said(files(folder.path())), CertificateError::Empty { what: "certificate", .. }));
        write(folder.path(), "one.example");
        std::fs::write(folder.path().join("key.pem"), "no key").unwrap();
        assert!(matches!(said(files(folder.path())), CertificateError::Empty { what: "private key", .. }));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        write(folder.path(), "one.example");
        std::fs::write(folder.path().join("cert.pem"), broken).unwrap();
        assert!(matches!(said(files(folder.path())), CertificateError::Malformed(_)));
    }
}
