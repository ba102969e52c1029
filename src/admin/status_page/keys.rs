//! The part of the page about certificates and keys.

use jiff::Timestamp;
use serde::Serialize;

use crate::proxy::Snapshot;
use crate::telemetry::Metrics;

/// A certificate that expires within so many days is a problem.
const TOO_FEW_DAYS: i64 = 3;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct CertificateReport {
    pub listener: String,
    pub name: String,
    pub expires: String,
    /// Whole days; negative for a certificate that has expired.
    pub days_left: i64,
}

/// A key that verifies tokens.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct KeyReport {
    /// The origin that has keys of its own; `None` for the keys of all other origins.
    pub origin: Option<String>,
    /// The `kid`, if the key has one.
    pub id: Option<String>,
    pub algorithm: &'static str,
    /// `attested` or `failed_attestation`.
    pub role: &'static str,
}

/// A set of keys that is fetched.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct KeySetReport {
    pub name: String,
    /// Usable keys; 0 if no set was loaded yet.
    pub keys: i64,
    /// When the set was last fetched, perhaps by an earlier process.
    pub fetched: Option<String>,
    pub fetched_seconds_ago: Option<i64>,
}

impl KeySetReport {
    pub fn all(metrics: &Metrics, now: Timestamp) -> Vec<Self> {
        let report = |(name, keys, fetched)| {
            let fetched = Timestamp::from_second(fetched).ok().filter(|fetched| fetched.as_second() > 0);
            Self {
                name,
                keys,
                fetched: fetched.map(|fetched| fetched.to_string()),
                fetched_seconds_ago: fetched.map(|fetched| now.as_second() - fetched.as_second()),
            }
        };
        metrics.key_sets().into_iter().map(report).collect()
    }

    pub fn problem(&self) -> Option<String> {
        let name = &self.name;
        (self.keys == 0)
            .then(|| format!("key set {name} is not loaded; the log says why it cannot be fetched"))
    }
}

impl CertificateReport {
    /// The certificates of all listeners, the first to expire first.
    pub fn all(metrics: &Metrics, now: Timestamp) -> Vec<Self> {
        let certificates = metrics.certificate_list().into_iter();
        let report = |(listener, name, expiry)| {
            let expires = Timestamp::from_second(expiry).unwrap_or(Timestamp::MAX);
            let days_left = (expires.as_second() - now.as_second()).div_euclid(24 * 60 * 60);
            Self { listener, name, expires: expires.to_string(), days_left }
        };
        certificates.map(report).collect()
    }

    pub fn problem(&self) -> Option<String> {
        let Self { listener, name, days_left, .. } = self;
        match days_left {
            ..0 => Some(format!("certificate {name} of {listener} has expired")),
            0..TOO_FEW_DAYS => Some(format!("certificate {name} of {listener} expires in {days_left} days")),
            _ => None,
        }
    }
}

impl KeyReport {
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        let keys = snapshot.keys().map(|(origin, key)| Self {
            origin: origin.map(str::to_owned),
            id: key.id().map(str::to_owned),
            algorithm: key.algorithm().label(),
            role: key.role().label(),
        });
        keys.collect()
    }
}
