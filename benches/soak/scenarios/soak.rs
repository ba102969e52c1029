//! All kinds of attack at once.

use std::sync::Arc;
use std::time::Duration;

use super::super::Result;
use super::super::arguments::Arguments;
use super::super::honest::Honest;
use super::super::hostile::{Hostile, Kind, Tally};
use super::super::report::{self, Verdict, mebibytes, ratio, show};
use super::super::watch::Watch;
use super::Stage;

const ALONE: &str = "alone";
const ATTACK: &str = "under attack";
const AFTER: &str = "after it";

/// The phase of what belongs to none.
const WARMING: usize = 3;

/// What memory may have grown by: the tables of the limits fill, as docs/limits.md states (8 MiB with
/// two rates and the offenders), and the allocator keeps some of what it had to hold at once.
const GROWTH_KIB: u64 = 24 << 10;

/// Connections that honest clients or the origin may happen to hold.
const DESCRIPTORS: usize = 64;

pub fn run(arguments: &Arguments) -> Result<()> {
    let stage = Stage::set("", "")?;
    let gateway = &stage.gateway;
    let (tally, mut watch) = (Arc::new(Tally::default()), Watch::new());
    let (all, rate) = (arguments.duration(), arguments.rate());
    let honest = Honest::start(gateway.address(), rate, WARMING)?;
    watch.during("warming up", gateway, (all / 20).min(Duration::from_secs(5)), 1);
    honest.enter(0);
    watch.during(ALONE, gateway, all / 5, 4);
    honest.enter(1);
    let hostile = Hostile::start(gateway.address(), &kinds(rate), tally.clone())?;
    watch.during(ATTACK, gateway, all * 3 / 5, 12);
    hostile.stop()?;
    honest.enter(2);
    watch.during(AFTER, gateway, all / 5, 4);
    let seen = honest.finish()?;

    report::print_honest(&seen, &[(ALONE, &[0]), (ATTACK, &[1]), (AFTER, &[2])]);
    report::print_attacks(&tally);
    report::print_counters(gateway)?;
    report::print_watch(&watch);
    let (quiet, attacked) = (seen.latency(0, 99.0), seen.latency(1, 99.0));
    println!(
        "\nhonest p99 alone {}, under attack {}: {:.2} times; CPU {:.0} % of a core, then {:.0} %\n",
        show(quiet),
        show(attacked),
        ratio(attacked, quiet),
        100.0 * watch.load(ALONE),
        100.0 * watch.load(ATTACK)
    );
    let mut verdict = Verdict::default();
    let lost = seen.lost().count();
    verdict.expect(lost == 0, format!("{lost} honest requests lost"));
    stage.expect_peace(&mut verdict);
    if let (Some(before), Some(after)) = (watch.end_of(ALONE), watch.end_of(AFTER)) {
        let (was, is) = (before.resident_kib, after.resident_kib);
        let bound = was + GROWTH_KIB;
        verdict.expect(
            is <= bound || arguments.is_brief,
            format!(
                "memory {} before, {} after, at most {}",
                mebibytes(was),
                mebibytes(is),
                mebibytes(bound)
            ),
        );
        let (was, is) = (before.descriptors, after.descriptors);
        let bound = was + DESCRIPTORS;
        verdict.expect(
            is <= bound || arguments.is_brief,
            format!("descriptors {was} before, {is} after, at most {bound}"),
        );
    }
    verdict.judge()
}

/// Everything at once, by the rate of the honest. The numbers of connections leave the load, which
/// has the other end of each of them, some of the 20 000 descriptors that are common.
fn kinds(rate: u32) -> Vec<Kind> {
    let held = rate.min(500);
    vec![
        Kind::WrongSignatures(10 * rate),
        Kind::NewKeys(rate.div_ceil(5)),
        Kind::Offenders(rate.div_ceil(5)),
        Kind::SlowHeads(held),
        Kind::SlowBodies(held),
        Kind::SlowReaders(held),
        Kind::Silence(2 * held),
        Kind::RapidResets(rate.div_ceil(100)),
        Kind::Oversize(rate.div_ceil(20)),
        Kind::Garbage(rate.div_ceil(10)),
    ]
}
