//! `completions`: a script that completes the command line in a shell.

use std::io::{self, Write};

use clap_complete::Shell;

use super::CommandFailure;

/// Print the completion script of a shell.
///
/// The packages install these scripts. By hand, for bash:
/// `approov-gateway completions bash > ~/.local/share/bash-completion/completions/approov-gateway`
#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script for `program`.
///
/// # Errors
/// [`CommandFailure::Running`] if standard output is closed.
pub fn run(args: &CompletionsArgs, mut program: clap::Command) -> Result<(), CommandFailure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "approov-gateway", &mut script);
    io::stdout().write_all(&script).map_err(|error| CommandFailure::Running(error.to_string()))
}
