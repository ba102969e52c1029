//! Conditions on the certificate of a client.

/// The contents of a verified client certificate. The caller must have verified the certificate.
#[derive(Clone, Copy, Debug)]
pub struct ClientCertificate<'c> {
    /// The subject in the notation of RFC 4514.
    pub subject: &'c str,
    /// The DNS names, in lower case.
    pub dns_names: &'c [Box<str>],
    /// The URIs in the certificate.
    pub uris: &'c [Box<str>],
    /// The e-mail addresses in the certificate.
    pub emails: &'c [Box<str>],
    /// SHA-256 of the whole certificate.
    pub fingerprint: &'c [u8; 32],
}

/// The certificates that a route takes. For each list with entries, the certificate must contain at least one
/// of them, spelled in the same way. Without any entry, every certificate is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateCondition {
    /// Subjects in the notation of RFC 4514.
    pub subjects: Vec<Box<str>>,
    /// DNS names, in lower case. A `*` in a certificate's name stands for itself.
    pub dns_names: Vec<Box<str>>,
    /// URIs, of which the certificate needs one.
    pub uris: Vec<Box<str>>,
    /// E-mail addresses, of which the certificate needs one.
    pub emails: Vec<Box<str>>,
    /// SHA-256 digests of whole certificates.
    pub fingerprints: Vec<[u8; 32]>,
}

impl CertificateCondition {
    /// Whether the condition takes a client with this certificate. A client without one is not taken.
    pub fn takes(&self, certificate: Option<ClientCertificate<'_>>) -> bool {
        let Some(shown) = certificate else { return false };
        let one_of = |wanted: &[Box<str>], found: &[Box<str>]| {
            wanted.is_empty() || wanted.iter().any(|wanted| found.contains(wanted))
        };
        (self.subjects.is_empty() || self.subjects.iter().any(|wanted| **wanted == *shown.subject))
            && one_of(&self.dns_names, shown.dns_names)
            && one_of(&self.uris, shown.uris)
            && one_of(&self.emails, shown.emails)
            && (self.fingerprints.is_empty() || self.fingerprints.contains(shown.fingerprint))
    }

    /// Whether the condition takes every certificate that `other` takes.
    pub(super) fn covers(&self, other: &Self) -> bool {
        fn all<T: PartialEq>(these: &[T], others: &[T]) -> bool {
            super::covers_all(these, others, T::eq)
        }
        all(&self.subjects, &other.subjects)
            && all(&self.dns_names, &other.dns_names)
            && all(&self.uris, &other.uris)
            && all(&self.emails, &other.emails)
            && all(&self.fingerprints, &other.fingerprints)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, prop_assert, proptest};
    use proptest::sample::{select, subsequence};

    use super::*;

    fn texts(list: &[&str]) -> Vec<Box<str>> {
        list.iter().map(|text| (*text).into()).collect()
    }

    #[test]
    fn every_list_has_to_be_met_by_one_entry_and_exactly() {
        let (dns_names, uris, emails) = (
            texts(&["till-7.example.com", "*.shop.example.com"]),
            texts(&["spiffe://example.com/till/7"]),
            texts(&["till@example.com"]),
        );
        let shown = ClientCertificate {
            subject: "CN=till 7,O=Example",
            dns_names: &dns_names,
            uris: &uris,
            emails: &emails,
            fingerprint: &[7; 32],
        };
        let any = CertificateCondition::default;
        let subjects = |list: &[&str]| CertificateCondition { subjects: texts(list), ..any() };
        let dns = |list: &[&str]| CertificateCondition { dns_names: texts(list), ..any() };
        let uris = |list: &[&str]| CertificateCondition { uris: texts(list), ..any() };
        let emails = |list: &[&str]| CertificateCondition { emails: texts(list), ..any() };
        let sha256 = |byte| CertificateCondition { fingerprints: vec![[byte; 32]], ..any() };
        for (condition, expected) in [
            (any(), true),
            (subjects(&["CN=till 7,O=Example"]), true),
            (subjects(&["CN=till 8,O=Example", "CN=till 7,O=Example"]), true),
            (subjects(&["CN=till 7"]), false),
            (subjects(&["CN=till 7,O=Example,C=GB"]), false),
            (subjects(&["O=Example,CN=till 7"]), false),
            (subjects(&["CN=Till 7,O=Example"]), false),
            (dns(&["till-7.example.com"]), true),
            (dns(&["example.com"]), false),
            (dns(&["a.shop.example.com"]), false),
            (dns(&["*.shop.example.com"]), true),
            (dns(&["till-7.example.com.evil.test"]), false),
            (uris(&["spiffe://example.com/till/7"]), true),
            (uris(&["spiffe://example.com/till/"]), false),
            (emails(&["till@example.com"]), true),
            (emails(&["TILL@example.com"]), false),
            (sha256(7), true),
            (sha256(8), false),
            (CertificateCondition { fingerprints: vec![[7; 32]], ..dns(&["till-7.example.com"]) }, true),
            (CertificateCondition { fingerprints: vec![[8; 32]], ..dns(&["till-7.example.com"]) }, false),
            // A name of one kind does not count as a name of another kind.
            (dns(&["till@example.com"]), false),
            (emails(&["till-7.example.com"]), false),
            (subjects(&["till-7.example.com"]), false),
        ] {
            assert_eq!(condition.takes(Some(shown)), expected, "{condition:?}");
            assert!(!condition.takes(None), "{condition:?}");
        }
    }

    fn condition() -> impl Strategy<Value = CertificateCondition> {
        let names = || vec(select(vec!["a", "b", "c"]).prop_map(Box::from), 0..3);
        (names(), names()).prop_map(|(subjects, dns_names)| CertificateCondition {
            subjects,
            dns_names,
            ..CertificateCondition::default()
        })
    }

    proptest! {
        #[test]
        fn a_condition_that_covers_another_takes_all_that_it_takes(
            this in condition(), other in condition(),
            subject in select(vec!["a", "b", "c"]), names in subsequence(vec!["a", "b", "c"], 0..=3),
        ) {
            let names = texts(&names);
            let shown = ClientCertificate {
                subject, dns_names: &names, uris: &[], emails: &[], fingerprint: &[0; 32],
            };
            if this.covers(&other) && other.takes(Some(shown)) {
                prop_assert!(this.takes(Some(shown)));
            }
        }
    }
}
