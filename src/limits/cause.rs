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
    /// Too many requests in a time.
    Rate(By),
    /// Too many requests at once: in total, of the address, or for the origin.
    Requests(Full),
}

impl Cause {
    /// Each of them, in the order of asking.
    pub const ALL: [Cause; 16] = [
        Cause::Denied,
        Cause::Banned,
        Cause::Connections(Full::Total),
        Cause::Connections(Full::Reserve),
        Cause::Connections(Full::Address),
        Cause::Connections(Full::Lane),
        Cause::Rate(By::Address),
        Cause::Rate(By::Total),
        Cause::Rate(By::Route),
        Cause::Rate(By::Device),
        Cause::Rate(By::Token),
        Cause::Rate(By::Origin),
        Cause::Requests(Full::Total),
        Cause::Requests(Full::Reserve),
        Cause::Requests(Full::Address),
        Cause::Requests(Full::Lane),
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
            Cause::Rate(By::Address) => "rate_address",
            Cause::Rate(By::Total) => "rate_total",
            Cause::Rate(By::Route) => "rate_route",
            Cause::Rate(By::Device) => "rate_device",
            Cause::Rate(By::Token) => "rate_token",
            Cause::Rate(By::Origin) => "rate_origin",
            Cause::Requests(Full::Total) => "in_flight_total",
            Cause::Requests(Full::Reserve) => "in_flight_reserve",
            Cause::Requests(Full::Address) => "in_flight_address",
            Cause::Requests(Full::Lane) => "in_flight_origin",
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
