//! `pin`: print the values that apps use to pin the keys of a server.

mod connect;
mod read;

use std::io::Write as _;

use read::Pinned;

use super::CommandFailure;
use super::show::{moment, printable};
use crate::clock;

/// Print the pins of the public keys in a certificate chain, the server's own first.
///
/// A pin is the base64 of SHA-256 over a key's SubjectPublicKeyInfo, the form of Approov's dynamic pinning
/// (type public-key-sha256) and of RFC 7469. Each line has the pin, the place of the certificate in the
/// chain, its subject and the end of its validity.
#[derive(Clone, Debug, clap::Args)]
pub struct PinArgs {
    /// A file with certificates, public keys or a private key in PEM, or one certificate in DER; or a server
    /// as host and port
    ///
    /// A key without a certificate is useful for the pin of a backup key. A server's chain is verified
    /// with the system's authorities (or SSL_CERT_FILE). If that fails, the pins are printed all the same,
    /// with the reason on standard error and exit status 1.
    #[arg(value_name = "FILE|HOST:PORT")]
    source: String,
}

/// Runs the command.
///
/// # Errors
/// [`CommandFailure::Usage`] if the source is neither a file nor a server; [`CommandFailure::Running`] if it
/// cannot be read, or if a server's chain cannot be trusted.
pub fn run(args: &PinArgs) -> Result<(), CommandFailure> {
    let source = &args.source;
    let (pinned, doubt) = if std::path::Path::new(source).exists() {
        let pinned = read::file(source.as_ref());
        (pinned.map_err(|error| CommandFailure::Running(format!("{source}: {error}")))?, None)
    } else {
        let (host, port) = connect::host_and_port(source).ok_or_else(|| {
            let message =
                format!("{source} is no file; write a file's name, or host and port (api.example.com:443)");
            CommandFailure::Usage(message)
        })?;
        let shown = connect::chain(host, port)
            .map_err(|error| CommandFailure::Running(format!("{source}: {error}")))?;
        (shown.certificates.into_iter().map(|own| Pinned::Certificate(Box::new(own))).collect(), shown.doubt)
    };
    let now = clock::unix_time().as_secs_f64();
    let text: String = pinned.iter().enumerate().map(|(index, key)| line(index, key, now)).collect();
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| CommandFailure::Running(format!("cannot write the pins: {error}")))?;
    match doubt {
        None => Ok(()),
        Some(doubt) => {
            let message =
                format!("{source}: the chain does not verify, do not pin it unless you know why: {doubt}");
            Err(CommandFailure::Running(message))
        }
    }
}

fn line(index: usize, pinned: &Pinned, now: f64) -> String {
    match pinned {
        Pinned::Key(pin) => format!("{pin} key\n"),
        Pinned::Certificate(certificate) => {
            let place = match index {
                0 => "leaf",
                _ if certificate.is_self_issued() => "root",
                _ => "intermediate",
            };
            let subject = match &*certificate.subject {
                "" => certificate.name(),
                subject => subject.to_owned(),
            };
            let expiry = moment(certificate.not_after as f64, now);
            // A line break in the subject would let a server add a line with a pin of its own.
            let subject = printable(&subject).replace('\n', "\\n");
            format!("{} {place:<12} {subject}  expires {expiry}\n", certificate.pin)
        }
    }
}
