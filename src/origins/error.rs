//! The kinds of failures of an origin.

use crate::closed_set::closed_set;

closed_set! {
    /// How a request to an origin failed.
    pub enum UpstreamErrorKind {
        /// The origin's host name has no known address.
        Resolve => "resolve",
        /// Every address of the origin is ejected or fails its health check.
        AllDown => "all_down",
        /// The queue of requests that wait for the origin is full.
        QueueFull => "queue_full",
        /// The request waited in the queue for longer than allowed.
        QueueTimeout => "queue_timeout",
        /// The TCP connection could not be made.
        Connect => "connect",
        /// The connection was not established in time, TLS handshake included.
        ConnectTimeout => "connect_timeout",
        /// The TLS handshake failed, or the certificate is not trusted or not for this name.
        Tls => "tls",
        /// The origin sent nothing for longer than allowed.
        ReadTimeout => "read_timeout",
        /// The origin read nothing for longer than allowed.
        WriteTimeout => "write_timeout",
        /// The origin closed the connection before the exchange was complete.
        Closed => "closed",
        /// The origin's response is not valid HTTP.
        InvalidResponse => "invalid_response",
        /// The origin sent something that no request asked for. The connection was closed.
        Unsolicited => "unsolicited",
        /// The failure is of no other kind.
        Other => "other",
    }
}
