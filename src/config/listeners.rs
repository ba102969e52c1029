//! Where clients and operators connect.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Listener;
use super::error::{Located, Location, Report, Reported};
use super::file::ListenerSection;

const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8788);

/// The public listeners; no two of them, and not the admin listener, take the same socket.
pub(super) fn listeners(
    section: Option<Vec<Result<ListenerSection, Reported>>>,
    variable: Option<Result<Located<SocketAddr>, Reported>>,
    whole: &Location,
    report: &Report,
) -> Vec<Located<Listener>> {
    let plain = |address: Located<SocketAddr>| ListenerSection { address, h2c: None };
    let listeners = match (variable, section) {
        (Some(variable), _) => vec![variable.map(plain)],
        (None, Some(section)) => section,
        (None, None) => vec![Ok(plain(Located { value: DEFAULT_LISTENER, at: Location::nowhere() }))],
    };
    if listeners.is_empty() {
        let mend = format!("write one, or remove the key for {DEFAULT_LISTENER}");
        report.problem(whole, "the list of listeners is empty", mend);
    }
    let listeners: Vec<_> = listeners.into_iter().flatten().map(listener).collect();
    for (index, Located { value: listener, at }) in listeners.iter().enumerate() {
        let before = &listeners[..index];
        if let Some(other) = before.iter().find(|other| collide(other.value.address, listener.address)) {
            let message = format!("{} is already taken by {}", listener.address, other.at.name());
            report.problem(at, message, "choose another port, or remove one of them");
        }
    }
    listeners
}

fn listener(section: ListenerSection) -> Located<Listener> {
    let ListenerSection { address: Located { value: address, at }, h2c } = section;
    Located { value: Listener { address, h2c: h2c.unwrap_or(false) }, at }
}

/// The admin listener.
pub(super) fn admin(
    section: Option<Result<Located<SocketAddr>, Reported>>,
    variable: Option<Result<Located<SocketAddr>, Reported>>,
    listeners: &[Located<Listener>],
    report: &Report,
) -> Result<SocketAddr, Reported> {
    let default = Located { value: DEFAULT_ADMIN, at: Location::nowhere() };
    let admin = variable.or(section).unwrap_or(Ok(default))?;
    if let Some(listener) = listeners.iter().find(|listener| collide(listener.value.address, admin.value)) {
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
