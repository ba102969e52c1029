//! Why a request has its verdict.

use crate::approov::Rejection;
use crate::policy::Verdict;

/// The number of reasons.
const COUNT: usize = Rejection::ALL.len() + 3;

/// The number of pairs of verdict and reason.
pub(super) const OUTCOMES: usize = Verdict::ALL.len() * COUNT;

/// Why a request has its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Verification found nothing wrong, or the route does not ask for it.
    Ok,
    /// Verification failed.
    Rejected(Rejection),
    /// The request was refused whatever its token: by policy, because no route matches, or because the
    /// request is malformed.
    PolicyDeny,
    /// The request was refused by a limit or a ban.
    Limit,
}

impl Reason {
    /// Every reason, in the order of [`position`].
    fn all() -> impl Iterator<Item = Self> {
        let rejected = Rejection::ALL.into_iter().map(Reason::Rejected);
        [Reason::Ok, Reason::PolicyDeny, Reason::Limit].into_iter().chain(rejected)
    }

    /// The value of the label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Ok => "ok",
            Reason::Rejected(rejection) => rejection.label(),
            Reason::PolicyDeny => "policy_deny",
            Reason::Limit => "limit",
        }
    }

    /// The value of `approov.reason` in the log. Empty for a request that was refused for another reason
    /// than its token.
    pub fn log_label(self) -> &'static str {
        match self {
            Reason::Ok | Reason::Rejected(_) => self.label(),
            Reason::PolicyDeny | Reason::Limit => "",
        }
    }
}

/// Every verdict with every reason, in the order of [`position`].
pub(super) fn outcomes() -> impl Iterator<Item = (Verdict, Reason)> {
    Verdict::ALL.into_iter().flat_map(|verdict| Reason::all().map(move |reason| (verdict, reason)))
}

/// The position of an outcome in [`outcomes`].
pub(super) fn position(verdict: Verdict, reason: Reason) -> usize {
    let reason = match reason {
        Reason::Ok => 0,
        Reason::PolicyDeny => 1,
        Reason::Limit => 2,
        Reason::Rejected(rejection) => 3 + rejection as usize,
    };
    verdict as usize * COUNT + reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_order_of_all_outcomes() {
        assert!(outcomes().map(|(verdict, reason)| position(verdict, reason)).eq(0..OUTCOMES));
    }
}
