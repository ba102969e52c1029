//! Proxies that are believed.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::trusted_proxies::{ClientAddressSource, TrustedProxies};

use super::super::error::{Fault, Reported, quoted};
use super::super::reader::Value;

/// `trusted_proxies`.
pub(super) fn read(value: &Value<'_>) -> Result<TrustedProxies, Reported> {
    let section = value.mapping(&["ranges", "client_address"]);
    let source = section.find("client_address").map(|source| source.word(&ClientAddressSource::ALL));
    let ranges = match section.find("ranges").map(Value::list).transpose()?.flatten() {
        Some(ranges) if !ranges.is_empty() => ranges,
        _ => {
            let mend = "write the addresses of your proxies: ranges: [10.0.0.0/8]";
            return Err(section.missing("ranges", mend));
        }
    };
    // All of them first, so that every problem is told.
    let ranges: Vec<_> = ranges.iter().map(range_of_proxies).collect();
    let source = source.transpose()?.unwrap_or(ClientAddressSource::XForwardedFor);
    Ok(TrustedProxies::new(ranges.into_iter().collect::<Result<_, _>>()?, source))
}

fn range_of_proxies(value: &Value<'_>) -> Result<IpNet, Reported> {
    let range = value.parse(range)?.value;
    if range.prefix_len() == 0 {
        let message = format!("{range} is everybody: any client can claim any address");
        value.warning(message, "name the addresses of your proxies, and no others");
    }
    Ok(range)
}

/// A range such as `10.0.0.0/8`, or one address.
fn range(text: &str) -> Result<IpNet, Fault> {
    let range = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        let message = format!("{} is not a range of addresses", quoted(text));
        Fault::new(message, "write one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7")
    })?;
    if range.trunc() != range {
        let message = format!("{} has bits behind its length", quoted(text));
        return Err(Fault::new(message, format!("write {}, or {}", range.trunc(), range.addr())));
    }
    if let IpNet::V6(mapped) = range
        && let Some(address) = mapped.addr().to_ipv4_mapped()
        && mapped.prefix_len() >= 96
    {
        let message = format!("{} is an IPv4 range in IPv6 form", quoted(text));
        return Err(Fault::new(message, format!("write {address}/{}", mapped.prefix_len() - 96)));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_exactly() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.7/32", "192.0.2.7/32"),
            ("::1", "::1/128"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(range(text).map(|range| range.to_string()), Ok(expected.to_owned()), "{text}");
        }
        let mut cases = 0;
        for (text, mend) in [
            ("10.0.0.1/8", "write 10.0.0.0/8, or 10.0.0.1"),
            ("2001:db8::1/32", "write 2001:db8::/32, or 2001:db8::1"),
            ("::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
            ("::ffff:10.0.0.1", "write 10.0.0.1/32"),
            ("10.0.0.0/33", "such as"),
            ("10.0.0.0/", "such as"),
            ("10/8", "such as"),
            ("10.0.0.0/255.0.0.0", "such as"),
            ("proxy.example.com", "such as"),
            ("", "such as"),
        ] {
            let fault = range(text).expect_err(text);
            assert!(fault.mend.contains(mend), "{text}: {fault:?}");
            cases += 1;
        }
        assert_eq!(cases, 10);
    }
}
