//! The description of an origin in the output of `check`.

use crate::approov::Verifier;
use crate::config::{Settings, show_duration};
use crate::origins::{Balance, Capacity, CheckKind, Origin, OriginHttp, OriginTls, Target};

/// Scheme, host and port of the origin.
pub(super) fn url(origin: &Origin) -> String {
    let scheme = if origin.tls.is_some() { "https" } else { "http" };
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.to_string() };
    format!("{scheme}://{host}:{}", origin.port)
}

/// Every setting that differs from its default, one line each.
pub(super) fn peculiarities(settings: &Settings, position: usize) -> Vec<String> {
    let Some(origin) = settings.origins.get(position) else { return Vec::new() };
    let own = settings.approov.origin_verifiers.get(position).and_then(Option::as_ref);
    let secret = origin.secret_header.iter().map(|secret| {
        let names: Vec<_> = secret.fields().map(|(name, _)| name.as_str()).collect();
        format!("secret header {}", names.join(" and "))
    });
    let lines = own.map(keys).into_iter().chain(addresses(origin)).chain(protocol(origin)).chain(secret);
    lines.chain(health_check(origin)).chain(retries(origin)).chain(origin.capacity.map(capacity)).collect()
}

/// The time limits of a request, in words.
pub(super) fn time_limits(origin: &Origin) -> String {
    let limits = &origin.timeouts;
    let optional = |name, limit: Option<_>| {
        limit.map_or(String::new(), |limit| format!(", {name} {}", show_duration(limit)))
    };
    format!(
        "connect {}{}, read {}, write {}{}",
        show_duration(limits.connect),
        optional("first byte", limits.first_byte),
        show_duration(limits.read),
        show_duration(limits.write),
        optional("total", limits.total),
    )
}

fn keys(verifier: &Verifier) -> String {
    let key = |key: &crate::approov::Key| {
        format!("{} {}", key.id().unwrap_or("(without id)"), key.algorithm().label())
    };
    format!("keys of its own: {}", verifier.keys().iter().map(key).collect::<Vec<_>>().join(", "))
}

fn addresses(origin: &Origin) -> Option<String> {
    let is_domain = |target: &Target| match target {
        Target::Name { host, port } => (host, *port) == (&origin.host, origin.port),
        Target::Socket(socket) => socket.ip().to_string() == *origin.host && socket.port() == origin.port,
        Target::Unix(_) => false,
    };
    let [only] = &origin.addresses[..] else {
        let address = |address: &crate::origins::OriginAddress| match address.weight {
            1 => address.target.to_string(),
            weight => format!("{} (weight {weight})", address.target),
        };
        let list: Vec<_> = origin.addresses.iter().map(address).collect();
        return Some(format!("addresses {}; balance: {}", list.join(", "), origin.balance.label()));
    };
    if !is_domain(&only.target) {
        return Some(format!("address {}", only.target));
    }
    (origin.balance != Balance::RoundRobin).then(|| format!("balance: {}", origin.balance.label()))
}

fn protocol(origin: &Origin) -> Option<String> {
    let mut parts = Vec::new();
    if let OriginHttp::H2 { .. } = origin.http {
        parts.push("HTTP/2".to_owned());
    }
    if let Some(OriginTls { server_name, roots, identity, .. }) = &origin.tls {
        let name = server_name.to_str();
        if *name != *origin.host {
            parts.push(format!("server name {name}"));
        }
        if roots.is_some() {
            parts.push("authorities of its own".to_owned());
        }
        if identity.is_some() {
            parts.push("client certificate".to_owned());
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn health_check(origin: &Origin) -> Option<String> {
    let check = origin.health_check.as_ref()?;
    let what = match &check.kind {
        CheckKind::Tcp => "TCP connection".to_owned(),
        CheckKind::Http { path, .. } => format!("GET {path}"),
    };
    Some(format!("health check: {what} every {}", show_duration(check.interval)))
}

fn retries(origin: &Origin) -> Option<String> {
    let retries = origin.retries.as_ref()?;
    let (most, budget) = (retries.attempts, retries.budget_percent);
    Some(format!("idempotent requests sent again {most} times at most, and {budget}% of all"))
}

fn capacity(capacity: Capacity) -> String {
    let Capacity { max_in_flight, queue, queue_timeout } = capacity;
    let wait = show_duration(queue_timeout);
    format!("at most {max_in_flight} requests at a time, and {queue} that wait for {wait}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    #[test]
    fn says_what_is_not_as_usual_and_nothing_else() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good/origins.yaml");
        let secret = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";
        let environment = Environment::from_pairs([("APPROOV_SECRET_BASE64", secret)]);
        let settings =
            load(Some(file.as_ref()), &environment).unwrap_or_else(|problems| panic!("{problems}"));
        let expected = [
            vec![
                "addresses 192.0.2.1:443, [2001:db8::1]:8443 (weight 3), api-2.internal:443; balance: device",
                "health check: GET /healthz every 5s",
                "idempotent requests sent again 2 times at most, and 10% of all",
                "at most 100 requests at a time, and 0 that wait for 1s",
            ],
            vec!["run/api.sock", "health check: TCP connection every 5s"],
            vec!["balance: least_loaded", "HTTP/2"],
            vec![],
        ];
        assert_eq!(settings.origins.len(), expected.len());
        for (position, expected) in expected.into_iter().enumerate() {
            let found = peculiarities(&settings, position);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.ends_with(expected), "{found}");
            }
        }
        let limits = time_limits(&settings.origins[0]);
        assert_eq!(limits, "connect 5s, first byte 5s, read 1m, write 1m, total 30s");
    }
}
