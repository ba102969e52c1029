//! The URL of a store: `redis://host`, `rediss://user@host:6380/2`, or several hosts with commas.

use super::host::host_and_port;
use crate::config::document::{Fault, digits, quoted};

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    pub tls: bool,
    pub user: Option<Box<str>>,
    /// Host and port of each server. Never empty.
    pub servers: Vec<(Box<str>, Option<u16>)>,
    pub database: u32,
}

const HINT: &str = "write a URL such as rediss://store.example.com:6379";

/// Reads the URL of a store.
pub fn store_url(text: &str) -> Result<StoreUrl, Fault> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| Fault::new("it has no scheme", HINT))?;
    let tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return Err(Fault::new(format!("the scheme {} is not supported", quoted(scheme)), HINT)),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((user, _)) if user.contains(':') => {
            return Err(Fault::new(
                "it has a password",
                "write the password into a file, and name it in password_file",
            ));
        }
        Some((user, rest))
            if !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%') =>
        {
            (Some(user.into()), rest)
        }
        Some(_) => return Err(Fault::new("its user is empty or has special characters", HINT)),
    };
    let (servers, database) = rest.split_once('/').unwrap_or((rest, ""));
    let database = match database {
        "" => 0,
        database => digits(database).ok_or_else(|| {
            Fault::new(
                format!("{} is not the number of a database", quoted(database)),
                "write one such as /0, or none",
            )
        })?,
    };
    let servers = servers.split(',').map(host_and_port).collect::<Result<_, _>>()?;
    Ok(StoreUrl { tls, user, servers, database })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_url_apart() {
        let url = store_url("rediss://gateway@a.example:6380,[::1]/2").expect("a URL");
        let servers = vec![("a.example".into(), Some(6380)), ("::1".into(), None)];
        assert_eq!(url, StoreUrl { tls: true, user: Some("gateway".into()), servers, database: 2 });
        let url = store_url("redis://127.0.0.1").expect("a URL");
        assert_eq!((url.tls, url.user, url.database), (false, None, 0));
    }

    #[test]
    fn says_what_is_wrong_and_shows_no_password() {
        for (text, part) in [
            ("127.0.0.1", "no scheme"),
            ("http://a", "`http` is not supported"),
            ("redis://", "host name is missing"),
            ("redis://a,", "host name is missing"),
            ("redis://user:hunter2@a", "has a password"),
            ("redis://:hunter2@a", "has a password"),
            ("redis://@a", "user is empty"),
            ("redis://a/b", "`b` is not the number"),
            ("redis://a:0", "not a port"),
        ] {
            let fault = store_url(text).expect_err(text);
            assert!(fault.message.contains(part), "{text}: {fault:?}");
            assert!(!format!("{fault:?}").contains("hunter2"));
        }
    }
}
