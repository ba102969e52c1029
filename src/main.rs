//! Parses the command line, carries out the command, prints the error, sets the exit status.

use std::process::ExitCode;

use approov_gateway::cli::{self, Arguments};
use clap::Parser;

/// Pingora allocates some 75 times a request: the allocator matters.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
