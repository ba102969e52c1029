//! A flood of new keys: a million addresses, each with one request that fails verification.

use std::net::Ipv4Addr;

use super::super::Result;
use super::super::arguments::Arguments;
use super::super::hostile::{Outcome, Rounds};
use super::super::report::{Verdict, mebibytes};
use super::Stage;

const ADDRESSES: usize = 1_000_000;

/// Addresses of a portion, after each of which is looked at the memory.
const PORTION: usize = 100_000;

/// Addresses that come first, again and again, so that nothing else than keys is new afterwards.
const FIRST: usize = 500;

/// What docs/limits.md states for the defaults: 65 536 addresses, 17 bytes each for the rate and 55
/// for the offenders.
const STATED_KIB: u64 = 65_536 * (17 + 55) / 1024;

/// The allocator takes memory in larger pieces than it is asked for.
const SLACK_KIB: u64 = 4 << 10;

pub fn run(_: &Arguments) -> Result<()> {
    // One machine has not a million connections in a minute: a trusted proxy tells the addresses.
    let stage = Stage::set("trusted_proxies: { ranges: [127.0.0.0/8] }", "")?;
    let gateway = &stage.gateway;
    let clients = Rounds::new(gateway.address())?;
    let client = |number: usize| Ipv4Addr::from_bits(0x0b00_0000 + number as u32);
    clients.proxied(100 * FIRST, move |number| client(number % FIRST))?;
    let before = gateway.resident_kib();
    println!("{:>10} addresses: {}", FIRST, mebibytes(before));
    let mut refused = 0;
    for portion in 1..=ADDRESSES / PORTION {
        let first = portion * PORTION;
        let seen = clients.proxied(PORTION, move |number| client(first + number))?;
        refused += seen.get(&Outcome::Status(401)).copied().unwrap_or_default();
        println!("{:>10} addresses: {}", FIRST + portion * PORTION, mebibytes(gateway.resident_kib()));
    }
    let growth = gateway.resident_kib().saturating_sub(before);
    println!();
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict.expect(refused == ADDRESSES, format!("{refused} of {ADDRESSES} requests verified and refused"));
    let bound = STATED_KIB + SLACK_KIB;
    verdict.expect(
        growth <= bound,
        format!(
            "memory grown by {}, at most {}: {} stated, and what the allocator may take beyond",
            mebibytes(growth),
            mebibytes(bound),
            mebibytes(STATED_KIB)
        ),
    );
    verdict.judge()
}
