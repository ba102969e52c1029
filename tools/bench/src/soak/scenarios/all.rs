//! All attacks at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::hostile::{Addresses, Hostile, Kind, Manner, Outcome, Shot, Tally};
use super::super::report::{self, Verdict};
use super::super::stage::Stage;
use super::super::watch::Watch;
use super::super::{Arguments, honest};
use crate::origin::hostile::Kind as Answer;
use crate::rig::Result;
use crate::rig::figures::{mebibytes, ratio, show};

const ALONE: &str = "alone";
const ATTACK: &str = "under attack";
const AFTER: &str = "afterwards";

/// The growth of memory that is allowed: the tables of the limits fill (8 MiB with two rates and the
/// offenders, see docs/limits.md), and the allocator keeps a part of what it needed at once.
const GROWTH_KIB: u64 = 24 << 10;

/// Connections that honest clients or the origin may hold at the end.
const DESCRIPTORS: usize = 64;

pub fn run(arguments: &Arguments, gateway: &Path) -> Result<()> {
    let stage = Stage::set(gateway, "", "")?;
    let process = &stage.gateway.process;
    let (tally, mut watch) = (Arc::new(Tally::default()), Watch::new());
    let (all, rate) = (arguments.duration(), arguments.rate());
    let honest = honest::start(stage.gateway.address, rate)?;
    watch.during("warming up", process, (all / 20).min(Duration::from_secs(5)), 1);
    honest.enter(1);
    watch.during(ALONE, process, all / 5, 4);
    honest.enter(2);
    stage.stall_log(true);
    let hostile = Hostile::start(&stage.gateway, &kinds(rate), &Addresses::default(), tally.clone())?;
    watch.during(ATTACK, process, all * 3 / 5, 12);
    hostile.stop()?;
    stage.stall_log(false);
    honest.enter(3);
    watch.during(AFTER, process, all / 5, 4);
    // The log has to be full when the gateway is told to end.
    stage.stall_log(true);
    honest.enter(4);
    watch.during("log stalled", process, Duration::from_secs(4), 1);
    let seen = honest.finish()?;

    report::print_honest(&seen, &[(ALONE, &[1]), (ATTACK, &[2]), (AFTER, &[3])]);
    report::print_attacks(&tally);
    report::print_counters(&stage.gateway)?;
    report::print_watch(&watch);
    let p99 = |phase| seen.together(&[phase]).latency(99.0);
    let (alone, attacked) = (p99(1), p99(2));
    println!(
        "\nhonest p99 alone {}, under attack {}: {:.2} times; CPU {:.0} % of a core, then {:.0} %\n",
        show(alone),
        show(attacked),
        ratio(attacked, alone),
        100.0 * watch.load(ALONE),
        100.0 * watch.load(ATTACK)
    );
    let mut verdict = Verdict::default();
    verdict.expect(seen.lost() == 0, format!("{} honest requests lost", seen.lost()));
    stage.expect_peace(&mut verdict);
    expect_clean_origins(&tally, &mut verdict);
    if let (Some(before), Some(after)) = (watch.end_of(ALONE), watch.end_of(AFTER)) {
        let (was, is) = (before.memory_kib, after.memory_kib);
        let [was, is, most] = [was, is, was + GROWTH_KIB].map(|kib| (kib, mebibytes(kib)));
        verdict
            .expect(is.0 <= most.0, format!("memory {} before, {} after, at most {}", was.1, is.1, most.1));
        let (was, is) = (before.descriptors, after.descriptors);
        let most = was + DESCRIPTORS;
        verdict.expect(is <= most, format!("descriptors {was} before, {is} after, at most {most}"));
    }
    stage.expect_end(&mut verdict)?;
    verdict.judge()
}

/// Expects that no answer of a hostile origin reached another client, and that no malformed answer
/// looked complete. A second answer that arrives just when the connection is taken again cannot be told
/// from a genuine one, so late answers are only counted.
pub fn expect_clean_origins(tally: &Tally, verdict: &mut Verdict) {
    let malformed: Vec<&str> =
        Answer::ALL.into_iter().filter(|kind| kind.is_malformed()).map(Answer::name).collect();
    let passed = tally.sum(&malformed, Outcome::Status(200)) + tally.sum(&malformed, Outcome::Unreadable);
    verdict.expect(passed == 0, format!("{passed} malformed answers of the origin were passed on"));
    let names: Vec<&str> = Answer::ALL.map(Answer::name).into_iter().chain(["good-answer"]).collect();
    let poisoned = tally.sum(&names, Outcome::Poisoned);
    verdict.expect(poisoned == 0, format!("{poisoned} clients got the answer to another request"));
}

/// The size of every attack, by the rate of the honest clients. This program has the other end of each
/// connection, and usually 20 000 descriptors.
fn kinds(rate: u32) -> Vec<Kind> {
    let held = rate.min(500);
    vec![
        Kind::WrongSignatures(10 * rate),
        Kind::RapidResets(rate.div_ceil(100)),
        Kind::Shots(Shot::NewKey, rate.div_ceil(5)),
        Kind::Shots(Shot::Offender, rate.div_ceil(5)),
        Kind::Shots(Shot::Admin, rate.div_ceil(20)),
        Kind::Shots(Shot::Oversize, rate.div_ceil(20)),
        Kind::Shots(Shot::Garbage, rate.div_ceil(10)),
        Kind::Shots(Shot::HostileOrigin, rate.div_ceil(10)),
        Kind::Held(Manner::Head, held),
        Kind::Held(Manner::Body, held),
        Kind::Held(Manner::Reader, held),
        Kind::Held(Manner::Silent, 2 * held),
        Kind::Held(Manner::SilentAdmin, 2 * held),
    ]
}
