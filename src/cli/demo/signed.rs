//! The signed request of the demo.

use std::net::SocketAddr;
use std::time::Duration;

use crate::approov::Secret;
use crate::cli::request::Request;
use crate::cli::request_signer::RequestSigner;
use crate::cli::{CommandFailure, token};
use crate::clock;

/// A request for `/account` that an installation has signed.
pub(super) struct SignedRequest {
    pub token: String,
    pub input: String,
    pub signature: String,
}

impl SignedRequest {
    /// Signs with a new key. `life` is how long the token and the signature are good.
    pub fn new(secret: &Secret, public: SocketAddr, life: Duration) -> Result<Self, CommandFailure> {
        let signer = RequestSigner::install()?;
        let claims = signer.claims(None)?;
        let minted = token::MintRequest { claims, ttl: life, ..token::MintRequest::default() };
        let token = token::mint(secret, &minted, clock::system_time())
            .map_err(|error| CommandFailure::Running(error.to_string()))?;
        let mut request =
            Request::for_url("GET", &format!("http://{public}/account")).map_err(CommandFailure::Running)?;
        request.add_field(&format!("Approov-Token: {token}")).map_err(CommandFailure::Running)?;
        let now = clock::unix_time().as_secs();
        let [(_, input), (_, signature)] = signer.sign(&request, "approov-token", now, life.as_secs())?;
        Ok(Self { token, input, signature })
    }
}
