//! What must hold for every input, as functions that panic when it does not.
//!
//! `targets/` feeds them what libFuzzer finds; the project's own tests feed them the inputs kept in
//! `corpus/`, so that these are tried with any toolchain. Each compares the gateway with something
//! that was written independently of it: another library, or the same thing said naively.

pub mod address_list;
pub mod answer;
pub mod chunked;
pub mod claims;
pub mod client_address;
pub mod config;
pub mod head;
pub mod log_line;
pub mod proxy_header;
mod ranges;
mod reference;
pub mod route;
pub mod token;

/// Panics on an input for which it does not hold.
pub type Property = fn(&[u8]);

/// Every property, under the name of its target and of its folder in `corpus/`.
pub const PROPERTIES: [(&str, Property); 11] = [
    ("address_list", address_list::holds),
    ("answer", answer::holds),
    ("chunked", chunked::holds),
    ("claims", claims::holds),
    ("client_address", client_address::holds),
    ("config", config::holds),
    ("head", head::holds),
    ("log_line", log_line::holds),
    ("proxy_header", proxy_header::holds),
    ("route", route::holds),
    ("token", token::holds),
];
