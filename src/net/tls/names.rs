//! Owns the names on a client's certificate. Never checks one: it is handed what was checked.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The attribute commonName (RFC 5280 section 4.1.2.4, RFC 4519 section 2.3).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The names on the certificate in `der`: its subject's common name, then its alternative names for hosts, mailboxes and URIs
/// (RFC 5280 section 4.2.1.6), each once. None when it cannot be read.
pub(super) fn names(der: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(der) else { return Vec::new() };
    let subject = certificate.tbs_certificate().subject();
    let common = subject.iter_rdn().flat_map(|rdn| rdn.iter().cloned().collect::<Vec<_>>());
    let common = common.filter(|attribute| attribute.oid == COMMON_NAME);
    let mut names: Vec<String> =
        common.filter_map(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok()).collect();
    let alternative = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    for name in alternative.ok().flatten().map(|(_, names)| names.0).unwrap_or_default() {
        match name {
            GeneralName::DnsName(text) => names.push(text.to_string().to_ascii_lowercase()),
            GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
                names.push(text.to_string());
            }
            _ => {}
        }
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn the_subject_comes_first_and_each_name_once() {
        let mut params = CertificateParams::new(vec!["Laptop-7.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "laptop-7.example");
        params.distinguished_name.push(DnType::OrganizationName, "A ministry");
        params.subject_alt_names.push(SanType::Rfc822Name("someone@example".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress([192, 0, 2, 1].into()));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(names(made.der()), ["laptop-7.example", "someone@example"]);
        assert!(names(b"no certificate").is_empty());
    }
}
