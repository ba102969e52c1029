//! A peer is measured only when it has been shown to do what it is measured for.

use approov_gateway::cli::token::Kind;

use super::Result;
use super::load::{Target, ask, oha};
use super::modes::{Mode, Setup};
use super::peers::{Checks, Running};
use super::programs::{Program, Programs};
use super::requests::{Request, token};
use super::tls::{self, Certificate};

/// Sends what must be accepted and what must be refused; to a listener with TLS, which shows
/// `certificate`, with HTTP/2 too.
///
/// # Errors
/// The first answer that is not as it must be.
pub fn check(running: &Running, setup: Setup, certificate: &Certificate, programs: &Programs) -> Result<()> {
    let tls = setup.tls.then_some(certificate);
    let checks = running.peer.checks();
    let shape = Mode::Accepted.shape();
    let valid = Request::new(&shape, &token(Kind::Valid)?, 200);
    let with_token = |kind| -> Result<Request> { Ok(Request::new(&shape, &token(kind)?, 401)) };
    let without = |name: &str| {
        let mut request = Request { status: 401, ..valid.clone() };
        request.headers.retain(|(of, _)| *of != name);
        request
    };
    let mut other_user = Request { status: 401, ..valid.clone() };
    for (name, value) in &mut other_user.headers {
        if *name == "Authorization" {
            value.push('x');
        }
    }

    let mut cases = vec![("a valid token", valid.clone())];
    if checks != Checks::Nothing {
        cases.push(("a wrong signature", with_token(Kind::Invalid)?));
        cases.push(("an expired token", with_token(Kind::Expired)?));
        cases.push(("no token", without("Approov-Token")));
    }
    if checks == Checks::All && setup.binding {
        cases.push(("a token bound to another header value", other_user));
        cases.push(("a bound token without its header", without("Authorization")));
    }
    let name = running.peer.name();
    for (what, request) in cases {
        let failure = |error| format!("{name}: {what}: {error}");
        let (status, body, stream) = ask(running.address, tls, &request.to_bytes()).map_err(failure)?;
        if status != request.status {
            return Err(format!("{name}: {what} got {status} instead of {}: {body}", request.status).into());
        }
        if let Some(client) = &stream.tls {
            tls::check(client).map_err(failure)?;
            let target = Target { address: running.address, tls, connections: 1, streams: Some(1) };
            let status = oha::ask(programs.path(Program::Oha)?, target, &request).map_err(failure)?;
            if status != request.status {
                return Err(format!("{name}: {what} got {status} with HTTP/2").into());
            }
        }
    }
    if checks != Checks::Nothing {
        let (_, seen, _) = ask(running.address, tls, &Request { path: "/v1/seen", ..valid }.to_bytes())?;
        if !seen.is_empty() {
            return Err(format!("{name}: the origin got to see the token").into());
        }
    }
    Ok(())
}
