//! Where clients and operators connect.
//!
//! - `tls`, `certificates`, `client_certificates`: what a listener needs to speak TLS;
//! - `proxies`: who may stand before it;
//! - `https`: redirects and HSTS.

mod certificates;
mod client_certificates;
mod https;
mod proxies;
mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::downstream::{Hsts, ListenerSettings};
use crate::policy::Route;
use crate::trusted_proxies::TrustedProxies;

use super::error::{Located, Location, Report, Reported};
use super::reader::Value;
use super::text;

use tls::TlsSection;

const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8788);

/// An entry of `listeners`.
pub(super) struct ListenerSection {
    pub address: Located<SocketAddr>,
    h2c: Option<Located<bool>>,
    tls: Option<Result<TlsSection, Reported>>,
    trusted_proxies: Option<Result<TrustedProxies, Reported>>,
    redirect_to_https: Option<Located<bool>>,
    hsts: Option<Located<Hsts>>,
}

impl ListenerSection {
    /// Reads the entry, but none of the files that it names.
    pub fn read(value: &Value<'_>, folder: &Path) -> Result<Self, Reported> {
        let listener =
            value.mapping(&["address", "h2c", "tls", "trusted_proxies", "redirect_to_https", "hsts"]);
        let h2c = listener.find("h2c").and_then(https::switch);
        let tls = listener.find("tls").map(|tls| TlsSection::read(tls, folder));
        let trusted_proxies = listener.find("trusted_proxies").map(proxies::read);
        let redirect_to_https = listener.find("redirect_to_https").and_then(https::switch);
        let hsts = listener.find("hsts").and_then(https::hsts);
        let address = match listener.find("address") {
            Some(address) => address.parse(text::listen_address)?,
            None => return Err(listener.missing("address", "write one such as address: 127.0.0.1:8787")),
        };
        Ok(Self { address, h2c, tls, trusted_proxies, redirect_to_https, hsts })
    }

    fn plain(address: Located<SocketAddr>) -> Self {
        Self { address, h2c: None, tls: None, trusted_proxies: None, redirect_to_https: None, hsts: None }
    }

    /// Whether clients are asked for certificates, or the file is wrong about it.
    pub fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.as_ref().map_or(true, TlsSection::asks_for_certificates))
    }

    /// Reads the files that the entry names.
    fn load(self, routes: &[Route], report: &Report) -> Result<ListenerSettings, Reported> {
        https::check(
            self.tls.is_some(),
            self.trusted_proxies.is_some(),
            self.redirect_to_https.as_ref(),
            self.hsts.as_ref(),
            report,
        );
        if let (true, Some(Located { value: true, at })) = (self.tls.is_some(), &self.h2c) {
            let mend = "remove it; with TLS clients get HTTP/2 as tls.alpn says";
            report.problem(at, "nothing comes to this listener in clear text", mend);
        }
        let (tls, tls_files) = match self.tls {
            Some(tls) => {
                let loaded = tls?.load(routes, report)?;
                (Some(loaded.tls), loaded.files)
            }
            None => (None, Vec::new()),
        };
        Ok(ListenerSettings {
            address: self.address.value,
            h2c: self.h2c.is_some_and(|h2c| h2c.value),
            tls,
            tls_files,
            trusted_proxies: self.trusted_proxies.transpose()?,
            redirect_to_https: self.redirect_to_https.is_some_and(|redirect| redirect.value),
            hsts: self.hsts.map(|hsts| hsts.value),
        })
    }
}

/// The entries of the public listeners; no two of them take the same socket.
pub(super) fn listeners(
    section: Option<Vec<Result<ListenerSection, Reported>>>,
    variable: Option<Result<Located<SocketAddr>, Reported>>,
    whole: &Location,
    report: &Report,
) -> Vec<ListenerSection> {
    let listeners = match (variable, section) {
        (Some(variable), section) => {
            if let Ok(Located { at, .. }) = &variable {
                warn_of_lost_tls(section.as_deref().unwrap_or_default(), at, report);
            }
            vec![variable.map(ListenerSection::plain)]
        }
        (None, Some(section)) => section,
        (None, None) => {
            vec![Ok(ListenerSection::plain(Located { value: DEFAULT_LISTENER, at: Location::nowhere() }))]
        }
    };
    if listeners.is_empty() {
        let mend = format!("write one, or remove the key for {DEFAULT_LISTENER}");
        report.problem(whole, "the list of listeners is empty", mend);
    }
    let listeners: Vec<_> = listeners.into_iter().flatten().collect();
    for (index, ListenerSection { address, .. }) in listeners.iter().enumerate() {
        let other = listeners[..index].iter().find(|other| collide(other.address.value, address.value));
        if let Some(ListenerSection { address: other, .. }) = other {
            let message = format!("{} is already taken by {}", address.value, other.at.name());
            report.problem(&address.at, message, "choose another port, or remove one of them");
        }
    }
    listeners
}

/// The variable knows nothing of TLS and replaces listeners that speak it.
fn warn_of_lost_tls(sections: &[Result<ListenerSection, Reported>], variable: &Location, report: &Report) {
    if sections.iter().flatten().any(|section| section.tls.is_some()) {
        let message = "it replaces listeners of the file that speak TLS, and speaks none itself";
        report.warning(variable, message, "unset it, or make sure that something before it speaks TLS");
    }
}

/// Everything about the listeners, the files that they name included.
pub(super) fn load(
    sections: Vec<ListenerSection>,
    routes: &[Route],
    report: &Report,
) -> Result<Vec<ListenerSettings>, Reported> {
    // All of them first, so that every problem is told.
    let loaded: Vec<_> = sections.into_iter().map(|section| section.load(routes, report)).collect();
    loaded.into_iter().collect()
}

/// The admin listener.
pub(super) fn admin(
    section: Option<Result<Located<SocketAddr>, Reported>>,
    variable: Option<Result<Located<SocketAddr>, Reported>>,
    listeners: &[Located<SocketAddr>],
    report: &Report,
) -> Result<SocketAddr, Reported> {
    let default = Located { value: DEFAULT_ADMIN, at: Location::nowhere() };
    let admin = variable.or(section).unwrap_or(Ok(default))?;
    if let Some(listener) = listeners.iter().find(|listener| collide(listener.value, admin.value)) {
        // The place of the one that was written.
        let at = if admin.at == Location::nowhere() { &listener.at } else { &admin.at };
        let message = format!("the admin listener {} collides with a public listener", admin.value);
        report.problem(
            at,
            message,
            "choose another port for one of them (admin.address, GATEWAY_ADMIN_LISTEN)",
        );
    }
    if !admin.value.ip().is_loopback() {
        let message = format!("the admin listener {} is open to the network", admin.value);
        report.warning(&admin.at, message, "make sure that only operators reach it, or use 127.0.0.1");
    }
    Ok(admin.value)
}

/// Whether two sockets cannot both listen.
pub(super) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = match (one.ip(), other.ip()) {
        (one, other) if one == other => true,
        // `[::]` takes IPv4 as well.
        (IpAddr::V6(any), _) | (_, IpAddr::V6(any)) if any.is_unspecified() => true,
        (one @ IpAddr::V4(_), other @ IpAddr::V4(_)) => one.is_unspecified() || other.is_unspecified(),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => false,
    };
    one.port() != 0 && one.port() == other.port() && same_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_collide_where_binding_the_second_would_fail() {
        let mut cases = 0;
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("[::1]:80", "[::]:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
        ] {
            let (one, other) = (one.parse().expect(one), other.parse().expect(other));
            assert_eq!(collide(one, other), expected, "{one} {other}");
            assert_eq!(collide(other, one), expected, "{other} {one}");
            cases += 1;
        }
        assert_eq!(cases, 8);
    }
}
