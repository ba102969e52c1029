//! A configuration for the tests of `check`.

use crate::config::{Environment, Settings, load};

pub const SECRET: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";

pub fn environment() -> Environment {
    Environment::from_pairs([("APPROOV_SECRET_BASE64", SECRET), ("GATEWAY_THREADS", "2")])
}

pub fn settings() -> Settings {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good/routes.yaml");
    load(Some(file.as_ref()), &environment()).unwrap_or_else(|problems| panic!("{problems}"))
}
