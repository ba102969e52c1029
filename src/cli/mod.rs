//! The commands, one file each.

mod admin_client;
pub mod check;
mod completions;
pub mod demo;
mod doubtful;
mod failure;
mod health;
pub mod inspect;
mod key_source;
mod limits;
mod listeners;
mod man;
pub mod migrate;
mod pin;
mod reload;
mod request;
mod request_signer;
mod run;
mod running;
mod schema;
mod show;
mod sign;
mod successor;
pub mod token;
mod upgrade;
mod version;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Environment;

pub use failure::CommandFailure;

/// Lets only genuine mobile apps, attested by Approov, reach an API.
///
/// Without a command it serves, as `run` does.
#[derive(Debug, Parser)]
#[command(
    name = "approov-gateway",
    version,
    long_version = version::LONG,
    propagate_version = true,
    args_conflicts_with_subcommands = true
)]
#[command(after_help = "\
New here?   approov-gateway demo
From the Cloudflare worker's variables:
            APPROOV_SECRET_BASE64=… API_DOMAIN=api.example.com approov-gateway run

Exit status: 0 fine, 1 failed while running, 2 usage, 78 configuration.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Demo(demo::DemoArgs),
    Check(check::CheckArgs),
    Token(token::TokenArgs),
    Inspect(inspect::InspectArgs),
    Sign(sign::SignArgs),
    Pin(pin::PinArgs),
    Migrate(migrate::MigrateArgs),
    Reload(reload::ReloadArgs),
    Upgrade(upgrade::UpgradeArgs),
    Health(health::HealthArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    Schema(schema::SchemaArgs),
    #[command(hide = true)]
    Launch(successor::Launch),
}

/// Carries out the command.
///
/// # Errors
/// [`CommandFailure`], to be printed and turned into the exit status.
pub fn run(arguments: Arguments) -> Result<(), CommandFailure> {
    let environment = Environment::from_process();
    match arguments.command {
        None => run::run(&arguments.run, environment),
        Some(Command::Run(args)) => run::run(&args, environment),
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Check(args)) => check::run(&args, &environment),
        Some(Command::Token(args)) => token::run(args, &environment),
        Some(Command::Inspect(args)) => inspect::run(args, &environment),
        Some(Command::Sign(args)) => sign::run(&args, &environment),
        Some(Command::Pin(args)) => pin::run(&args),
        Some(Command::Migrate(args)) => migrate::run(&args),
        Some(Command::Reload(args)) => reload::run(&args, &environment),
        Some(Command::Upgrade(args)) => upgrade::run(&args, &environment),
        Some(Command::Health(args)) => health::run(&args, &environment),
        Some(Command::Completions(args)) => completions::run(&args, Arguments::command()),
        Some(Command::Man(args)) => man::run(&args, Arguments::command()),
        Some(Command::Schema(args)) => schema::run(&args),
        Some(Command::Launch(args)) => successor::launch(&args),
    }
}
