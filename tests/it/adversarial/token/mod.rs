//! What is tried with the token, against the verification core itself.

mod bindings;
mod claims;
mod forms;
mod headers;
