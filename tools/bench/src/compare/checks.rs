//! A peer is measured only after it has shown that it does what it is measured for.

use rustls::{CipherSuite, ProtocolVersion};
use tokio::task::LocalSet;

use super::modes::{ACCEPTED, Setup};
use super::peers::{Checks, Running};
use crate::load::{Http1, Http2, Request, Target};
use crate::rig::certificate::Certificate;
use crate::rig::token::{Kind, token};
use crate::rig::{Result, runtime};

/// Sends requests that must be accepted and requests that must be refused; over TLS also with HTTP/2.
pub fn check(running: &Running, setup: Setup, certificate: &Certificate) -> Result<()> {
    let checked = LocalSet::new().block_on(&runtime()?, check_all(running, setup, certificate));
    checked.map_err(|error| format!("{}: {error}", running.peer.name).into())
}

async fn check_all(running: &Running, setup: Setup, certificate: &Certificate) -> Result<()> {
    let valid = ACCEPTED.request();
    let checks = running.peer.checks();
    let with_token = |kind| valid.clone().with("Approov-Token", token(kind, 0));
    let mut cases = vec![("a valid token", 200, valid.clone())];
    if checks != Checks::Nothing {
        cases.push(("a wrong signature", 401, with_token(Kind::Invalid)));
        cases.push(("an expired token", 401, with_token(Kind::Expired)));
        cases.push(("no token", 401, valid.clone().without("Approov-Token")));
    }
    if checks == Checks::All && setup.binding {
        let other = valid.clone().with("Authorization", "Bearer other");
        cases.push(("a token bound to another value", 401, other));
        cases.push(("a bound token without its header", 401, valid.clone().without("Authorization")));
    }
    let target = |http2| -> Result<Target> {
        let tls = setup.tls.map(|tls| certificate.client(tls, false, http2)).transpose()?;
        Ok(Target::new(running.address, tls))
    };
    for (what, status, request) in &cases {
        let mut client = Http1::open(&target(false)?).await?;
        let answer = client.ask(&request.to_bytes()).await.map_err(|error| format!("{what}: {error}"))?;
        if answer.status != *status {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(format!("{what} got {} instead of {status}: {body}", answer.status).into());
        }
        check_tls(&client, setup)?;
        if setup.tls.is_some() {
            let client = Http2::new(target(true)?);
            let (got, _) = client.ask(&client.head(request)?, &request.body).await?;
            if got != *status {
                return Err(format!("{what} got {got} instead of {status} over HTTP/2").into());
            }
        }
    }
    if checks != Checks::Nothing {
        let mut client = Http1::open(&target(false)?).await?;
        let seen = client.ask(&Request { path: "/v1/seen".into(), ..valid }.to_bytes()).await?;
        if !seen.body.is_empty() {
            return Err("the origin received the token".into());
        }
    }
    Ok(())
}

/// All peers are compared with the same version and suite, and with session tickets.
fn check_tls(client: &Http1, setup: Setup) -> Result<()> {
    let Some(tls) = client.stream.tls() else { return Ok(()) };
    if setup.tls.and_then(|tls| tls.version) == Some("1.2") {
        return Ok(());
    }
    let found = (tls.protocol_version(), tls.negotiated_cipher_suite().map(|suite| suite.suite()));
    let wanted = (Some(ProtocolVersion::TLSv1_3), Some(CipherSuite::TLS13_AES_256_GCM_SHA384));
    if found != wanted {
        return Err(format!("{found:?} instead of {wanted:?}").into());
    }
    if tls.tls13_tickets_received() == 0 { Err("no session ticket arrived".into()) } else { Ok(()) }
}
