//! approov-gateway lets only genuine mobile apps reach an API.
//!
//! # The life of a request
//!
//! ```text
//! bytes ── downstream ──► Arrival ── admit ──► Admitted ── exchange ──► record
//!                            │                     or
//!                            └───────────────► Refused ── answer ─────► record
//! ```
//!
//! 1. A worker ([`server`]) accepts the connection. [`downstream`] makes the TLS handshake, waits for
//!    the head of a request under a deadline and judges its bytes ([`http`]). A head that is malformed
//!    or ambiguous is answered here.
//! 2. [`proxy`] takes over: a direct exchange serves plain requests of HTTP/1.1 and HTTP/2
//!    (`proxy/direct`), and Pingora's proxy serves all others and calls the hooks in `proxy/gateway.rs`.
//!    The request takes the configuration in force ([`proxy::Snapshot`]) once, so that a reload never
//!    splits a request: `proxy/arrival.rs`.
//! 3. `proxy/admit.rs` finds the route ([`policy`]), asks the limits ([`admission`]) and verifies the
//!    token ([`approov`], with keys that [`key_sets`] keeps fresh). A refused request is answered by
//!    `proxy/answer` and never reaches the origin.
//! 4. `proxy/exchange.rs` chooses an address of the origin ([`upstream`], [`origins`]) and decides what
//!    a failure means. `proxy/forward.rs` edits the fields for the origin: the token is removed, and
//!    forwarding fields, `Host` and the origin's secret are set. Bodies stream in both directions.
//! 5. `proxy/response.rs` edits the fields of the response for the client.
//! 6. `proxy/record.rs` counts and logs every request, whatever became of it ([`telemetry`]).
//!
//! # Who may know whom
//!
//! ```text
//! main       → cli, server
//! cli        → admin, approov, clock, config, downstream, fleet, key_sets, limits, origins, policy, proxy, server, telemetry, tls, upstream
//! server     → admin, clock, config, downstream, fleet, key_sets, limits, origins, otlp, proxy, telemetry, tls, upstream
//! admin      → clock, proxy, telemetry, tls
//! fleet      → admission, approov, clock, limits, proxy, telemetry, tls
//! proxy      → admission, approov, clock, downstream, http, limits, origins, policy, telemetry, tls, upstream
//! downstream → admission, clock, http, limits, tls, trusted_proxies
//! upstream   → clock, http, origins, telemetry, tls
//! otlp       → clock, origins, telemetry, upstream
//! admission  → approov, clock, http, limits
//! key_sets   → approov, clock, origins, telemetry, upstream
//! config     → admin, approov, clock, downstream, fleet, http, key_sets, limits, origins, otlp, policy, proxy, telemetry, tls, trusted_proxies
//! telemetry  → approov, clock, http, limits, origins, policy, tls
//! limits     → approov
//! policy     → approov, http
//! origins    → tls
//! approov    → http
//! ```
//!
//! Every room may use the macro of [`closed_set`]. The arrows above are the real ones: a test
//! (`tests/it/core/architecture`) reads them from here and compares them with the code. It also holds
//! the rules about the pure rooms, which decide and nothing else:
//!
//! ```text
//! pure: http, policy, approov, limits, origins, trusted_proxies
//! ```
//!
//! A pure room uses no sockets, tasks, files, environment, log or clock. Times come in as parameters.
//! Outside of tests only [`clock`] reads the time.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | client, downstream | the side that sends requests to the gateway |
//! | origin | a protected API, as configured |
//! | upstream | Pingora's side of an origin: connections, addresses, peers |
//! | head | request line and header fields, before the body |
//! | route, policy | the rule that a request meets, and what that rule asks |
//! | verification | judging a token and its binding |
//! | verdict | accepted, rejected, observed, open or denied |
//! | rejection reason | why verification failed, from a closed set |
//! | binding | a token bound to the hash of a header |
//! | device | the `did` claim of a verified token |
//! | claim | a claim of a JWT, and nothing else |
//! | limit, rate | a number; requests in a time |
//! | ban, offender | an address refused at the connection; an address with counted failures |
//! | handshake | the PROXY header and the TLS handshake |
//! | drain | finish what is in flight and take nothing new |
//! | handover, successor | a new process takes the sockets from the old one |
//! | snapshot | the configuration that a request runs under |

pub mod admin;
pub mod admission;
pub mod approov;
pub mod cli;
pub mod clock;
pub mod closed_set;
pub mod config;
pub mod downstream;
pub mod fleet;
pub mod http;
pub mod key_sets;
pub mod limits;
pub mod origins;
pub mod otlp;
pub mod policy;
pub mod proxy;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod trusted_proxies;
pub mod upstream;

/// The version of this gateway.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
