//! The outcome of a request.

use crate::closed_set::closed_set;

closed_set! {
    /// What became of a request: whether it was forwarded, and why.
    pub enum Verdict {
        /// The token was verified, and the request was forwarded.
        Accepted => "accepted",
        /// The request was refused because its token failed verification.
        Rejected => "rejected",
        /// The route only observes: the request was forwarded, whatever verification found.
        Observed => "observed",
        /// The route is open: the request was forwarded without verification.
        Open => "open",
        /// The request was refused without regard to its token: by policy, by a limit, because no
        /// route matched, or because it was malformed.
        Denied => "denied",
    }
}

impl Verdict {
    /// Whether the request was refused.
    pub fn is_refusal(self) -> bool {
        matches!(self, Verdict::Rejected | Verdict::Denied)
    }
}
