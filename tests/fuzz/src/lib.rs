//! Properties that must hold for every input, as functions that panic if one does not hold.
//!
//! `targets/` calls them with the inputs of libFuzzer. `cargo test` calls them with the inputs in
//! `corpus/`, with any toolchain. Each property compares the gateway with independent code: another
//! library, or a simple implementation of the same rule.

pub mod address_list;
pub mod answer;
pub mod chunked;
pub mod claims;
pub mod client_address;
pub mod config;
pub mod content_digest;
pub mod head;
pub mod key_set;
pub mod log_line;
pub mod proxy_header;
mod ranges;
mod reader;
mod reference;
pub mod request;
pub mod response;
pub mod route;
pub mod signature_input;
pub mod token;

/// A property. Panics on an input for which it does not hold.
pub type Property = fn(&[u8]);

/// Every property, with the name of its target and of its folder in `corpus/`.
pub const PROPERTIES: [(&str, Property); 16] = [
    ("address_list", address_list::holds),
    ("answer", answer::holds),
    ("chunked", chunked::holds),
    ("claims", claims::holds),
    ("client_address", client_address::holds),
    ("config", config::holds),
    ("content_digest", content_digest::holds),
    ("head", head::holds),
    ("key_set", key_set::holds),
    ("log_line", log_line::holds),
    ("proxy_header", proxy_header::holds),
    ("request", request::holds),
    ("response", response::holds),
    ("route", route::holds),
    ("signature_input", signature_input::holds),
    ("token", token::holds),
];
