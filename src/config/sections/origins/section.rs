//! The keys of one origin.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::super::approov::OriginApproovSection;
use super::super::identity::IdentitySection;
use super::address::{AddressEntry, addresses};
use crate::config::document::{
    Entries, Fault, Kind, Located, Value, Written, always, custom, default, list, nested, number, quoted,
    required, section, text, whole_number, words,
};
use crate::config::values::{
    DAY, Domain, MILLISECOND, SECOND, check_path, domain, duration, file, header_name, server_name,
    show_duration, statuses,
};
use crate::origins::{Balance, Capacity, Ejection, HealthCheck, Keepalive, Origin, OriginTimeouts};

const TIMEOUTS: RangeInclusive<Duration> = MILLISECOND..=DAY;
const INTERVALS: RangeInclusive<Duration> = SECOND..=DAY;

section! {
    /// A protected API.
    pub struct OriginSection {
        /// The API: host, host:port, or a URL with `https://` or `http://` and no path. Without a
        /// scheme: https. It is the `Host` that the API receives, and the name that its certificate
        /// must be for. Required. (`API_DOMAIN` overrides it if there is only one origin.)
        pub domain: Written<Domain> = text("host, host:port or URL without a path", domain),
        /// Where to connect. Names are resolved outside of requests. Default: the domain, with all
        /// addresses of its name. Without a port: the port of the domain.
        pub addresses: Written<Entries<AddressEntry>> = addresses(),
        /// How an address is chosen for a request. `round_robin` takes each in turn. `least_loaded` takes
        /// the one of two with fewer requests in flight. `device` keeps a device (claim `did`) at one
        /// address. `address` keeps a client address at one address.
        pub balance: Balance = default(words(Balance::ALL.map(|balance| (balance.label(), balance))), Balance::RoundRobin),
        /// The HTTP version: `h1` is HTTP/1.1 (default), `h2` HTTP/2 over TLS, `h2c` HTTP/2 without
        /// TLS. gRPC needs HTTP/2, WebSocket needs HTTP/1.1.
        pub http: Written<HttpVersion> =
            words([("h1", HttpVersion::H1), ("h2", HttpVersion::H2), ("h2c", HttpVersion::H2c)]),
        /// HTTP/2 connections.
        pub http2: Written<Http2Section> = nested::<Http2Section>(),
        /// TLS 1.2 or 1.3 to the origin. The certificate and its name are always verified. A reload
        /// reads the files again; connections and sessions stay if nothing has changed.
        pub tls: Written<OriginTlsSection> = nested::<OriginTlsSection>(),
        /// A header that proves to the origin that a request came through the gateway. The header is
        /// removed from the requests of clients.
        pub secret_header: Written<SecretHeaderSection> = nested::<SecretHeaderSection>(),
        /// Verification of the tokens for this origin, instead of what `approov` says. If every
        /// origin has keys, `approov.keys` can be left out.
        pub approov: Written<OriginApproovSection> = nested::<OriginApproovSection>(),
        /// Time for TCP connection and TLS handshake together.
        pub connect_timeout: Duration = default(duration(TIMEOUTS), OriginTimeouts::default().connect),
        /// Time from the end of the request to the first byte of the response, if it is to be
        /// shorter than `read_timeout`. HTTP/1.1 only. Default: `read_timeout`.
        pub first_byte_timeout: Written<Duration> = duration(TIMEOUTS),
        /// Time between two reads, which includes the wait for the first byte of the response.
        pub read_timeout: Duration = default(duration(TIMEOUTS), OriginTimeouts::default().read),
        /// Time between two writes.
        pub write_timeout: Duration = default(duration(TIMEOUTS), OriginTimeouts::default().write),
        /// Time for a whole request with every attempt. Tunnels have no such limit. Default: none.
        pub total_timeout: Written<Duration> = duration(TIMEOUTS),
        /// How long an unused connection is kept for reuse. Keep it shorter than the origin's own
        /// limit. `server.upstream_keepalive_pool_size` limits the number of connections.
        pub idle_timeout: Duration = default(duration(TIMEOUTS), OriginTimeouts::default().idle),
        /// Time between two resolutions of the host names.
        pub resolve_interval: Duration = default(duration(INTERVALS), Origin::RESOLVE_INTERVAL),
        /// Probes on silent TCP connections.
        pub tcp_keepalive: Keepalive = always::<Keepalive>(),
        /// Checks of every address. An address whose checks fail gets no requests. The first check
        /// decides at once. Default: no checks.
        pub health_check: Written<HealthCheckSection> = nested::<HealthCheckSection>(),
        /// When an address that fails requests gets none for a while. After that time one request
        /// tries it. With all addresses ejected, the answer is 503 at once. An origin with one
        /// address only ejects it if this section is written.
        pub ejection: Written<Ejection> = nested::<Ejection>(),
        /// Retries of idempotent requests that may have reached the origin. A request that could not
        /// be sent always goes to the next address. Default: a retry only if a kept connection turns
        /// out to be closed.
        pub retries: Written<RetriesSection> = nested::<RetriesSection>(),
        /// Concurrent requests to this origin, tunnels included. Default: no limit.
        pub max_in_flight: Written<usize> = number(1..=1_000_000),
        /// Requests that wait if `max_in_flight` is reached. Further requests get 503. Default: 100.
        pub queue: Written<usize> = number(0..=100_000),
        /// How long a request waits in the queue. Default: 1s.
        pub queue_timeout: Written<Duration> = duration(TIMEOUTS),
    }
}

/// A word that `http` can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    H1,
    H2,
    H2c,
}

section! {
    /// HTTP/2 connections.
    pub struct Http2Section {
        /// Concurrent requests on one connection.
        pub max_streams: usize = default(number(1..=10_000), 100),
        /// Time between two PING frames on a connection. Many gRPC servers forbid less than 5m.
        /// Default: no PINGs.
        pub ping_interval: Written<Duration> = duration(INTERVALS),
    }
}

section! {
    /// TLS to an origin.
    pub struct OriginTlsSection {
        /// The name that the certificate must be for. Default: the host of the domain.
        pub server_name: Written<Box<str>> = text("host name or IP address", server_name),
        /// A PEM file with the trusted authorities. Default: those of the system.
        pub ca_file: Written<PathBuf> = file(),
        /// The gateway's own certificate, for an origin that asks clients for one.
        pub client_certificate: Written<IdentitySection> = nested::<IdentitySection>(),
    }
}

section! {
    settings Keepalive(keys) {
        /// Silence before the first probe.
        idle = duration(INTERVALS),
        /// Time between two probes.
        interval = duration(INTERVALS),
        /// Unanswered probes until the connection counts as broken.
        count = number(1..=100),
    }
}

section! {
    /// Health checks.
    pub struct HealthCheckSection {
        /// `tcp` only connects; `http` sends a GET. Default: `http` if there is a path, else `tcp`.
        pub kind as "type": Written<CheckWord> = words([("tcp", CheckWord::Tcp), ("http", CheckWord::Http)]),
        /// The path of the request. Default: `/`.
        pub path: Written<Box<str>> = text("path", check_path),
        /// The statuses that count as success, such as `200` or `200-299`. Default: `[200-299]`.
        pub statuses: Written<Entries<RangeInclusive<u16>>> = list(text("status or range of statuses", statuses))
            .not_empty("write the good statuses, or remove the key for 200-299"),
        /// Time from one check to the next.
        pub interval: Duration = default(duration(Duration::from_millis(100)..=DAY), HealthCheck::INTERVAL),
        /// Time limit of one check.
        pub timeout: Duration = default(duration(TIMEOUTS), HealthCheck::TIMEOUT),
        /// Consecutive successes until an address is used again.
        pub healthy_threshold: usize = default(number(1..=100), 2),
        /// Consecutive failures until an address is no longer used.
        pub unhealthy_threshold: usize = default(number(1..=100), 3),
    }
}

/// A word that `health_check.type` can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CheckWord {
    Tcp,
    Http,
}

section! {
    settings Ejection(keys) {
        /// Consecutive failed connections; 0 switches this cause off.
        connect_failures = number(0..=1000),
        /// Consecutive requests that were not answered in time. 0 counts them as `errors` instead. The last
        /// address is never ejected for them.
        timeouts = number(0..=1000),
        /// Consecutive exchanges that failed in another way, and 5xx answers; 0 switches this cause
        /// off, because clients can cause such failures. The last address is never ejected for them.
        errors = number(0..=1000),
        /// Duration of the first ejection. Each consecutive one is twice as long.
        base_time = duration(TIMEOUTS),
        /// Longest duration of an ejection. At least `base_time`.
        max_time = at_least(base_time) => max_time.max(base_time),
    }
}

fn at_least(base_time: Duration) -> impl Kind<Value = Duration> {
    let read = move |value: &Value<'_>| {
        let max_time = duration(TIMEOUTS).read(value)?;
        if max_time < base_time {
            return Err(value.problem("it is shorter than base_time", "raise it, or lower base_time"));
        }
        Ok(max_time)
    };
    custom(read, || duration(TIMEOUTS).shape()).shown(|time| show_duration(*time))
}

section! {
    /// Retries.
    pub struct RetriesSection {
        /// Retries of one request.
        pub attempts: usize = default(number(1..=3), 1),
        /// The reasons for a retry: `error` is a connection that broke. Default: `[error]`.
        pub on: Written<Entries<RetryOn>> = list(words(RETRY_ON))
            .not_empty("write what is retried, or remove retries"),
        /// Retries for each hundred requests.
        pub budget: usize = default(
            text("share from `1%` to `100%`", percent).pattern("^[0-9]+%$").shown(|share| format!("{share}%")),
            20,
        ),
    }
}

/// A word that `retries.on` can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    Error,
    Timeout,
    Status(u16),
}

const RETRY_ON: [(&str, RetryOn); 5] = [
    ("error", RetryOn::Error),
    ("timeout", RetryOn::Timeout),
    ("http_502", RetryOn::Status(502)),
    ("http_503", RetryOn::Status(503)),
    ("http_504", RetryOn::Status(504)),
];

fn percent(text: &str) -> Result<usize, Fault> {
    text.strip_suffix('%').and_then(|digits| whole_number(digits, 1..=100).ok()).ok_or_else(|| {
        Fault::new(format!("{} is not a share from 1% to 100%", quoted(text)), "write one such as 20%")
    })
}

section! {
    /// The secret header.
    pub struct SecretHeaderSection {
        /// The name of the header.
        pub name: Located<HeaderName> =
            required(text("header name", header_name), "write one such as name: X-Origin-Secret"),
        /// A file with the secret.
        pub value_file: Located<PathBuf> = required(file(), "name a file with the secret and nothing else"),
        /// A file with the next secret, for a rotation. As long as it is set, a header of the same
        /// name with `-Next` carries the next secret.
        pub next_value_file: Written<PathBuf> = file(),
    }
}

/// The defaults of `queue` and `queue_timeout`.
pub const QUEUE: Capacity = Capacity { max_in_flight: 0, queue: 100, queue_timeout: SECOND };
