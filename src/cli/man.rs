//! `man`: write the manual pages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::CommandFailure;

/// The configuration file with every key explained.
const CONFIGURATION: &str = include_str!("../../conf/gateway.yaml");

/// Write the manual pages into a folder.
///
/// Section 1 has one page for the program and one for each command; section 5 has one page for the
/// configuration file.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// The folder; it is created if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages of `program`.
///
/// # Errors
/// [`CommandFailure::Running`] if a page cannot be written.
pub fn run(args: &ManArgs, program: clap::Command) -> Result<(), CommandFailure> {
    write(program, &args.folder).map_err(|error| {
        CommandFailure::Running(format!("cannot write to {}: {error}", args.folder.display()))
    })
}

fn write(program: clap::Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut program = program.disable_help_subcommand(true);
    program.build();
    page(&program, "approov-gateway", folder)?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        page(command, &format!("approov-gateway-{}", command.get_name()), folder)?;
    }
    fs::write(folder.join("approov-gateway.5"), configuration())
}

/// The page of one command. Its version has one line, because the footer of a manual page has room for one.
fn page(command: &clap::Command, name: &str, folder: &Path) -> io::Result<()> {
    let command = command.clone().display_name(name.to_owned()).long_version(None);
    let mut text = Vec::new();
    Man::new(command).manual("Approov gateway").render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)
}

/// The page of the configuration file: the commented sample, line by line.
fn configuration() -> String {
    let mut page = Roff::new();
    page.control("TH", ["approov-gateway", "5", "", crate::VERSION, "Approov gateway"]);
    page.control("SH", ["NAME"]);
    page.text([roman("approov-gateway - configuration file of approov-gateway(1)")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("The packages install it as "),
        bold("/etc/approov-gateway/gateway.yaml"),
        roman(". Below is a file with every key, its default and the reason to change it."),
    ]);
    page.control("SH", ["KEYS"]);
    page.control("nf", []);
    let lines: Vec<Inline> =
        CONFIGURATION.lines().flat_map(|line| [roman(line), Inline::LineBreak]).collect();
    page.text(lines);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("approov-gateway"), roman("(1)")]);
    page.to_roff()
}
