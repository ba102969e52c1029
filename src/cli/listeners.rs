//! How `check` shows a listener.

use crate::downstream::ListenerSettings;
use crate::tls::{CertificateChain, ClientAuthMode, Protocol, ServerTls, UnknownName, Version};

/// The listener, what stands before it, and the certificates that it shows.
pub(super) fn lines(listener: &ListenerSettings) -> Vec<String> {
    let protocols = match &listener.tls {
        Some(tls) => spoken(tls),
        None if listener.h2c => "HTTP/1.1, HTTP/2 in clear text".to_owned(),
        None => "HTTP/1.1".to_owned(),
    };
    let mut lines = vec![format!("listener       {}: {protocols}", listener.address)];
    if let Some(proxies) = &listener.trusted_proxies {
        let ranges: Vec<_> = proxies.ranges().iter().map(ToString::to_string).collect();
        lines.push(format!("proxies        {}, trusted in {}", ranges.join(", "), proxies.source().label()));
    }
    if listener.redirect_to_https {
        lines.push("redirect       to https://, of what comes without TLS".to_owned());
    }
    if let Some(hsts) = listener.hsts {
        lines.push(format!("hsts           {hsts}"));
    }
    lines.extend(listener.tls.iter().flat_map(certificates));
    lines
}

fn spoken(tls: &ServerTls) -> String {
    let versions = match tls.min_version {
        Version::Tls12 => "TLS 1.2 and 1.3",
        Version::Tls13 => "TLS 1.3",
    };
    let protocols: Vec<_> = tls.protocols.iter().copied().map(Protocol::label).collect();
    let unknown = match tls.unknown_name {
        UnknownName::Default => "",
        UnknownName::Reject => ", unknown names rejected",
    };
    let tickets = match tls.ticket_keys.len() {
        0 => String::new(),
        1 => ", 1 ticket key".to_owned(),
        count => format!(", {count} ticket keys"),
    };
    format!("{versions}, {}{tickets}{unknown}", protocols.join(" and "))
}

fn certificates(tls: &ServerTls) -> Vec<String> {
    let mut lines: Vec<_> = tls
        .identities
        .iter()
        .flat_map(|identity| {
            let certificate = identity.certificate();
            let names = match &certificate.names()[..] {
                [] => certificate.name(),
                names => names.join(", "),
            };
            let expires = jiff::Timestamp::from_second(certificate.not_after)
                .map_or_else(|_| "beyond any calendar".to_owned(), |time| time.to_string());
            let shown = format!("certificate    {names} ({}), expires {expires}", certificate.key);
            std::iter::once(shown).chain(registrations(identity.chain()))
        })
        .collect();
    let auth = &tls.client_auth;
    let authorities: Vec<_> = auth.authorities().iter().map(|authority| authority.name()).collect();
    match auth.mode() {
        ClientAuthMode::Off => {}
        mode @ (ClientAuthMode::Optional | ClientAuthMode::Required) => {
            let (mode, authorities) = (mode.label(), authorities.join(", "));
            lines.push(format!("certificates   of clients {mode}, from {authorities}"));
        }
    }
    lines
}

/// What to run so that apps connect: each name once, and the pins of the chain.
fn registrations(chain: &CertificateChain) -> Vec<String> {
    let names = chain.certificates().first().map_or(Vec::new(), |own| own.dns_names.clone());
    let names = names.iter().map(|name| match name.strip_prefix("*.") {
        None => format!("               approov api -add {name}"),
        Some(domain) => {
            format!("               approov api -add NAME.{domain}, for each name that apps call")
        }
    });
    let pins = chain.certificates().iter().enumerate().map(|(index, certificate)| {
        let place = match index {
            0 => "its key",
            _ if certificate.is_self_issued() => "its root",
            _ => "its issuer",
        };
        format!("               pin of {place}: {}", certificate.pin)
    });
    names.chain(pins).collect()
}
