//! The effect of a limit that is exceeded.

use crate::closed_set::closed_set;

closed_set! {
    /// What happens to a connection or a request that exceeds a limit.
    pub enum Outcome {
        /// The connection or request is refused.
        Refused => "refused",
        /// It is let in: the limit only observes.
        Observed => "observed",
    }
}
