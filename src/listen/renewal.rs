//! Owns the watch over the certificate's files, and its numbers. Never touches an open connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::net::tls::{Renewable, Server};
use crate::telemetry::{Collect, Kind, Metric, Sample};

/// Looks after one certificate.
#[derive(Debug)]
pub struct Renewal {
    certificate: Arc<Renewable>,
    servers: Vec<Arc<Server>>,
    renewed: AtomicU64,
    failed: AtomicU64,
}

/// Time between two looks at the files: two system calls.
const PERIOD: Duration = Duration::from_secs(2);

pub(super) static EXPIRES: Metric = Metric {
    name: "interdict_tls_certificate_expiry_timestamp_seconds",
    help: "When the certificate that clients are shown ends.",
    kind: Kind::Gauge,
    labels: &[],
};
pub(super) static RENEWALS: Metric = Metric {
    name: "interdict_tls_certificate_renewals_total",
    help: "Times the certificate's files had changed, by whether they could be used.",
    kind: Kind::Counter,
    labels: &["result"],
};

impl Renewal {
    /// For `certificate`, and the settings of those that show it.
    pub fn new(certificate: Arc<Renewable>, servers: Vec<Arc<Server>>) -> Arc<Self> {
        Arc::new(Self { certificate, servers, renewed: AtomicU64::new(0), failed: AtomicU64::new(0) })
    }

    /// Looks after it until `stop` changes.
    pub async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                _ = stop.changed() => return,
            }
            let this = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                tracing::error!("looking at the certificate failed");
            }
        }
    }

    fn look(&self) {
        self.look_at_authorities();
        let file = self.certificate.files().certificate.display();
        match self.certificate.renew() {
            Ok(false) => {}
            Ok(true) => {
                self.renewed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(certificate = %file, expires = self.certificate.expires(), "a renewed certificate is in use");
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, hint = error.hint(), "the certificate's files have changed and cannot be used; the one before stays in use");
            }
        }
    }
}

impl Renewal {
    /// Authorities' files, as the certificate's own.
    fn look_at_authorities(&self) {
        for server in &self.servers {
            match server.renew() {
                Ok(false) => {}
                Ok(true) => tracing::info!("clients' certificates are checked by changed files"),
                Err(error) => {
                    tracing::error!(%error, hint = error.hint(), "an authority's files have changed and cannot be used; those before stay in use");
                }
            }
        }
    }
}

impl Collect for Renewal {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let sample = |metric, label: Option<&str>, value| Sample {
            metric,
            labels: label.map(str::to_owned).into_iter().collect(),
            value,
        };
        samples.push(sample(&EXPIRES, None, self.certificate.expires() as f64));
        for (result, count) in [("failed", &self.failed), ("renewed", &self.renewed)] {
            samples.push(sample(&RENEWALS, Some(result), count.load(Ordering::Relaxed) as f64));
        }
    }
}
