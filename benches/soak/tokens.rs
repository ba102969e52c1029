//! Tokens of devices.

use std::time::{Duration, SystemTime};

use approov_gateway::approov::Secret;
use approov_gateway::cli::token::{Kind, Request, mint};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Result;

/// The account's secret.
pub const SECRET: &str =
    "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzNnqyRze3lw/WVyWrc2gZfh3XXfBOmww==";

/// A token of this device that lasts longer than any run.
pub fn token(kind: Kind, device: u64) -> Result<String> {
    let secret = Secret::from_base64(SECRET)?;
    let id = STANDARD.encode(u128::from(device).to_be_bytes());
    let claims = vec![("did".into(), id.into())];
    let day = Duration::from_secs(24 * 3600);
    Ok(mint(&secret, &Request { kind, ttl: day, claims, ..Request::default() }, SystemTime::now())?)
}
