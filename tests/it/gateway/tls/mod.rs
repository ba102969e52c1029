//! TLS towards clients: from files on disk to handshakes over real sockets.

mod certificate_routes;
mod client_certificates;
mod configuration;
mod handshakes;
mod pins;
mod resumption;
pub mod serving;
mod trusted;
pub mod wire;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use approov_gateway::config::{Environment, Settings, load};
use approov_gateway::tls::Tickets;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, SignatureAlgorithm};
use rustls::ServerConfig;

use crate::harness::tls::Authority;
use crate::harness::tokens::SECRET_BASE64;

/// A folder with one test's files, gone with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// A file that nobody else can read.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        self.set_mode(name, 0o600);
        path
    }

    #[cfg(unix)]
    pub fn set_mode(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Writes chain and key of an identity as `{name}.pem` and `{name}.key`, and says how a
    /// configuration names them.
    pub fn identity(&self, name: &str, identity: &Identity) -> String {
        self.write(&format!("{name}.pem"), &identity.chain);
        self.write(&format!("{name}.key"), &identity.key);
        format!("{{ certificate_file: {name}.pem, private_key_file: {name}.key }}")
    }

    /// Loads a configuration with one listener that has this `tls`, and `rest` behind it.
    pub fn load(&self, tls: &str, rest: &str) -> Result<Settings, String> {
        let yaml = format!("listeners: [ {{ address: \"127.0.0.1:0\", tls: {{ {tls} }} }} ]\n{rest}");
        let file = self.write("gateway.yaml", yaml);
        let environment = [("APPROOV_SECRET_BASE64", SECRET_BASE64), ("API_DOMAIN", "api.example.com")];
        let loaded = load(Some(&file), &Environment::from_pairs(environment));
        // Messages without the folder, which is another one each time.
        loaded.map_err(|problems| self.shown(&problems.to_string()))
    }

    /// What rustls serves with.
    pub fn server(&self, tls: &str, tickets: &Tickets) -> Arc<ServerConfig> {
        let settings = self.load(tls, "").unwrap_or_else(|problems| panic!("{problems}"));
        let tls = settings.listeners[0].tls.as_ref().expect("tls was configured");
        tls.server_config(tickets).unwrap()
    }

    /// What is suspicious about a configuration that loads.
    pub fn warnings(&self, tls: &str, rest: &str) -> String {
        let settings = self.load(tls, rest).unwrap_or_else(|problems| panic!("{problems}"));
        let lines: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        self.shown(&lines.join("\n"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn shown(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A chain and its key, in PEM.
pub struct Identity {
    pub chain: String,
    pub key: String,
    /// The key's SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

impl Identity {
    /// Issued by `authority` for these names, with a key of P-256 and whatever `change` does to it.
    pub fn with(authority: &Authority, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::with_key(authority, names, KeyPair::generate().unwrap(), change)
    }

    pub fn new(authority: &Authority, names: &[&str]) -> Self {
        Self::with(authority, names, |_| {})
    }

    /// With a key of this algorithm.
    pub fn of(authority: &Authority, names: &[&str], algorithm: &'static SignatureAlgorithm) -> Self {
        Self::with_key(authority, names, KeyPair::generate_for(algorithm).unwrap(), |_| {})
    }

    pub fn with_key(
        authority: &Authority,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, "leaf");
        change(&mut params);
        let chain = authority.issue(&params, &key).pem();
        Self { chain, key: key.serialize_pem(), public_key: key.subject_public_key_info() }
    }

    /// With more certificates behind its own.
    pub fn followed_by(mut self, pem: &str) -> Self {
        self.chain += pem;
        self
    }
}

/// Ticket keys as a process makes them at its start.
pub fn tickets() -> Tickets {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Tickets::new(now.as_secs()).unwrap()
}

/// A list of certificates as a configuration has it.
pub fn certificates(list: &[String]) -> String {
    format!("certificates: [ {} ]", list.join(", "))
}

/// Bytes as a PEM text.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", std::str::from_utf8(line).unwrap());
    }
    text + &format!("-----END {label}-----\n")
}

/// What a program prints that is told this; none where it is not installed.
pub fn talk(command: &mut Command, input: &[u8]) -> Option<String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    // It may have ended by itself.
    let _ = child.stdin.as_mut().unwrap().write_all(input);
    Some(String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned())
}
