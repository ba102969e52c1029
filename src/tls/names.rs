//! Server names: exact names, and wildcards that stand for one label.

use std::collections::HashMap;

/// Values by the DNS names of certificates (RFC 9525 §6.3). An exact name takes precedence over a wildcard.
/// `*.example.com` matches `a.example.com`, but neither `example.com` nor `a.b.example.com`.
#[derive(Clone, Debug)]
pub(super) struct Names<T> {
    exact: HashMap<Box<str>, Vec<T>>,
    /// By the domain behind `*.`.
    wildcards: HashMap<Box<str>, Vec<T>>,
}

impl<T> Names<T> {
    pub fn new() -> Self {
        Self { exact: HashMap::new(), wildcards: HashMap::new() }
    }

    /// Adds a value under a name of a certificate, which is in lower case. A wildcard that does not replace
    /// the whole first label matches nothing and is ignored.
    pub fn add(&mut self, name: &str, value: T) {
        let (names, key) = match name.strip_prefix("*.") {
            Some(domain) => (&mut self.wildcards, domain),
            None => (&mut self.exact, name),
        };
        if !key.is_empty() && !key.contains('*') {
            names.entry(key.into()).or_default().push(value);
        }
    }

    /// The values for the server name of a client, in the order in which they were added. Never empty.
    /// Letter case and a final dot are ignored.
    pub fn find(&self, server_name: &str) -> Option<&[T]> {
        let name = server_name.strip_suffix('.').unwrap_or(server_name).to_ascii_lowercase();
        let wildcard = || self.wildcards.get(name.split_once('.')?.1);
        self.exact.get(&*name).or_else(wildcard).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_goes_before_a_wildcard_that_stands_for_one_label() {
        let mut names = Names::new();
        let known = [
            "example.com",
            "*.example.com",
            "api.example.com",
            "*.api.example.com",
            "*.com",
            "f*.example.org",
            "*",
            "*.",
            "a.*.example.org",
            "",
        ];
        for (index, name) in known.iter().enumerate() {
            names.add(name, index);
        }
        for (asked, expected) in [
            ("example.com", Some(0)),
            ("Example.COM.", Some(0)),
            ("a.example.com", Some(1)),
            ("xn--bcher-kva.example.com", Some(1)),
            ("API.example.com", Some(2)),
            ("a.api.example.com", Some(3)),
            ("a.b.example.com", None),
            ("other.com", Some(4)),
            ("com", None),
            ("foo.example.org", None),
            ("f*.example.org", None),
            ("a.b.example.org", None),
            ("*.example.com", Some(1)),
            (".example.com", Some(1)),
            ("", None),
            (".", None),
        ] {
            assert_eq!(names.find(asked).map(|found| found[0]), expected, "{asked}");
        }
    }

    #[test]
    fn one_name_can_have_several_values_in_order() {
        let mut names = Names::new();
        names.add("example.com", 'b');
        names.add("example.com", 'a');
        assert_eq!(names.find("example.com"), Some(&['b', 'a'][..]));
    }
}
