//! Arrival: the first state of a request, when its head is known and nothing is decided.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;

use super::client::Client;
use super::correlation::Correlation;
use super::head::RequestHead;
use super::snapshot::Snapshot;
use crate::admission::ClientKey;
use crate::downstream::{Connection, TlsSession};

/// What is known when the head of a request has arrived.
#[derive(Clone)]
pub(super) struct Arrival {
    /// The configuration of this request. The request keeps it, so a reload never splits a request.
    pub snapshot: Arc<Snapshot>,
    /// The time at which the head arrived.
    pub started: Instant,
    /// The connection of the request.
    pub connection: Arc<Connection>,
    /// The client that sent the request.
    pub client: Client,
    /// The ids of the request.
    pub correlation: Correlation,
}

impl Arrival {
    /// A request with this head.
    pub fn new(
        snapshot: Arc<Snapshot>,
        started: Instant,
        connection: Arc<Connection>,
        head: &impl RequestHead,
    ) -> Self {
        let client = Client::of(&connection, head);
        let correlation = Correlation::of(&snapshot.correlation, &client, head);
        Self { snapshot, started, connection, client, correlation }
    }

    /// The client, as limits count it.
    pub fn client_key(&self) -> ClientKey {
        let address = self.client.address;
        let proxies = self.connection.listener.trusted_proxies.as_ref();
        let is_proxy = proxies.is_some_and(|proxies| proxies.trusts(address));
        self.snapshot.limits.client_key(address, is_proxy)
    }

    /// The TLS session of the connection.
    pub fn tls(&self) -> Option<&TlsSession> {
        self.connection.tls.as_deref()
    }

    /// Whether the request came without TLS to a listener that redirects to `https://`.
    pub fn needs_tls(&self) -> bool {
        self.connection.listener.redirect_to_https && !self.client.is_secure
    }

    /// The value of `Strict-Transport-Security`, which is sent over TLS only (RFC 6797 §7.2).
    pub fn hsts(&self) -> Option<&HeaderValue> {
        self.connection.listener.hsts.as_ref().filter(|_| self.client.is_secure)
    }

    /// Whether the client itself has connected. A proxy's connection carries other clients as well.
    pub fn is_direct(&self) -> bool {
        self.connection.client.to_canonical() == self.client.address
    }
}
