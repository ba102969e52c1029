//! The gateway beside its peers: what the same request costs in each, in one run.
//!
//! ```sh
//! cargo bench --bench compare                          # everything, some fifty minutes
//! cargo bench --bench compare -- --quick               # everything, briefly and roughly
//! cargo bench --bench compare -- --peers gateway,haproxy --modes accepted,refused
//! cargo bench --bench compare -- --help
//! ```
//!
//! The peers are pinned to core 0; the origin, an NGINX with a fixed answer, and the load are pinned
//! to the rest. Before a peer is measured, it is shown to refuse what it says it refuses. The peers
//! take turns within every round, so that a machine that changes its speed changes it for all, and
//! the ratios are taken round by round. Results: tables on standard output, `compare.json` and
//! `compare.svg` in the folder `compare` of the target folder.
//!
//! In the order of a run: `programs` are found, `modes` chosen, `peers` started and `checks` made;
//! `measure`, `memory` and `failover` let the `load` loose on them; `report` and `chart` show what came
//! of it.

#![allow(clippy::expect_used, reason = "a bench stops where it cannot go on")]

mod arguments;
#[path = "../gateway/bare.rs"]
mod bare;
mod chart;
mod checks;
mod cores;
mod failover;
mod load;
mod measure;
mod memory;
mod modes;
mod origin;
mod peers;
mod process;
mod programs;
mod report;
mod requests;
mod templates;
mod tls;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use cores::Cores;
use measure::Bench;
use modes::Measure;
use origin::Origin;
use peers::{Fleet, Peer};
use process::Folder;
use programs::Programs;
use report::Results;
use tls::Certificate;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever stops the bench, in words.
type Failure = Box<dyn Error>;

type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("--role-bare") => {
            let origin = arguments.next().expect("an origin address");
            bare::serve(origin.parse().expect("an address"));
            Ok(())
        }
        // `cargo test --benches` passes no `--bench`: show only what a run would find.
        _ if !std::env::args().any(|argument| argument == "--bench") => {
            println!("{}", Programs::find());
            Ok(())
        }
        _ => run(&Arguments::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let programs = Programs::find();
    eprintln!("{programs}");
    let peers = arguments.peers(&programs)?;
    let modes = arguments.modes(&programs);
    process::raise_descriptor_limit()?;
    let cores = Cores::of_this_machine()?;
    let folder = Folder::new("run")?;
    let origin = Origin::start("origin", &programs, &folder)?;
    let certificate = Certificate::new(&folder)?;
    let mut bench =
        Bench::new(arguments.effort(), arguments.load, &programs, &folder, &cores, &origin, &certificate);

    let mut results = Results::default();
    let mut fleet: Option<Fleet> = None;
    for mode in modes {
        let shape = mode.shape();
        match shape.measure {
            Measure::Memory => {
                fleet = None;
                let idle = memory::measure(mode, &peers, &bench)?;
                report::print_memory(&idle);
                results.memory.extend(idle);
                continue;
            }
            Measure::Failover(fault) => {
                fleet = None;
                let outcomes = failover::measure(mode, fault, &peers, &bench)?;
                report::print_failover(&outcomes);
                results.failover.extend(outcomes);
                continue;
            }
            Measure::Closed | Measure::Open(_) => {}
        }
        let fleet = match fleet.take() {
            Some(running) if running.setup == shape.setup => fleet.insert(running),
            stopped => {
                drop(stopped);
                fleet.insert(bench.start(&peers, shape.setup)?)
            }
        };
        let series = bench.measure(mode, fleet)?;
        report::print(&series);
        results.series.push(series);
    }
    write_results(&peers, &programs, &bench, &results)
}

fn write_results(peers: &[Peer], programs: &Programs, bench: &Bench<'_>, results: &Results) -> Result<()> {
    let folder = programs::folder();
    let json = report::json(peers, programs, bench, results);
    let place = folder.join("compare.json");
    std::fs::write(&place, serde_json::to_string_pretty(&json)?)?;
    println!("\nfigures of every round: {}", programs::shown(&place));
    if let Some(picture) = chart::draw(&results.series, &results.memory) {
        let place = folder.join("compare.svg");
        std::fs::write(&place, picture)?;
        println!("chart: {}", programs::shown(&place));
    }
    Ok(())
}
