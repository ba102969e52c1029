//! Measures the gateway as whole processes over loopback: next to its peers, under attack, during
//! upgrades and reloads.
//!
//! docs/develop/benchmarking.md says what each command measures and how to read it.

mod bare;
mod compare;
mod drain;
mod fleet;
mod lifecycle;
mod load;
mod origin;
mod rig;
mod scrape;
mod soak;
mod tls_server;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The allocator of the gateway, so that the bare Pingora proxy has the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure the gateway; see docs/develop/benchmarking.md
#[derive(Debug, Parser)]
#[command(bin_name = "cargo run --release -p bench --")]
enum Command {
    Compare(compare::Arguments),
    Soak(soak::Arguments),
    Lifecycle(lifecycle::Arguments),
    Drain(drain::Arguments),
    Fleet(fleet::Arguments),
    Scrape(scrape::Arguments),
    /// Run a program that ends with this one
    #[command(name = rig::process::ROLE, hide = true)]
    Guarded {
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Be the origin
    #[command(hide = true)]
    Origin,
    /// Be a bare Pingora proxy
    #[command(hide = true)]
    Bare {
        address: SocketAddr,
        origin: SocketAddr,
    },
    /// Be a server of rustls
    #[command(hide = true)]
    TlsServer {
        kind: String,
        address: SocketAddr,
        chain: PathBuf,
        key: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Lifecycle(arguments) => lifecycle::run(&arguments),
        Command::Drain(arguments) => drain::run(&arguments),
        Command::Fleet(arguments) => fleet::run(&arguments),
        Command::Scrape(arguments) => scrape::run(&arguments),
        Command::Guarded { program, arguments } => rig::process::become_guarded(&program, &arguments),
        Command::Origin => origin::serve_as_process(),
        Command::Bare { address, origin } => bare::serve(address, origin),
        Command::TlsServer { kind, address, chain, key } => tls_server::serve(&kind, address, &chain, &key),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
