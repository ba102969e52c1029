//! Which limit kept a connection or a request out.

use super::{By, Full};

/// Why a connection was not served, or a request not answered by its origin: a closed set, for
/// metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The address is in a denied range.
    Denied,
    /// The address is banned.
    Banned,
    /// Too many connections: in total, of the address, or of the listener.
    Connections(Full),
    /// Too many new connections in a time, of the address.
    ConnectionRate,
    /// Too many requests in a time.
    Rate(By),
    /// Too many requests at once: in total, or of the address.
    Requests(Full),
    /// Something of a request is too large.
    Size(Size),
    /// The client is too slow.
    Time(Slow),
}

/// What can be too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    /// The header, in bytes or in fields.
    Header,
    /// The request target.
    Target,
    /// The body.
    Body,
}

/// What can take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slow {
    /// The TLS handshake, or a proxy's word of the client.
    Handshake,
    /// The header of a request.
    Header,
    /// Its body.
    Body,
    /// Reading the answer.
    Write,
}

impl Cause {
    /// Each of them, in order.
    pub const ALL: [Cause; 23] = [
        Cause::Denied,
        Cause::Banned,
        Cause::Connections(Full::Total),
        Cause::Connections(Full::Reserve),
        Cause::Connections(Full::Address),
        Cause::Connections(Full::Lane),
        Cause::ConnectionRate,
        Cause::Rate(By::Address),
        Cause::Rate(By::Total),
        Cause::Rate(By::Route),
        Cause::Rate(By::Device),
        Cause::Rate(By::Token),
        Cause::Rate(By::Origin),
        Cause::Requests(Full::Total),
        Cause::Requests(Full::Reserve),
        Cause::Requests(Full::Address),
        Cause::Size(Size::Header),
        Cause::Size(Size::Target),
        Cause::Size(Size::Body),
        Cause::Time(Slow::Handshake),
        Cause::Time(Slow::Header),
        Cause::Time(Slow::Body),
        Cause::Time(Slow::Write),
    ];

    /// The stable name used by metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Denied => "denied_address",
            Cause::Banned => "banned_address",
            Cause::Connections(Full::Total) => "connections_total",
            Cause::Connections(Full::Reserve) => "connections_reserve",
            Cause::Connections(Full::Address) => "connections_address",
            Cause::Connections(Full::Lane) => "connections_listener",
            Cause::ConnectionRate => "connections_rate",
            Cause::Rate(By::Address) => "rate_address",
            Cause::Rate(By::Total) => "rate_total",
            Cause::Rate(By::Route) => "rate_route",
            Cause::Rate(By::Device) => "rate_device",
            Cause::Rate(By::Token) => "rate_token",
            Cause::Rate(By::Origin) => "rate_origin",
            Cause::Requests(Full::Total) => "in_flight_total",
            Cause::Requests(Full::Reserve) => "in_flight_reserve",
            Cause::Requests(Full::Address) => "in_flight_address",
            Cause::Requests(Full::Lane) => "in_flight_lane",
            Cause::Size(Size::Header) => "header_size",
            Cause::Size(Size::Target) => "target_size",
            Cause::Size(Size::Body) => "body_size",
            Cause::Time(Slow::Handshake) => "handshake_time",
            Cause::Time(Slow::Header) => "header_time",
            Cause::Time(Slow::Body) => "body_time",
            Cause::Time(Slow::Write) => "write_time",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_lists_each_cause_once_in_order_and_with_a_name_of_its_own() {
        assert!(Cause::ALL.is_sorted());
        let labels: HashSet<_> = Cause::ALL.iter().map(|cause| cause.label()).collect();
        assert_eq!(labels.len(), Cause::ALL.len());
        let rates = Cause::ALL.iter().filter(|cause| matches!(cause, Cause::Rate(_)));
        assert_eq!(rates.count(), By::ALL.len());
    }
}
