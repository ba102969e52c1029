//! Why a request is sent to its origin again.

use crate::closed_set::closed_set;

closed_set! {
    /// Why a request is sent to its origin again.
    pub enum RetryReason {
        /// The connection could not be made, and another address is left.
        Connect => "connect",
        /// The origin has not begun with the request: it closed a kept connection, or refused an
        /// HTTP/2 stream.
        Closed => "closed",
        /// The connection broke before there was a response.
        Error => "error",
        /// The origin did not answer in time.
        Timeout => "timeout",
        /// The status of the response is in the origin's list of statuses to retry.
        Status => "status",
    }
}
