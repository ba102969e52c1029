//! The result of a TLS handshake.

use crate::closed_set::closed_set;

closed_set! {
    /// How a TLS handshake with a client ended.
    pub enum Handshake {
        /// It succeeded and made a new session.
        Full => "full",
        /// It succeeded and resumed an earlier session.
        Resumed => "resumed",
        /// It failed.
        Failed => "failed",
        /// It was not complete in time.
        TimedOut => "timed_out",
    }
}
