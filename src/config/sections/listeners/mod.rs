//! `listeners` and `admin`: where clients and operators connect.
//!
//! - `tls`, `certificates`, `client_certificates`: TLS of a listener;
//! - `proxies`: the proxies in front of a listener;
//! - `hsts`: Strict-Transport-Security.

mod certificates;
mod client_certificates;
mod hsts;
mod proxies;
mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::document::{
    Entries, Located, Location, Report, Reported, Written, boolean, nested, required, section,
};
use crate::config::values::listen_address;
use crate::downstream::{Hsts, ListenerSettings};
use crate::policy::Route;

use hsts::HstsKind;
use proxies::ProxiesSection;
use tls::ListenerTlsSection;

const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);

section! {
    /// One public listener.
    pub struct ListenerSection {
        /// IP address and port. `127.0.0.1` is reached from this machine only, `0.0.0.0` and `[::]`
        /// from everywhere.
        pub address: Located<SocketAddr> =
            required(listen_address(), "write one such as address: 127.0.0.1:8787"),
        /// Whether HTTP/2 in clear text is accepted from clients that start with it. It is meant for
        /// a proxy in front of the gateway; apps and browsers use HTTP/2 over TLS only.
        h2c: Written<bool> = boolean(),
        /// TLS of this listener. Certificates, keys and lists are read again at a reload.
        tls: Written<ListenerTlsSection> = nested::<ListenerTlsSection>(),
        /// The proxies in front of this listener, such as a load balancer. Default: none. Then the address
        /// that connects is the client, and `X-Forwarded-For` and similar fields are removed.
        trusted_proxies: Written<ProxiesSection> = nested::<ProxiesSection>(),
        /// Whether requests without TLS are redirected to `https://`, same host and path.
        redirect_to_https: Written<bool> = boolean(),
        /// `Strict-Transport-Security` (RFC 6797) in answers. Default: none.
        hsts: Written<Hsts> = HstsKind,
    }
}

impl ListenerSection {
    fn plain(address: Located<SocketAddr>) -> Self {
        Self {
            address,
            h2c: Written::Absent,
            tls: Written::Absent,
            trusted_proxies: Written::Absent,
            redirect_to_https: Written::Absent,
            hsts: Written::Absent,
        }
    }

    /// Whether clients are asked for certificates. True if the file is wrong about it.
    pub fn asks_for_certificates(&self) -> bool {
        match &self.tls {
            Written::Absent => false,
            Written::Bad => true,
            Written::Good(tls) => tls.value.asks_for_certificates(),
        }
    }

    /// The settings, with the files read that the entry names.
    fn load(self, routes: &[Route], report: &Report) -> Result<ListenerSettings, Reported> {
        let (has_tls, has_proxies) = (self.tls.is_written(), self.trusted_proxies.is_written());
        let (h2c, redirect, hsts) =
            (self.h2c.located(), self.redirect_to_https.located(), self.hsts.located());
        if let (true, Some(Located { value: true, at })) = (has_tls, &redirect) {
            let hint = "set it on the listener without tls, and remove it here";
            report.problem(at, "nothing comes to this listener without TLS", hint);
        }
        if let (false, false, Some(Located { at, .. })) = (has_tls, has_proxies, &hsts) {
            let hint = "set it on the listener with tls, or name the trusted_proxies that speak TLS";
            report.problem(at, "nothing comes to this listener with TLS (RFC 6797 §7.2)", hint);
        }
        if let (true, Some(Located { value: true, at })) = (has_tls, &h2c) {
            let hint = "remove it; with TLS clients get HTTP/2 as tls.alpn says";
            report.problem(at, "nothing comes to this listener in clear text", hint);
        }
        let (address, redirects) =
            (self.address.value, redirect.as_ref().is_some_and(|redirect| redirect.value));
        if !has_tls && !has_proxies && !redirects && !address.ip().is_loopback() {
            let message = format!("the listener {address} is open to the network without TLS");
            let hint = "set tls, or name the proxies that speak TLS in trusted_proxies";
            report.warning(&self.address.at, message, hint);
        }
        let loaded = self.tls.checked()?.map(|tls| tls.value.load(routes, report)).transpose()?;
        let proxies = self.trusted_proxies.checked()?.map(|proxies| proxies.value.resolve()).transpose()?;
        let (tls, tls_files) = loaded.map_or((None, Vec::new()), |loaded| (Some(loaded.tls), loaded.files));
        Ok(ListenerSettings {
            address,
            h2c: h2c.is_some_and(|h2c| h2c.value),
            tls,
            tls_files,
            trusted_proxies: proxies,
            redirect_to_https: redirects,
            hsts: hsts.map(|hsts| hsts.value),
        })
    }
}

/// The public listeners. No two of them take the same socket.
pub fn listeners(
    sections: Written<Entries<ListenerSection>>,
    variable: Option<Result<Located<SocketAddr>, Reported>>,
    report: &Report,
) -> Vec<ListenerSection> {
    let listeners: Vec<_> = match (variable, sections) {
        (Some(variable), sections) => {
            if let (Ok(Located { at, .. }), Some(sections)) = (&variable, sections.get()) {
                warn_of_lost_settings(&sections.value, at, report);
            }
            variable.into_iter().map(ListenerSection::plain).collect()
        }
        (None, Written::Good(sections)) => {
            sections.value.into_iter().flatten().map(|section| section.value).collect()
        }
        (None, Written::Bad) => Vec::new(),
        (None, Written::Absent) => {
            let address = Located { value: DEFAULT_LISTENER, at: Location::nowhere() };
            vec![ListenerSection::plain(address)]
        }
    };
    for (index, ListenerSection { address, .. }) in listeners.iter().enumerate() {
        let other = listeners[..index].iter().find(|other| collide(other.address.value, address.value));
        if let Some(ListenerSection { address: other, .. }) = other {
            let message = format!("{} is already taken by {}", address.value, other.at.name());
            report.problem(&address.at, message, "choose another port, or remove one of them");
        }
    }
    listeners
}

/// Warns of a variable that replaces listeners with more than an address.
fn warn_of_lost_settings(sections: &Entries<ListenerSection>, variable: &Location, report: &Report) {
    let any =
        |has: fn(&ListenerSection) -> bool| sections.iter().flatten().any(|section| has(&section.value));
    let lost = [
        ("tls", any(|section| section.tls.is_written())),
        ("client_certificates", any(ListenerSection::asks_for_certificates)),
        ("trusted_proxies", any(|section| section.trusted_proxies.is_written())),
    ];
    let lost: Vec<_> = lost.iter().filter(|(_, is_lost)| *is_lost).map(|(name, _)| *name).collect();
    if !lost.is_empty() {
        let message = format!("it replaces listeners of the file, and drops their {}", lost.join(", "));
        report.warning(variable, message, "unset it, or make sure that another proxy does what they did");
    }
}

/// The settings of all listeners, with the files read that they name.
pub fn load(
    sections: Vec<ListenerSection>,
    routes: &[Route],
    report: &Report,
) -> Result<Vec<ListenerSettings>, Reported> {
    // Every listener first, so that every problem is reported.
    let loaded: Vec<_> = sections.into_iter().map(|section| section.load(routes, report)).collect();
    loaded.into_iter().collect()
}

/// Whether two sockets cannot listen at the same time.
pub fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = match (one.ip(), other.ip()) {
        (one, other) if one == other => true,
        // `[::]` takes IPv4, too.
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
        }
    }
}
