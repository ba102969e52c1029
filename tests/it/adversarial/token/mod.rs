//! Attacks with the token, on the verification code itself.

mod bindings;
mod claims;
mod forms;
mod headers;
