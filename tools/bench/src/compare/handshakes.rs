//! CPU time of a server for one connection, full and resumed: TCP, the handshake, one request with its
//! answer, and the end. Proxies refuse the request by themselves, because it has no token.

use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::measure::Bench;
use super::modes::Mode;
use super::peers::Running;
use super::table::{Figure, Sample, count, micros};
use crate::load::{Request, Target};
use crate::rig::{Result, runtime};

/// One round of one server: half of the time for each kind.
pub fn round(running: &Running, mode: &Mode, bench: &Bench, seconds: f64) -> Result<Sample> {
    let runtime = runtime()?;
    let length = Duration::from_secs_f64(seconds / 2.0);
    let cost = |resumes| {
        let tls = mode.setup.tls.filter(|_| running.peer.name != "tcp");
        let client = tls.map(|tls| bench.certificate(mode.setup).client(tls, resumes, false));
        let has_tls = client.is_some();
        let target = Target::new(running.address, client.transpose()?);
        runtime.block_on(async {
            // The first connection makes the session that the others resume.
            connect(&target, has_tls.then_some(HandshakeKind::Full)).await?;
            let wanted = if resumes { HandshakeKind::Resumed } else { HandshakeKind::Full };
            let (start, before, mut connections) = (Instant::now(), running.process.cpu(), 0.0);
            while start.elapsed() < length {
                connect(&target, has_tls.then_some(wanted)).await?;
                connections += 1.0;
            }
            Result::Ok((running.process.cpu() - before).as_secs_f64() * 1e6 / connections)
        })
    };
    let (full, resumed) = (cost(false)?, cost(true)?);
    Ok(vec![
        (Figure::new("full", micros).with_ratio(), full),
        (Figure::new("resumed", micros).with_ratio(), resumed),
        (Figure::new("full/s", count), 1e6 / full),
        (Figure::new("resumed/s", count), 1e6 / resumed),
    ])
}

async fn connect(target: &Target, wanted: Option<HandshakeKind>) -> Result<()> {
    let mut stream = target.open().await?;
    stream.write_all(&Request::get("/").with("Connection", "close").to_bytes()).await?;
    // The session tickets arrive before the answer.
    if stream.read(&mut [0; 64]).await? == 0 {
        return Err("no answer".into());
    }
    match stream.tls().and_then(|tls| tls.handshake_kind()) {
        kind if kind == wanted => Ok(()),
        kind => Err(format!("{kind:?} instead of {wanted:?}").into()),
    }
}
