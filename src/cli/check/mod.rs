//! `check`: load and validate all that `run` would load, and show what requests would meet.

mod certificate;
mod connect;
#[cfg(test)]
mod example;
mod explain;
mod lines;
mod origin;
mod report;
mod route;
mod summary;

use std::io::Write as _;
use std::path::PathBuf;

use nix::unistd::geteuid;

use super::CommandFailure;
use crate::config::{Environment, User, load};
use crate::server::become_user;

pub use explain::explain;
pub use summary::summary;

/// Check the configuration without serving.
///
/// Reads the file and the environment as `run` does, with every secret and key they name. Prints
/// a summary if all is well; otherwise every problem with file, line, key and how to fix it, and
/// the exit status is 78. Opens no socket and asks no server, unless `--connect` is given.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The configuration file; the environment overrides it
    ///
    /// Without it, GATEWAY_CONFIG names the file; without that too, the environment alone
    /// configures one listener, one origin (API_DOMAIN) and one protected route.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print what a request would meet: route, policy, strategy, origin and limits
    ///
    /// URL is a path such as `/v1/posts`, or a whole URL, whose host is then compared with the
    /// routes' host conditions. Example: `--explain GET https://api.example.com/v1/posts`
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    pub explain: Option<Vec<String>>,

    /// For --explain: a file with the certificate that the client shows, in PEM
    ///
    /// The explanation assumes that the listener has verified it.
    #[arg(long, value_name = "FILE", requires = "explain")]
    pub client_certificate: Option<PathBuf>,

    /// Also ask every origin once: resolve its name, connect, make the TLS handshake and send `GET /`
    ///
    /// Fetches every key set, and makes an exchange with the store of the fleet, too. Prints the status of each
    /// address and the number of keys of each set, or what failed and how to fix it, with exit status 78.
    #[arg(long)]
    pub connect: bool,

    /// Fail on warnings too, with exit status 78
    #[arg(long)]
    pub strict: bool,

    /// How to print the result: `json` is one object with problems and warnings
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with_all = ["explain", "connect"])]
    pub format: Format,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Plain text for people.
    Text,
    /// One JSON object for programs.
    Json,
}

/// Runs the command.
///
/// # Errors
/// [`CommandFailure::Configuration`] with all problems; [`CommandFailure::Usage`] if there is nothing to
/// explain in the given URL, or no certificate in the given file.
pub fn run(args: &CheckArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let loaded = load(args.config.as_deref(), environment);
    if args.format == Format::Json {
        return report::run(&loaded, args.strict);
    }
    let settings = loaded.map_err(|problems| CommandFailure::Configuration(problems.to_string()))?;
    if args.strict && !settings.warnings.is_empty() {
        let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        return Err(CommandFailure::Configuration(warnings.join("\n")));
    }
    let text = match args.explain.as_deref() {
        Some([method, url]) => {
            let certificate = args.client_certificate.as_deref().map(certificate::read).transpose()?;
            explain(&settings, method, url, certificate.as_ref())?
        }
        _ => summary(&settings),
    };
    if let Some(user) = &settings.server.user {
        check_as(user, args, environment)?;
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| CommandFailure::Running(format!("standard output cannot be written: {error}")))?;
    if args.connect { connect::run(&settings) } else { Ok(()) }
}

/// Loads the configuration again as the user that the gateway would become, because a reload reads every
/// file as that user. Only root can try this.
fn check_as(user: &User, args: &CheckArgs, environment: &Environment) -> Result<(), CommandFailure> {
    if !geteuid().is_root() {
        return Ok(());
    }
    // The change of user is final, but this process has nothing else to do.
    become_user(user)
        .map_err(|error| CommandFailure::Running(format!("server.user: cannot become {user}: {error}")))?;
    load(args.config.as_deref(), environment).map(drop).map_err(|problems| {
        CommandFailure::Configuration(format!("as the user {user}, that a reload runs as:\n{problems}"))
    })
}

#[cfg(test)]
mod tests {
    use super::example::environment;
    use super::*;

    #[test]
    fn a_bad_configuration_has_its_own_exit_status() {
        let args = CheckArgs {
            config: Some("/nonexistent/gateway.yaml".into()),
            explain: None,
            client_certificate: None,
            connect: false,
            strict: false,
            format: Format::Text,
        };
        let failure = run(&args, &environment()).expect_err("there is no file");
        assert!(
            matches!(&failure, CommandFailure::Configuration(text) if text.starts_with("/nonexistent/gateway.yaml: "))
        );
    }

    #[test]
    fn takes_its_arguments_as_documented() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: CheckArgs,
        }
        use clap::Parser;
        let line = Line::try_parse_from(["check", "-c", "f.yaml", "--explain", "GET", "/v1"]);
        let args = line.map(|line| (line.args.config, line.args.explain)).expect("the line is fine");
        assert_eq!(args, (Some("f.yaml".into()), Some(vec!["GET".into(), "/v1".into()])));
        assert!(Line::try_parse_from(["check", "--explain", "GET"]).is_err());
    }
}
