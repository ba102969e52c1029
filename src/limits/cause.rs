//! Which limit stopped a connection or a request.

use super::{By, Full};
use crate::closed_set::closed_set;

closed_set! {
    /// The limit that stopped a connection or a request.
    pub enum Cause {
        /// The client's address is in a denied range.
        DeniedAddress => "denied_address",
        /// The client's address is banned.
        BannedAddress => "banned_address",
        /// The gateway has as many connections as it may.
        ConnectionsTotal => "connections_total",
        /// The connections that are left are reserved.
        ConnectionsReserve => "connections_reserve",
        /// The client's address has as many connections as it may.
        ConnectionsAddress => "connections_address",
        /// The listener has as many connections as it may.
        ConnectionsListener => "connections_listener",
        /// The client's address opens new connections too fast.
        ConnectionsRate => "connections_rate",
        /// The client's address sends requests too fast.
        RateAddress => "rate_address",
        /// All clients together send requests too fast.
        RateTotal => "rate_total",
        /// The route gets requests too fast.
        RateRoute => "rate_route",
        /// The device sends requests too fast.
        RateDevice => "rate_device",
        /// One token is used for requests too fast.
        RateToken => "rate_token",
        /// The origin gets requests too fast.
        RateOrigin => "rate_origin",
        /// The gateway forwards as many requests as it may at once.
        InFlightTotal => "in_flight_total",
        /// The requests that may still be forwarded at once are reserved for verified ones.
        InFlightReserve => "in_flight_reserve",
        /// The client's address has as many requests in flight as it may.
        InFlightAddress => "in_flight_address",
        /// The gateway holds back as many bodies as it may until their digest is verified.
        HeldBodies => "held_bodies",
        /// The head of the request has too many bytes or fields.
        HeaderSize => "header_size",
        /// The request target is too long.
        TargetSize => "target_size",
        /// The body of the request is too long.
        BodySize => "body_size",
        /// The TLS handshake or the PROXY header was not complete in time.
        HandshakeTime => "handshake_time",
        /// The head of the request was not complete in time.
        HeaderTime => "header_time",
        /// The body of the request arrived too slowly.
        BodyTime => "body_time",
        /// The client read the response too slowly.
        WriteTime => "write_time",
    }
}

impl Cause {
    /// The cap on connections that is reached.
    pub fn of_connections(full: Full) -> Self {
        match full {
            Full::Total => Cause::ConnectionsTotal,
            Full::Reserve => Cause::ConnectionsReserve,
            Full::Address => Cause::ConnectionsAddress,
            Full::Listener => Cause::ConnectionsListener,
        }
    }

    /// The cap on requests in flight that is reached. A listener limits connections only.
    pub fn of_requests(full: Full) -> Self {
        match full {
            Full::Total => Cause::InFlightTotal,
            Full::Reserve => Cause::InFlightReserve,
            Full::Address => Cause::InFlightAddress,
            Full::Listener => Cause::ConnectionsListener,
        }
    }

    /// The rate limit of this kind.
    pub fn of_rate(by: By) -> Self {
        match by {
            By::Address => Cause::RateAddress,
            By::Total => Cause::RateTotal,
            By::Route => Cause::RateRoute,
            By::Device => Cause::RateDevice,
            By::Token => Cause::RateToken,
            By::Origin => Cause::RateOrigin,
        }
    }
}
