//! Owns what an operator is told of certificates before anybody is served: of the server's own, and of authorities for clients'. Never keeps
//! one.

use std::sync::Arc;

use jiff::Timestamp;

use super::open::{Listener, Protocol};
use crate::net::tls::{Application, Authority, CertificateError, Files, Renewable, Server};
use crate::problem::{Place, Problem};

/// Reads the certificate that clients are shown, if there is one.
pub fn read_certificate(files: Option<Files>) -> Result<Option<Arc<Renewable>>, Vec<Problem>> {
    let read = files.map(Renewable::read).transpose();
    read.map(|certificate| certificate.map(Arc::new)).map_err(|error| vec![complaint("[tls]", &error)])
}

/// Everything that is wrong with the certificate and with authorities for clients', those of proxies too, and a warning when the certificate ends soon.
pub fn check_certificates(
    files: Option<Files>,
    listeners: &[Listener],
    of_proxies: Vec<Authority>,
    now: Timestamp,
) -> Vec<Problem> {
    let certificate = match read_certificate(files) {
        Ok(Some(certificate)) => certificate,
        Ok(None) => return Vec::new(),
        Err(problems) => return problems,
    };
    let authorities = listeners.iter().filter_map(|listener| Some((listener, listener.clients.clone()?)));
    let refused = authorities.filter_map(|(listener, authority)| {
        let application = match listener.protocol {
            Protocol::Doh => Application::Http,
            Protocol::Doh3 => Application::Http3,
            Protocol::Doq => Application::Doq,
            Protocol::Do53 | Protocol::Dot => Application::Dot,
        };
        let error = Server::new(Arc::clone(&certificate), application, Some(authority)).err()?;
        Some(complaint("[[listener]]", &error))
    });
    let of_proxies = of_proxies.into_iter().filter_map(|authority| {
        let error = Server::new(Arc::clone(&certificate), Application::Http1, Some(authority)).err()?;
        Some(complaint("[[proxy]]", &error))
    });
    refused.chain(of_proxies).chain(ends_soon(&certificate, now)).collect()
}

/// A warning when the certificate ends soon.
pub fn ends_soon(certificate: &Renewable, now: Timestamp) -> Option<Problem> {
    /// Seconds before its end at which a certificate should long be renewed: authorities that issue for 90 days ask for it
    /// after 60, those that issue for a week are not used here.
    const SOON: i64 = 14 * 86_400;
    let left = certificate.expires() - now.as_second();
    let what = match left {
        i64::MIN..0 => "the certificate has ended: clients refuse it".to_owned(),
        0..SOON => format!("the certificate ends in {} days", left / 86_400),
        _ => return None,
    };
    let place = Place::file(certificate.files().certificate.display().to_string());
    Some(Problem::warning(place, what, "renew it in place: a changed file is picked up by itself"))
}

/// A warning when the certificate was read as root, and its renewal could not be read any more.
pub fn not_renewable(certificate: &Renewable) -> Option<Problem> {
    let error = certificate.readable().err()?;
    let what = format!("a renewed certificate will not be picked up: {error}");
    Some(Problem::warning(Place::file("[tls]"), what, error.hint()))
}

fn complaint(table: &str, error: &CertificateError) -> Problem {
    Problem::error(Place::file(table), error.to_string(), error.hint())
}
