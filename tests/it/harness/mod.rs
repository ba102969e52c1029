//! The parts that every test uses, and how to write a test.
//!
//! # How to write a test
//!
//! A test starts real processes and talks to them over real sockets. It has three parts:
//!
//! 1. An [`Origin`] (or [`Http2Origin`]): the API behind the gateway. It listens on a free port and
//!    records every request. `Origin::new()` answers 200 with `hello`; `Origin::scripted(…)` calls
//!    a closure for each request.
//! 2. A [`Gateway`], started by a [`Setup`]. `gateway_before(&origin)` needs no configuration;
//!    `Setup::bare().config(&config_before(&origin, "…")).start()` uses a configuration file.
//! 3. A [`Client`] (or [`Http2Client`]), which sends a [`Message`] or any bytes. `gateway.ask(…)`
//!    opens a connection, sends one request and reads the answer. [`get`] and [`post`] make honest
//!    requests, with a valid token.
//!
//! The module [`example`] at the end of this file is a complete test.
//!
//! # Rules
//!
//! - The name of a test states behaviour: `refused_requests_do_not_reach_the_origin`.
//! - Assert at the origin too: what arrived there and how often.
//! - Wait for a condition with [`eventually`], `gateway.wait_for_…` or `origin.wait_until`; all of
//!   them give up after [`DEADLINE`]. A [`Gate`] holds an origin back until the test opens it. A
//!   sleep is allowed only where the passing of time is the subject of the test.
//! - Ports are free ones: write `127.0.0.1:0` and ask the process for its address.
//! - Files go into a [`Folder`], which is removed with the test.
//! - Child processes run under [`Process`] or [`run`], commands of the gateway with
//!   [`gateway_command`]. They are killed with the test, and a failing
//!   test prints everything that they wrote.
//! - A test that needs a program, a Python package or root asks [`has_program`], [`python_with`] or
//!   [`is_root`] first. Without it the test says so and passes; under `CI` it fails.
//! - A loop over a literal array needs no counter. A loop over a computed list asserts that the list
//!   is not empty.

mod browser;
mod client;
mod folder;
mod gate;
mod gateway;
mod http2;
mod http2_origin;
mod memory_group;
mod message;
mod metrics;
mod origin;
mod process;
mod requirements;
mod setup;
pub mod tls;
pub mod tokens;
pub mod websocket;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use browser::Browser;
pub use client::Client;
pub use folder::Folder;
pub use gate::Gate;
pub use gateway::Gateway;
pub use http2::{Http2Client, Pending, runtime as http2_runtime};
pub use http2_origin::Http2Origin;
pub use memory_group::MemoryGroup;
pub use message::{Message, Response};
pub use metrics::Metrics;
pub use origin::{Exchange, Origin, Request, Then};
pub use process::{Exit, Process, gateway_command, run, run_with_input};
pub use requirements::{has_program, is_root, python_with};
pub use setup::Setup;
pub use wire::latin1;

/// How long a test waits for anything before it fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Calls `ask` until it returns a value.
///
/// # Panics
/// After [`DEADLINE`], with `what`.
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

/// Asserts that the time that `measure` returns is below `limit`. A busy machine can hold up anything, so one of three
/// times has to be.
pub fn assert_within(limit: Duration, mut measure: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 3 {
        took.push(measure());
        if took.last().is_some_and(|took| *took < limit) {
            return;
        }
    }
    panic!("not within {limit:?}: {took:?}");
}

/// A gateway in front of `origin`, configured by its environment alone.
pub fn gateway_before(origin: &Origin) -> Gateway {
    Setup::before(origin).start()
}

/// A configuration file with one key, one origin named `api`, and `rest`.
pub fn config_before(origin: &Origin, rest: &str) -> String {
    format!(
        "approov:\n  keys: [ {{ id: current, algorithm: HS256, secret_base64: \"{}\" }} ]\n\
         origins:\n  api: {{ domain: \"{}\" }}\n{rest}",
        tokens::SECRET_BASE64,
        origin.url(),
    )
}

/// An honest GET: it has a valid token.
pub fn get(target: &str) -> Message {
    Message::get(target).token(&tokens::valid())
}

/// An honest POST: it has a valid token.
pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Message {
    Message::post(target, body).token(&tokens::valid())
}

mod example {
    //! A complete test, to start from.

    use crate::harness::{Message, Origin, Setup, config_before, get, tokens};

    #[test]
    fn expired_tokens_are_refused_and_do_not_reach_the_origin() {
        let origin = Origin::new();
        let config = config_before(&origin, "rejection: { status: 403 }\n");
        let gateway = Setup::bare().config(&config).start();

        let refused = gateway.ask(&Message::get("/orders").token(&tokens::expired()));
        assert_eq!(refused.status, 403);
        assert_eq!(origin.bytes(), 0);

        let accepted = gateway.ask(&get("/orders"));
        assert_eq!((accepted.status, accepted.text().as_str()), (200, "hello"));
        let request = origin.only_request();
        assert_eq!(request.target, "/orders");
        assert!(!request.has("approov-token"), "the token is removed");

        gateway.wait_for_requests(&[("verdict", "rejected"), ("reason", "expired")], 1.0);
    }
}

/// Sets a flag when it is dropped, also if the test fails. Threads that run until the flag is set would
/// otherwise run for ever.
pub struct SetOnDrop<'f>(pub &'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
