//! `check` and routes that ask for client certificates.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::cli::CommandFailure;
use crate::policy::CertificateCondition;
use crate::tls::{Certificate, CertificateChain, Digest};

/// More than any chain needs.
const MAX_FILE: u64 = 1024 * 1024;

/// The first certificate of a file, which stands for the certificate of a client.
pub(super) fn read(path: &Path) -> Result<Certificate, CommandFailure> {
    let failed =
        |why: String| CommandFailure::Usage(format!("--client-certificate: {}: {why}", path.display()));
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut pem))
        .map_err(|error| failed(error.to_string()))?;
    let chain = CertificateChain::from_pem(&pem).map_err(|error| failed(error.to_string()))?;
    chain.certificates().first().cloned().ok_or_else(|| failed("it has no certificate".into()))
}

/// A route's condition on the client certificate, in words.
pub(super) fn show(condition: &CertificateCondition) -> String {
    let CertificateCondition { subjects, dns_names, uris, emails, fingerprints } = condition;
    let fingerprints: Vec<Box<str>> =
        fingerprints.iter().map(|digest| Digest(*digest).to_string().into()).collect();
    let lists = [
        ("subject", subjects),
        ("dns", dns_names),
        ("uri", uris),
        ("email", emails),
        ("sha256", &fingerprints),
    ];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    let lists: Vec<_> = lists.map(|(name, list)| format!("{name} {}", list.join("|"))).collect();
    match &lists[..] {
        [] => "with a client certificate".to_owned(),
        lists => format!("with a client certificate ({})", lists.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_a_condition_asks_for() {
        assert_eq!(show(&CertificateCondition::default()), "with a client certificate");
        let condition = CertificateCondition {
            subjects: vec!["CN=till 7,O=Example".into()],
            dns_names: vec!["a.example.com".into(), "b.example.com".into()],
            fingerprints: vec![[0xab; 32]],
            ..CertificateCondition::default()
        };
        let digest = "ab".repeat(32);
        let expected = format!(
            "with a client certificate (subject CN=till 7,O=Example; dns a.example.com|b.example.com; sha256 {digest})"
        );
        assert_eq!(show(&condition), expected);
    }
}
