//! Clients that send the requests of some devices in turn.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::time::timeout;

use crate::load::{Http1, Load, Pace, Request, Script, Target};
use crate::rig::Result;
use crate::rig::token::{Kind, token};

/// A request without an answer within this time is lost. The balancer gives up earlier.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests at a time.
pub const WORKERS: usize = 16;

struct Devices {
    target: Target,
    requests: Vec<Vec<u8>>,
}

/// Starts clients with these devices. The expected answer has the status 200.
pub fn start(devices: Range<u64>, to: SocketAddr, pace: Pace) -> Result<Load> {
    Load::start(WORKERS, pace, 2 * PATIENCE, move || {
        let of = |device| Request::get("/fleet").with("Approov-Token", token(Kind::Valid, device)).to_bytes();
        Ok(Devices { target: Target::plain(to), requests: devices.map(of).collect() })
    })
}

impl Script for Devices {
    type Worker = Option<Http1>;

    async fn worker(&self, _: usize) -> Result<Option<Http1>> {
        Ok(None)
    }

    async fn ask(&self, kept: &mut Option<Http1>, number: u64) -> std::result::Result<(), String> {
        let request = &self.requests[number as usize % self.requests.len()];
        let exchange = async {
            let mut client = match kept.take() {
                Some(client) => client,
                None => Http1::open(&self.target, None).await?,
            };
            let answer = client.ask(request).await?;
            let (status, closes) = (answer.status(), answer.closes());
            *kept = (!closes).then_some(client);
            io::Result::Ok(status)
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok(200)) => Ok(()),
            Ok(Ok(status)) => Err(status.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".into()),
        }
    }
}
