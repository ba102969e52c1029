//! A flood of new keys: a million addresses, each with one request that fails verification.

use std::net::Ipv4Addr;
use std::path::Path;

use super::super::hostile::{Outcome, Rounds};
use super::super::report::Verdict;
use super::super::stage::Stage;
use crate::rig::Result;
use crate::rig::figures::mebibytes;

const ADDRESSES: usize = 1_000_000;

/// Addresses between two measurements of the memory.
const PORTION: usize = 100_000;

/// Addresses that come first and again and again, so that afterwards only the keys are new.
const FIRST: usize = 500;

/// The size of the tables with the defaults (docs/limits.md): 65 536 addresses, 17 bytes each for the
/// rate and 55 for the offenders.
const STATED_KIB: u64 = 65_536 * (17 + 55) / 1024;

/// The allocator takes memory in larger pieces than it is asked for.
const SLACK_KIB: u64 = 4 << 10;

pub fn run(gateway: &Path) -> Result<()> {
    // One machine cannot open a million connections in a minute, so a trusted proxy names the addresses.
    let stage = Stage::set(gateway, "trusted_proxies: { ranges: [127.0.0.0/8] }", "")?;
    let process = &stage.gateway.process;
    let clients = Rounds::new(&stage.gateway)?;
    let client = |number: usize| Ipv4Addr::from_bits(0x0b00_0000 + number as u32);
    clients.proxied(100 * FIRST, move |number| client(number % FIRST))?;
    let before = process.memory_kib();
    println!("{FIRST:>10} addresses: {}", mebibytes(before));
    let mut refused = 0;
    for portion in 1..=ADDRESSES / PORTION {
        let first = portion * PORTION;
        let seen = clients.proxied(PORTION, move |number| client(first + number))?;
        refused += seen.get(&Outcome::Status(401)).copied().unwrap_or_default();
        println!("{:>10} addresses: {}", FIRST + portion * PORTION, mebibytes(process.memory_kib()));
    }
    let growth = process.memory_kib().saturating_sub(before);
    println!();
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict.expect(refused == ADDRESSES, format!("{refused} of {ADDRESSES} requests verified and refused"));
    let limit = STATED_KIB + SLACK_KIB;
    verdict.expect(
        growth <= limit,
        format!(
            "memory grew by {}, at most {}: {} of tables and the slack of the allocator",
            mebibytes(growth),
            mebibytes(limit),
            mebibytes(STATED_KIB)
        ),
    );
    verdict.judge()
}
