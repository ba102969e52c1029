//! The direct exchange: a plain request to an origin with HTTP/1, without Pingora's proxy in between.
//!
//! The head of an HTTP/1.1 request has been judged as bytes. It is decided on, edited and forwarded as bytes
//! (`head`, `write`), and so is the head of the response. Bodies stream in both directions (`upload`,
//! `download`) in one future that holds no buffer while it waits (`pump`). Decisions, records
//! and answers are the same as for Pingora's hooks: `super::steps` has them.
//!
//! The client's side (`side`) is a connection with HTTP/1.1 (`http1`) or a stream of HTTP/2 (`http2`).
//!
//! `offline` gives the parts that only turn bytes into other bytes to tests without sockets.
//!
//! Connections to origins stay in a pool of the worker (`crate::upstream`).

mod download;
mod head;
mod http1;
mod http2;
mod offline;
mod pump;
mod request;
mod serve;
mod side;
mod upload;
mod write;

pub use download::Download;
pub use offline::OfflineHeads;
pub use serve::Direct;
pub(super) use serve::Served;
pub use upload::Upload;
