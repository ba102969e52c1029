//! How the connections of a listener are served.

use std::sync::Arc;

use http::HeaderValue;
use tokio_rustls::TlsAcceptor;

use super::settings::ListenerSettings;
use crate::tls::{ServerTls, ShownCertificates, Tickets};
use crate::trusted_proxies::TrustedProxies;

/// The settings of a listener, prepared for use. A connection keeps the settings under which it was
/// accepted.
pub struct Listener {
    /// The address as configured, which is the listener's label in metrics.
    pub label: Box<str>,
    /// The TLS settings; `None` for plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// The certificates that clients see; `None` for plain HTTP.
    pub certificates: Option<ShownCertificates>,
    /// Whether clients may speak HTTP/2 without TLS.
    pub h2c: bool,
    /// The proxies in front of the listener.
    pub trusted_proxies: Option<TrustedProxies>,
    /// Whether requests without TLS are redirected to `https://`.
    pub redirect_to_https: bool,
    /// The value of the field `Strict-Transport-Security`.
    pub hsts: Option<HeaderValue>,
}

impl Listener {
    /// Prepares a listener. `tickets` are the session tickets of the process.
    ///
    /// # Errors
    /// If rustls cannot use the certificates. The configuration has been checked for that.
    pub fn new(listener: &ListenerSettings, tickets: &Tickets) -> Result<Self, rustls::Error> {
        let tls = listener.tls.as_ref().map(|tls| tls.server_config(tickets)).transpose()?;
        let hsts = listener.hsts.map(|hsts| HeaderValue::try_from(hsts.to_string()));
        Ok(Self {
            label: listener.address.to_string().into(),
            tls: tls.map(TlsAcceptor::from),
            certificates: listener.tls.as_ref().map(ServerTls::shown_certificates),
            h2c: listener.h2c,
            trusted_proxies: listener.trusted_proxies.clone(),
            redirect_to_https: listener.redirect_to_https,
            // The text of `Hsts` is always a valid field value.
            hsts: hsts.and_then(Result::ok),
        })
    }

    /// The scheme of the listener's URLs.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// A listener whose settings a reload replaces.
pub type SharedListener = Arc<arc_swap::ArcSwap<Listener>>;
