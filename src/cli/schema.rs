//! `schema`: the JSON Schema of the configuration file.

use std::io::{self, Write};

use super::CommandFailure;
use crate::config;

/// Print the JSON Schema (draft 2020-12) of the configuration file.
///
/// Editors check a configuration file that names the schema in a comment:
/// `# yaml-language-server: $schema=gateway.schema.json`
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {}

/// Runs the command.
///
/// # Errors
/// [`CommandFailure::Running`] if standard output is closed.
pub fn run(_: &SchemaArgs) -> Result<(), CommandFailure> {
    let schema = format!("{:#}\n", config::schema());
    io::stdout().write_all(schema.as_bytes()).map_err(|error| CommandFailure::Running(error.to_string()))
}
