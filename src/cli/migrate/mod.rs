//! `approov-gateway migrate`: from a Cloudflare worker's `wrangler.toml` to the gateway.
//!
//! - `worker`: what the file says about a worker, for each of its environments;
//! - `pattern`: which hosts and paths the worker was in front of;
//! - `translate`: what becomes of that, and what cannot be carried over.

mod pattern;
mod translate;
mod variables;
mod worker;

use std::io::Write as _;
use std::path::PathBuf;

use super::CommandFailure;

use translate::Translation;

/// Translate the configuration of a Cloudflare worker for Approov.
///
/// Reads wrangler.toml and prints an environment, a YAML file, and what cannot be carried over and why.
/// Use the file: it has the routes and the answer of the worker, and it observes before it refuses. The
/// environment alone protects every host and path of one API at once. Nothing secret is printed.
#[derive(Clone, Debug, clap::Args)]
pub struct MigrateArgs {
    /// The wrangler.toml of the worker, which is only read
    file: PathBuf,
    /// Translate the section [env.NAME] alone. Without it --print means the top level
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// Print one part alone, to redirect it to a file
    #[arg(long, value_enum)]
    print: Option<OutputPart>,
}

/// A part of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputPart {
    /// Lines for an environment file.
    Environment,
    /// The configuration file in YAML, for `-c`.
    Yaml,
}

/// Runs the command.
///
/// # Errors
/// [`CommandFailure`] if the file cannot be read, or has no such section.
pub fn run(args: &MigrateArgs) -> Result<(), CommandFailure> {
    let shown = args.file.display();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| CommandFailure::Running(format!("{shown}: {error}")))?;
    let output = translate_text(&text, args.env.as_deref(), args.print)
        .map_err(|error| CommandFailure::Running(format!("{shown}: {error}")))?;
    std::io::stdout()
        .write_all(output.as_bytes())
        .map_err(|error| CommandFailure::Running(format!("cannot write the translation: {error}")))
}

/// The output for the text of a `wrangler.toml`.
///
/// # Errors
/// What is wrong with the text or the choice. The text itself is not repeated: it may hold secrets.
pub fn translate_text(text: &str, env: Option<&str>, part: Option<OutputPart>) -> Result<String, String> {
    let workers = worker::read(text)?;
    let names: Vec<&str> = workers.iter().filter_map(|worker| worker.env.as_deref()).collect();
    if let Some(name) = env
        && !names.contains(&name)
    {
        return Err(format!("there is no [env.{}]; there is {}", name.escape_debug(), list(&names)));
    }
    let wanted = workers.iter().filter(|worker| env.is_none() || worker.env.as_deref() == env);
    let translations: Vec<_> = wanted.map(translate::translate).collect();
    match (part, &translations[..]) {
        (None, all) => Ok(all.iter().map(Translation::to_text).collect::<Vec<_>>().join("\n")),
        (Some(part), [only]) => Ok(only.part(part)),
        (Some(part), [top, ..]) if top.is_top() => Ok(top.part(part)),
        (Some(_), _) => Err(format!("it has several environments; choose one with --env: {}", list(&names))),
    }
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| name.escape_debug().to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
