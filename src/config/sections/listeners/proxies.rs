//! `trusted_proxies`: the proxies in front of a listener.

use ipnet::IpNet;

use crate::config::document::{
    Entries, Kind, Located, Reported, Shape, Value, default, list, required, section, words,
};
use crate::config::values::{address_range, is_large};
use crate::trusted_proxies::{ClientAddressSource, TrustedProxies};

section! {
    /// The proxies in front of a listener.
    pub struct ProxiesSection {
        /// The addresses of the proxies. A peer with another address is itself the client.
        ranges: Located<Entries<IpNet>> = required(
            list(Range).not_empty("write the addresses of your proxies: ranges: [10.0.0.0/8]"),
            "write the addresses of your proxies: ranges: [10.0.0.0/8]",
        ),
        /// Where the proxies name the client's address: `x-forwarded-for` (the last hop that is not
        /// a trusted proxy), a header with one address, or `proxy-protocol` (versions 1 and 2, at
        /// the start of each connection).
        client_address: ClientAddressSource =
            default(words(ClientAddressSource::ALL), ClientAddressSource::XForwardedFor),
    }
}

impl ProxiesSection {
    /// The settings, if every range can be used.
    pub fn resolve(self) -> Result<TrustedProxies, Reported> {
        let ranges = self.ranges.value.into_iter().map(|range| Ok(range?.value));
        Ok(TrustedProxies::new(ranges.collect::<Result<_, _>>()?, self.client_address))
    }
}

/// The kind of a proxy's range.
struct Range;

impl Kind for Range {
    type Value = IpNet;

    fn read(&self, value: &Value<'_>) -> Result<IpNet, Reported> {
        let range = value.parse(address_range)?;
        if is_large(range) {
            let message =
                format!("{range} is a large part of all addresses: any client in it can claim any address");
            value.warning(message, "name the addresses of your proxies, and no others");
        }
        IpNet::new(range.network(), range.length()).map_err(|_| Reported)
    }

    fn shape(&self) -> Shape {
        Shape::text("IP address or network")
    }
}
