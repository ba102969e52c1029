//! Parses the command line, carries out the command, prints the error, sets the exit status.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use approov_gateway::cli::{self, Arguments, CommandFailure};
use clap::Parser;

/// Pingora allocates some 75 times a request: the allocator matters.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    approov_gateway::server::forbid_core_dumps();
    let outcome = cli::run(Arguments::parse());
    log::logger().flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let exit_code = failure.exit_code();
            print_error(failure);
            exit_code
        }
    }
}

/// Prints to standard error. A reader that does not read cannot prevent the end of the process.
fn print_error(failure: CommandFailure) {
    let (printed, is_printed) = mpsc::channel();
    thread::spawn(move || {
        eprintln!("{failure}");
        printed.send(())
    });
    // Without an answer in time the process ends all the same.
    let _ = is_printed.recv_timeout(Duration::from_secs(2));
}
