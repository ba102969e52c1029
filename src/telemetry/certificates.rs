//! Metrics of listeners with TLS: their certificates and the handshakes with clients.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Error, GaugeVec, IntCounterVec, Opts, Registry};

use super::registered::registered;
use crate::tls::Handshake;

/// A certificate of a listener.
pub struct ShownCertificate {
    /// The address of the listener.
    pub listener: String,
    /// Whether the handshakes of the listener are counted: those of the admin listener are not.
    pub is_public: bool,
    /// The first name of the certificate.
    pub name: String,
    /// The expiry in Unix time.
    pub expiry: i64,
}

/// The metric families about certificates.
pub(super) struct CertificateFamilies {
    handshakes: IntCounterVec,
    refused: IntCounterVec,
    expiry: GaugeVec,
}

impl CertificateFamilies {
    /// Registers the families. Series appear with the first certificate.
    ///
    /// # Errors
    /// If the registry has a family with one of the names.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let handshakes = IntCounterVec::new(
            Opts::new("tls_handshakes_total", "TLS handshakes with clients, by listener and result."),
            &["listener", "result"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "tls_certificates_refused_total",
                "TLS handshakes that clients broke off after they saw a certificate, by certificate.",
            ),
            &["listener", "certificate"],
        )?;
        let expiry = GaugeVec::new(
            Opts::new(
                "certificate_expiry_timestamp_seconds",
                "Unix time at which a listener's certificate expires.",
            ),
            &["listener", "certificate"],
        )?;
        Ok(Self {
            handshakes: registered(registry, handshakes)?,
            refused: registered(registry, refused)?,
            expiry: registered(registry, expiry)?,
        })
    }

    /// Counts a finished TLS handshake of this listener.
    pub fn handshake(&self, listener: &str, result: Handshake) {
        self.handshakes.with_label_values(&[listener, result.label()]).inc();
    }

    /// Counts a handshake that a client broke off after it saw the certificate of this name.
    pub fn refused(&self, listener: &str, certificate: &str) {
        self.refused.with_label_values(&[listener, certificate]).inc();
    }

    /// Replaces the certificates that are shown. Of several certificates with one name, the earliest expiry is
    /// shown.
    pub fn replace(&self, certificates: impl IntoIterator<Item = ShownCertificate>) {
        let mut first = BTreeMap::new();
        for ShownCertificate { listener, is_public, name, expiry } in certificates {
            let (first, _) = first.entry((listener, name)).or_insert((expiry, is_public));
            *first = expiry.min(*first);
        }
        self.expiry.reset();
        for ((listener, name), (expiry, is_public)) in first {
            self.expiry.with_label_values(&[&*listener, &*name]).set(expiry as f64);
            if is_public {
                for result in Handshake::ALL {
                    self.handshakes.with_label_values(&[&*listener, result.label()]);
                }
                self.refused.with_label_values(&[&*listener, &*name]);
            }
        }
    }

    /// Listener, name and expiry in Unix time of the certificates in use, the first to expire first.
    pub fn list(&self) -> Vec<(String, String, i64)> {
        let families = self.expiry.collect();
        let certificates = families.iter().flat_map(MetricFamily::get_metric).map(|metric| {
            let label = |name| {
                let found = metric.get_label().iter().find(|label| label.name() == name);
                found.map_or_else(String::new, |label| label.value().to_owned())
            };
            (label("listener"), label("certificate"), metric.get_gauge().get_value() as i64)
        });
        let mut certificates: Vec<_> = certificates.collect();
        certificates.sort_by_key(|(_, _, expiry)| *expiry);
        certificates
    }
}
