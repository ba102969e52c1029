//! How the connections of a listener are served.

use std::sync::Arc;

use http::HeaderValue;
use tokio_rustls::TlsAcceptor;

use super::settings::ListenerSettings;
use crate::tls::Tickets;
use crate::trusted_proxies::TrustedProxies;

/// A listener's configuration, prepared. A connection keeps that under which it was accepted.
pub struct Listener {
    /// Its address as configured: its label in metrics.
    pub label: Box<str>,
    /// What makes handshakes; none where it speaks plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// Whether HTTP/2 is spoken in clear text.
    pub h2c: bool,
    /// The proxies before it.
    pub trusted_proxies: Option<TrustedProxies>,
    /// Whether requests without TLS are sent to `https://`.
    pub redirect_to_https: bool,
    /// `Strict-Transport-Security`.
    pub hsts: Option<HeaderValue>,
}

impl Listener {
    /// Prepares a listener. `tickets` are those of the process.
    ///
    /// # Errors
    /// [`rustls::Error`] where TLS cannot be set up, for which there is no reason once the
    /// configuration has loaded.
    pub fn new(listener: &ListenerSettings, tickets: &Tickets) -> Result<Self, rustls::Error> {
        let tls = listener.tls.as_ref().map(|tls| tls.server_config(tickets)).transpose()?;
        let hsts = listener.hsts.map(|hsts| HeaderValue::try_from(hsts.to_string()));
        Ok(Self {
            label: listener.address.to_string().into(),
            tls: tls.map(TlsAcceptor::from),
            h2c: listener.h2c,
            trusted_proxies: listener.trusted_proxies.clone(),
            redirect_to_https: listener.redirect_to_https,
            // Digits, letters and blanks are always a field value.
            hsts: hsts.and_then(Result::ok),
        })
    }

    /// The scheme of its URLs.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// A listener whose settings a reload replaces.
pub type SharedListener = Arc<arc_swap::ArcSwap<Listener>>;
