//! A flood of new keys: a million addresses, each with one request that fails verification.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use super::hostile::Means;
use super::stage::Stage;
use crate::load::{Kept, Load, Pace, Script, Target};
use crate::rig::figures::mebibytes;
use crate::rig::{Result, Verdict};

const ADDRESSES: u64 = 1_000_000;

/// Addresses between two measurements of the memory.
const PORTION: u64 = 100_000;

/// Addresses that come first and again and again, so that afterwards only the keys are new.
const FIRST: u64 = 500;

const WARMING: u64 = 100 * FIRST;

const PROXIED: usize = 32;

/// Requests on a connection; the gateway allows a thousand.
const KEPT: usize = 900;

/// The time that a portion may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tables with the defaults (docs/how-to/limits.md): 17 bytes for the rate and 55 for the offenders.
const STATED_KIB: u64 = 65_536 * (17 + 55) / 1024;

/// The allocator takes memory in larger pieces than it is asked for.
const SLACK_KIB: u64 = 4 << 10;

/// A proxy that names another client in each request.
struct Proxy(Means);

impl Script for Proxy {
    type Worker = Kept;

    async fn worker(&self, _: usize) -> Result<Kept> {
        Ok(Kept::new(KEPT))
    }

    async fn ask(&self, kept: &mut Kept, number: u64) -> std::result::Result<(), String> {
        let address = if number < WARMING { number % FIRST } else { number };
        let address = Ipv4Addr::from_bits(0x0b00_0000 + address as u32);
        let request = self.0.refused("key").with("X-Forwarded-For", address.to_string());
        let target = Target::plain(self.0.gateway, Ipv4Addr::LOCALHOST);
        match kept.ask(&target, &request.to_bytes()).await {
            Ok(answer) if answer.status == 401 => Ok(()),
            Ok(answer) => Err(answer.status.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

pub fn run(gateway: &Path) -> Result<()> {
    // One machine cannot open a million connections in a minute, so a trusted proxy names the addresses.
    let stage = Stage::set(gateway, |config| {
        config["listeners"][0]["trusted_proxies"] = serde_json::json!({ "ranges": ["127.0.0.0/8"] });
    })?;
    let process = &stage.gateway.process;
    let proxy = Proxy(Means::against(&stage.gateway));
    let load = Load::start(PROXIED, Pace::Closed, PATIENCE, move || Ok(proxy))?;
    load.await_answers(WARMING, PATIENCE)?;
    let before = process.memory_kib();
    println!("{FIRST:>10} addresses: {}", mebibytes(before));
    for portion in 1..=ADDRESSES / PORTION {
        load.await_answers(WARMING + portion * PORTION, PATIENCE)?;
        println!("{:>10} addresses: {}", portion * PORTION, mebibytes(process.memory_kib()));
    }
    let lost = load.finish()?.lost();
    let growth = process.memory_kib().saturating_sub(before);
    println!();
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict.expect(lost == 0, format!("{lost} requests were not verified and refused"));
    let limit = STATED_KIB + SLACK_KIB;
    let [grown, most, stated] = [growth, limit, STATED_KIB].map(mebibytes);
    let what =
        format!("memory grew by {grown}, at most {most}: {stated} of tables and the slack of the allocator");
    verdict.expect(growth <= limit, what);
    verdict.judge()
}
