//! Route patterns of Cloudflare: which hosts and paths a worker is in front of.

/// A pattern in the gateway's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoutePattern {
    /// The hosts; empty for any.
    pub hosts: Vec<String>,
    /// The path, or its beginning.
    pub path: String,
    /// Whether the path must be equal.
    pub is_exact: bool,
}

impl RoutePattern {
    /// Reads a pattern such as `api.example.com/v1/*`. `None` if no route of the gateway is like it.
    pub fn read(text: &str) -> Option<Self> {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let slash = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(slash);
        let hosts = match host.strip_prefix('*') {
            _ if !host
                .strip_prefix('*')
                .unwrap_or(host)
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) =>
            {
                return None;
            }
            None => vec![host.to_owned()],
            Some("") => Vec::new(),
            Some(domain) if domain.starts_with('.') => vec![host.to_owned()],
            // A star without a dot stands for the domain and everything below it.
            Some(domain) => vec![domain.to_owned(), format!("*.{domain}")],
        };
        let (path, is_exact) = match path.strip_suffix('*') {
            Some(start) => (start, false),
            None => (path, true),
        };
        let path = if path.is_empty() { "/" } else { path };
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?#%\"\\".contains(&byte));
        is_plain.then(|| Self { hosts, path: path.to_owned(), is_exact })
    }

    /// Whether the pattern takes requests for an API, written as in `API_DOMAIN`.
    pub fn takes(&self, domain: &str) -> bool {
        let host = domain.split_once("://").map_or(domain, |(_, rest)| rest);
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        self.hosts.is_empty()
            || self.hosts.iter().any(|pattern| match pattern.strip_prefix('*') {
                Some(suffix) => host.ends_with(suffix),
                None => host == pattern,
            })
    }

    /// The route as one entry of `routes` in YAML.
    pub fn to_yaml(&self) -> String {
        let exact = if self.is_exact { ", match: exact" } else { "" };
        let hosts: Vec<String> = self.hosts.iter().map(|host| format!("{host:?}")).collect();
        let hosts = if hosts.is_empty() { String::new() } else { format!(", hosts: [{}]", hosts.join(", ")) };
        format!("  - {{ path: {:?}{exact}{hosts}, policy: observe }}\n", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_routes() {
        for (pattern, yaml) in [
            ("api.example.com/*", r#"path: "/", hosts: ["api.example.com"]"#),
            ("https://api.example.com/v1/*", r#"path: "/v1/", hosts: ["api.example.com"]"#),
            ("*.example.com/v1*", r#"path: "/v1", hosts: ["*.example.com"]"#),
            ("*example.com/*", r#"path: "/", hosts: ["example.com", "*.example.com"]"#),
            ("api.example.com", r#"path: "/", match: exact, hosts: ["api.example.com"]"#),
            ("api.example.com/a", r#"path: "/a", match: exact, hosts: ["api.example.com"]"#),
            ("*/a/*", r#"path: "/a/""#),
        ] {
            let route = RoutePattern::read(pattern).expect(pattern).to_yaml();
            assert_eq!(route, format!("  - {{ {yaml}, policy: observe }}\n"), "{pattern}");
        }
        let takes = |pattern, domain| RoutePattern::read(pattern).expect(pattern).takes(domain);
        for (pattern, domain) in [
            ("*.example.com/*", "https://api.example.com:8443"),
            ("api.example.com/v1/*", "api.example.com"),
            ("*/*", "api.example.com"),
        ] {
            assert!(takes(pattern, domain), "{pattern} {domain}");
            assert!(pattern == "*/*" || !takes(pattern, "origin.example.org"), "{pattern}");
        }
        for pattern in ["a.*.example.com/*", "example.com/*/a/*", "example.com/a?b", "exa mple.com/"] {
            assert_eq!(RoutePattern::read(pattern), None, "{pattern}");
        }
    }
}
