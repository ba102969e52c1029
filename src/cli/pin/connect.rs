//! Reads the certificate chain of a server.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls_pki_types::ServerName;

use crate::cli::doubtful::Doubtful;
use crate::tls::Certificate;

/// The time limit for connecting, and then for each read and write of the handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// The certificates that a server sent.
pub(super) struct Shown {
    /// The server's own certificate first. Never empty.
    pub certificates: Vec<Certificate>,
    /// Why the chain cannot be trusted. `None` if it was verified.
    pub doubt: Option<String>,
}

/// Splits `host:port` or `[address]:port`. `None` if the text has another form.
pub(super) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|address| address.contains(':'))?,
        None if host.contains(':') || host.contains('/') => return None,
        None => host,
    };
    let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    (!host.is_empty()).then_some((host, port))
}

/// Connects to a server and reads the chain of its handshake.
pub(super) fn chain(host: &str, port: u16) -> Result<Shown, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no host name"))?;
    let verifier = Arc::new(Doubtful::new());
    let config = verifier.clone().client().map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
    let mut stream = connect(host, port).map_err(|error| format!("cannot connect: {error}"))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| format!("no TLS handshake: {error}"))?;
    }
    let shown = connection.peer_certificates().unwrap_or_default();
    let certificates: Result<Vec<_>, _> = shown.iter().map(|der| Certificate::from_der(der)).collect();
    let certificates = certificates.map_err(|error| format!("a certificate cannot be read: {error}"))?;
    if certificates.is_empty() {
        return Err("the server shows no certificate".into());
    }
    Ok(Shown { certificates, doubt: verifier.doubt() })
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_host_and_port() {
        for (text, expected) in [
            ("api.example.com:443", Some(("api.example.com", 443))),
            ("192.0.2.1:8443", Some(("192.0.2.1", 8443))),
            ("[::1]:443", Some(("::1", 443))),
            ("api.example.com", None),
            ("https://api.example.com:443", None),
            ("::1", None),
            ("[::1]", None),
            ("[api]:443", None),
            (":443", None),
            ("api:", None),
            ("api:+443", None),
            ("api:65536", None),
        ] {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }
}
