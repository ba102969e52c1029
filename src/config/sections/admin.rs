//! `admin`: the listener for operators.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::identity::{IdentitySection, check_validity, unix_now};
use super::listeners::collide;
use crate::admin::{AdminAddress, AdminEndpoint, AdminSettings, AdminToken};
use crate::config::document::{
    Entries, Located, Location, Report, Reported, Written, list, nested, section, text, usable,
};
use crate::config::values::{
    admin_address, file, host_name, listen_address, read_small_file, warn_if_world_readable,
};
use crate::tls::Identity;

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8788);

section! {
    /// The admin listener, with health and metrics. Only operators may reach it.
    pub struct AdminSection {
        /// IP address and port, or `unix:` and the path of a unix socket, which only the user of the
        /// gateway and root can use. (`GATEWAY_ADMIN_LISTEN`)
        address: Written<AdminAddress> = admin_address(),
        /// A certificate and its key. The TCP listener then speaks TLS, for operators and Prometheus on other
        /// machines. A reload takes new files. Default: clear text.
        tls: Written<IdentitySection> = nested::<IdentitySection>(),
        /// The file with a token of at least 16 characters. Every request over TCP that changes something
        /// must show it as `Authorization: Bearer`. Default: no token; only this machine may change
        /// anything.
        token_file: Written<PathBuf> = file(),
        /// IP address and port of another listener. It answers `/livez`, `/readyz` and `/healthz`, and
        /// nothing else, so probes from other machines need not reach the admin listener.
        health_address: Written<SocketAddr> = listen_address(),
        /// Names by which clients may ask, besides IP addresses, `localhost` and the name of the machine.
        /// A request with another name in its `Host` field gets 421. So a page in an operator's browser
        /// cannot read the listener through a foreign name that resolves to it (DNS rebinding).
        names: Written<Entries<Box<str>>> = list(text("host name", host_name)),
    }
}

/// Resolves the settings of the admin listener.
pub fn admin(
    section: AdminSection,
    variable: Option<Result<Located<AdminAddress>, Reported>>,
    listeners: &[Located<SocketAddr>],
    report: &Report,
) -> Result<AdminSettings, Reported> {
    let addresses = addresses(&section, variable, listeners, report);
    let token =
        section.token_file.checked().and_then(|file| file.map(|file| token(&file, report)).transpose());
    let tls = section.tls.checked();
    let tls = tls.and_then(|tls| tls.map(|tls| identity(&tls.value, report)).transpose());
    let ((address, health_address), token, tls) = (addresses?, token?, tls?);
    let tcp = address.value.tcp();
    if let Some(admin) = tcp.filter(|admin| tls.is_none() && !admin.ip().is_loopback()) {
        let message = format!("the admin listener {admin} is open to the network without TLS");
        let hint = "set admin.tls, or use 127.0.0.1 or a unix socket, with health_address for probes; let only \
                    operators reach it";
        report.warning(&address.at, message, hint);
    }
    Ok(AdminSettings {
        address: address.value,
        tls,
        token,
        health_address,
        names: usable(section.names.or(Vec::new())).collect(),
    })
}

/// Where the admin listener is. Reads no other file.
pub fn endpoint(
    section: &AdminSection,
    variable: Option<Result<Located<AdminAddress>, Reported>>,
    listeners: &[Located<SocketAddr>],
    report: &Report,
) -> Result<AdminEndpoint, Reported> {
    let (address, _) = addresses(section, variable, listeners, report)?;
    Ok(AdminEndpoint { address: address.value, is_tls: section.tls.is_written() })
}

/// The addresses of the admin listener and of the health listener.
fn addresses(
    section: &AdminSection,
    variable: Option<Result<Located<AdminAddress>, Reported>>,
    listeners: &[Located<SocketAddr>],
    report: &Report,
) -> Result<(Located<AdminAddress>, Option<SocketAddr>), Reported> {
    let default = || Located { value: AdminAddress::Tcp(DEFAULT_ADMIN), at: Location::nowhere() };
    let address = match variable {
        Some(variable) => variable,
        None => section.address.clone().checked().map(|address| address.unwrap_or_else(default)),
    };
    let health = section.health_address.clone().checked();
    if let (Some(tls), Ok(Located { value: AdminAddress::Unix(_), .. })) = (section.tls.get(), &address) {
        report.problem(&tls.at, "a unix socket has no TLS", "remove it, or write an IP address and port");
    }
    let (address, health) = (address?, health?);
    let tcp = address.value.tcp();
    if let Some((admin, listener)) = tcp.and_then(|admin| {
        let listener = listeners.iter().find(|listener| collide(listener.value, admin))?;
        Some((admin, listener))
    }) {
        // The place of the address that was written.
        let at = if address.at == Location::nowhere() { &listener.at } else { &address.at };
        let message = format!("the admin listener {admin} collides with a public listener");
        report.problem(
            at,
            message,
            "choose another port for one of them (admin.address, GATEWAY_ADMIN_LISTEN)",
        );
    }
    if let Some(health) = &health {
        let others = listeners.iter().map(|listener| listener.value).chain(tcp);
        if let Some(other) = others.into_iter().find(|other| collide(*other, health.value)) {
            let message = format!("the health listener {} collides with {other}", health.value);
            report.problem(&health.at, message, "choose another port for one of them");
        }
    }
    Ok((address, health.map(|health| health.value)))
}

/// The certificate and its key.
fn identity(section: &IdentitySection, report: &Report) -> Result<Identity, Reported> {
    let identity = section.load(report)?;
    check_validity(&section.certificate_file, &identity, unix_now(), report);
    Ok(identity)
}

/// The fewest characters of a token that cannot be guessed.
const MIN_TOKEN: usize = 16;

fn token(file: &Located<PathBuf>, report: &Report) -> Result<AdminToken, Reported> {
    let content = read_small_file(file, report)?;
    warn_if_world_readable(&file.value, &file.at, report);
    let token = content.trim_ascii();
    let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && token.len() >= MIN_TOKEN {
        return Ok(AdminToken::new(token));
    }
    let message =
        format!("{} holds no token of at least {MIN_TOKEN} visible characters", file.value.display());
    Err(report.problem(&file.at, message, "make one with `openssl rand -base64 32`"))
}
