//! `certificates`: the certificate chains and keys of a listener.

use super::super::identity::{IdentitySection, check_validity, unix_now};
use crate::config::document::{Entries, Located, Report, Reported, quoted};
use crate::policy::{HostPattern, Policy, Route};
use crate::tls::{Certificate, Identity, UnknownName};

/// Loads every certificate, and warns of those that are outdated or useless.
pub fn load(
    sections: &Entries<IdentitySection>,
    unknown_name: UnknownName,
    routes: &[Route],
    report: &Report,
) -> Result<Vec<Identity>, Reported> {
    let now = unix_now();
    let mut identities: Vec<(&Located<IdentitySection>, Identity)> = Vec::with_capacity(sections.len());
    let mut failed = Ok(());
    for entry in sections {
        let loaded = entry.as_ref().map_err(|reported| *reported);
        match loaded.and_then(|entry| Ok((entry, entry.value.load(report)?))) {
            Ok((entry, identity)) => {
                let section = &entry.value;
                check_validity(&section.certificate_file, &identity, now, report);
                check_issuer(section, &identity, report);
                check_names(section, identity.certificate(), unknown_name, routes, report);
                check_use(entry, &identity, &identities, report);
                identities.push((entry, identity));
            }
            Err(reported) => failed = Err(reported),
        }
    }
    failed.map(|()| identities.into_iter().map(|(_, identity)| identity).collect())
}

fn check_issuer(section: &IdentitySection, identity: &Identity, report: &Report) {
    let Located { value: path, at } = &section.certificate_file;
    if identity.chain().lacks_issuer() {
        let message = format!("{}: there is no intermediate certificate", path.display());
        report.warning(at, message, "append it (often called chain or bundle); phones do not fetch it");
    }
}

fn check_names(
    section: &IdentitySection,
    certificate: &Certificate,
    unknown_name: UnknownName,
    routes: &[Route],
    report: &Report,
) {
    let Located { value: path, at } = &section.certificate_file;
    let path = path.display();
    if certificate.names().is_empty() {
        let message = format!("{path}: the certificate has no names (subjectAltName)");
        report.warning(at, message, "have it issued with the API's names; clients refuse it as it is");
    } else if certificate.dns_names.is_empty() && unknown_name == UnknownName::Reject {
        let message = format!("{path}: the certificate has no DNS name, so no client can ask for it");
        report.warning(at, message, "write unknown_name: default, or have it issued with a DNS name");
    }
    for name in certificate.dns_names.iter().filter(|name| !routes.iter().any(|route| serves(route, name))) {
        let message = format!("{path}: no route serves {}", quoted(name));
        report.warning(at, message, "add the name to a route's hosts, or have the certificate without it");
    }
}

/// Whether a route serves requests for a name of a certificate.
fn serves(route: &Route, name: &str) -> bool {
    let takes = |host: &HostPattern| match (name.strip_prefix("*."), host) {
        (None, host) => host.matches(name.as_bytes()),
        (Some(domain), HostPattern::Exact(host)) => {
            host.split_once('.').is_some_and(|(_, rest)| rest == domain)
        }
        (Some(domain), HostPattern::Suffix(suffix)) => format!(".{domain}").ends_with(&**suffix),
    };
    route.policy != Policy::Deny && (route.hosts.is_empty() || route.hosts.iter().any(takes))
}

/// Warns of a certificate that is never used, because an earlier one has all its names and the same kind of
/// key.
fn check_use(
    entry: &Located<IdentitySection>,
    identity: &Identity,
    earlier: &[(&Located<IdentitySection>, Identity)],
    report: &Report,
) {
    let kind = |identity: &Identity| match &*identity.certificate().key {
        key if key.starts_with("RSA ") => "RSA".to_owned(),
        key => key.to_owned(),
    };
    let names = &identity.certificate().dns_names;
    let covers = |other: &Identity| {
        kind(other) == kind(identity)
            && !names.is_empty()
            && names.iter().all(|name| other.certificate().dns_names.contains(name))
    };
    if let Some((other, _)) = earlier.iter().find(|(_, other)| covers(other)) {
        let message =
            format!("{} has all its names, and its kind of key: this one is never used", other.at.name());
        report.warning(&entry.at, message, "remove one of them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approov::Strategy;

    #[test]
    fn a_route_serves_a_name_if_some_request_for_it_can_take_it() {
        for (hosts, policy, name, expected) in [
            (&[][..], Policy::Protect, "api.example.com", true),
            (&[], Policy::Deny, "api.example.com", false),
            (&["api.example.com"], Policy::Open, "api.example.com", true),
            (&["api.example.com"], Policy::Open, "www.example.com", false),
            (&["*.example.com"], Policy::Open, "api.example.com", true),
            (&["*.example.com"], Policy::Open, "example.com", false),
            (&["api.example.com"], Policy::Open, "*.example.com", true),
            (&["a.api.example.com"], Policy::Open, "*.example.com", false),
            (&["example.com"], Policy::Open, "*.example.com", false),
            (&["*.example.com"], Policy::Open, "*.example.com", true),
            (&["*.com"], Policy::Open, "*.example.com", true),
            (&["*.api.example.com"], Policy::Open, "*.example.com", false),
            (&["x.org", "api.example.com"], Policy::Open, "api.example.com", true),
        ] {
            let pattern = |host: &&str| match host.strip_prefix('*') {
                Some(suffix) => HostPattern::Suffix(suffix.into()),
                None => HostPattern::Exact((*host).into()),
            };
            let hosts_of_route = hosts.iter().map(pattern).collect();
            let route = Route { hosts: hosts_of_route, ..Route::by_path("/", policy, Strategy::Token) };
            assert_eq!(serves(&route, name), expected, "{hosts:?} {name}");
        }
    }
}
