//! Labels of responses: status class and sender.

use crate::closed_set::closed_set;

closed_set! {
    /// The class of a status code.
    pub enum StatusClass {
        /// Switching protocols: a tunnel.
        Informational => "1xx",
        /// The request succeeded.
        Success => "2xx",
        /// A redirection, or the answer that nothing was modified.
        Redirection => "3xx",
        /// A fault of the client.
        ClientError => "4xx",
        /// A fault of origin or gateway.
        ServerError => "5xx",
    }
}

closed_set! {
    /// The sender of a response.
    pub enum Source {
        /// The origin; the gateway passed the response on.
        Origin => "origin",
        /// The gateway itself: a refusal, or a failure of the origin.
        Gateway => "gateway",
    }
}

impl From<u16> for StatusClass {
    fn from(status: u16) -> Self {
        match status {
            0..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}
