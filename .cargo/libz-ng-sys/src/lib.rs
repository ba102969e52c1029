//! zlib under the name of zlib-ng: flate2 uses the same functions and types of both.

pub use libz_sys::*;
