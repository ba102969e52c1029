//! The result of a TLS handshake, as a label.

use crate::closed_set::closed_set;

closed_set! {
    /// How a TLS handshake with a client ended.
    pub enum Handshake {
        /// The handshake succeeded with a new session.
        Full => "full",
        /// The handshake succeeded and resumed an earlier session.
        Resumed => "resumed",
        /// The handshake failed, or the connection broke.
        Failed => "failed",
        /// The handshake was not complete in time.
        TimedOut => "timed_out",
    }
}
