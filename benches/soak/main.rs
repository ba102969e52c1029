//! The gateway under attack: honest clients beside hostile ones, whole processes over loopback.
//!
//! ```sh
//! cargo bench --bench soak                     # everything at once, ten minutes
//! cargo bench --bench soak -- --minutes 60     # the same, longer
//! cargo bench --bench soak -- flood            # one figure each, below a minute:
//! cargo bench --bench soak -- slow
//! cargo bench --bench soak -- banned
//! cargo bench --bench soak -- keys
//! ```
//!
//! The gateway has the first core for itself, its clients and the origin share the rest. Honest
//! clients ask in open loop: a request is due by the clock, whatever became of those before, and its
//! latency counts from then. Hostile ones come from other addresses of 127.0.0.0/8, so that whatever
//! counts by address works as on the internet, and yield to the honest ones where they share a core:
//! what is measured is the gateway, not who else gets to run.
//!
//! A request is lost when it is refused, answered wrongly, or not within ten seconds. The bench fails
//! on one lost request, on one refused request at the origin, when memory or descriptors do not come
//! back to what they were, and where a figure misses its bound. It ends by itself, and with it, however
//! it ends, the gateway; it writes no files.

#![allow(clippy::expect_used, reason = "a bench stops where it cannot go on")]

mod arguments;
#[path = "../compare/cores.rs"]
mod cores;
mod gateway;
mod honest;
mod hostile;
mod load;
mod origin;
mod report;
mod scenarios;
mod sockets;
mod ticker;
mod tokens;
#[path = "../gateway/usage.rs"]
mod usage;
mod watch;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, process, thread};

use clap::Parser;

use arguments::Arguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever stops the bench, in words.
type Failure = Box<dyn Error + Send + Sync>;

type Result<T> = std::result::Result<T, Failure>;

/// How much longer than planned a run may take.
const PATIENCE: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let done = match env::args().nth(1).as_deref() {
        Some(gateway::ROLE) => gateway::become_gateway(),
        // `cargo test --benches` passes no `--bench`: show only that it runs.
        _ if !env::args().any(|argument| argument == "--bench") => run(&Arguments::brief()),
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
    let most = arguments.duration() + PATIENCE;
    thread::spawn(move || {
        thread::sleep(most);
        eprintln!("not done after {} s: given up", most.as_secs());
        process::exit(2);
    });
    sockets::raise_descriptor_limit()?;
    scenarios::run(arguments)
}
