//! Real processes on real sockets: the gateway as its users start it, an origin that records what
//! reaches it, and a client that sends the bytes it is told to.

mod client;
mod gate;
mod gateway;
mod http2;
mod http2_origin;
mod metrics;
mod origin;
pub mod tls;
pub mod tokens;
pub mod websocket;
mod wire;

use std::time::{Duration, Instant};

pub use client::{Client, Message, Response};
pub use gate::Gate;
pub use gateway::{Exit, Gateway, Setup};
pub use http2::{Http2Client, runtime as http2_runtime};
pub use http2_origin::Http2Origin;
pub use metrics::Metrics;
pub use origin::{Exchange, Origin, Request, Then};
pub use wire::latin1;

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`DEADLINE`], with what was waited for.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A gateway as its environment alone configures it, before `origin`.
pub fn gateway_before(origin: &Origin) -> Gateway {
    Setup::before(origin).start()
}

/// The beginning of a configuration file: one key, one origin named `api`.
pub fn config_before(origin: &Origin, rest: &str) -> String {
    format!(
        "approov:\n  keys: [ {{ id: current, algorithm: HS256, secret_base64: \"{}\" }} ]\n\
         origins:\n  api: {{ domain: \"{}\" }}\n{rest}",
        tokens::SECRET_BASE64,
        origin.url(),
    )
}
