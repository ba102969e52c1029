//! The downstream side: from an accepted socket to requests.
//!
//! Each worker accepts connections from every listener and serves each connection in its own task:
//!
//! 1. `accept` accepts sockets within the limits and counts them while they are open.
//! 2. `handshake` reads a trusted proxy's PROXY header and makes the TLS handshake.
//! 3. `http1` waits for the head of a request under a deadline and judges its bytes ([`crate::http`]). A head
//!    that is not valid is answered here. A valid request goes to the [`Application`] together with
//!    the `stream`; if the connection is kept, the stream comes back for the next request.
//! 4. `http2` does the same for the streams of an HTTP/2 connection, which run side by side.
//!
//! This room does not know what becomes of a request: it talks to an [`Application`], which the proxy
//! implements.

mod accept;
mod application;
mod body_watch;
mod connection;
mod deadline;
mod handshake;
mod head_watch;
mod http1;
mod http2;
mod listener;
mod pace;
mod settings;
mod stall;
mod stream;
mod transport;
mod worker;

pub use accept::accept;
pub use application::{Application, Http1Request, Http2Request, Unparsed, UnparsedRequest};
pub use body_watch::{BodyEnd, BodyWatch};
pub use connection::{Connection, TlsSession};
pub use deadline::Deadline;
pub use listener::{Listener, SharedListener};
pub use pace::Pace;
pub use settings::{Hsts, ListenerSettings};
pub use stream::ClientStream;
pub use worker::Worker;
