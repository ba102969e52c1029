//! What `check` knows and `run` does not serve yet.

use crate::config::Settings;

/// Refuses listeners with `tls`, `trusted_proxies`, `redirect_to_https` or `hsts`, so that nobody
/// serves without what was asked for.
///
/// # Errors
/// A line for each of these keys.
pub(super) fn refuse(settings: Settings) -> Result<Settings, String> {
    let mut lines = Vec::new();
    for (index, listener) in settings.listeners.iter().enumerate() {
        let unserved = [
            ("tls", listener.tls.is_some()),
            ("trusted_proxies", listener.trusted_proxies.is_some()),
            ("redirect_to_https", listener.redirect_to_https),
            ("hsts", listener.hsts.is_some()),
        ];
        for (key, _) in unserved.iter().filter(|(_, is_set)| *is_set) {
            lines.push(format!("listeners[{index}].{key}: this is not supported in this version; remove it"));
        }
    }
    if lines.is_empty() { Ok(settings) } else { Err(lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    #[test]
    fn names_every_key_that_is_not_served() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good/listeners.yaml");
        let pairs = [
            ("APPROOV_SECRET_BASE64", "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN"),
            ("API_DOMAIN", "api.example.com"),
        ];
        let settings = load(Some(file.as_ref()), &Environment::from_pairs(pairs)).expect("the file loads");
        let told = refuse(settings).expect_err("several keys");
        let first = "listeners[0].redirect_to_https: this is not supported in this version; remove it\n";
        assert!(told.starts_with(first), "{told}");
        assert_eq!(told.lines().count(), 7, "{told}");
    }
}
