//! Whether an address gets requests, from the results of health checks and of requests.
//!
//! All state is atomic, because all workers share it. Times are milliseconds since the start of the origin;
//! the caller reads the clock.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::origins::{Ejection, HealthCheck};

/// The state of one address.
#[derive(Debug, Default)]
pub(super) struct EndpointHealth {
    /// Whether health checks have failed.
    is_down: AtomicBool,
    is_checked: AtomicBool,
    /// Consecutive checks that contradict `is_unhealthy`.
    contrary: AtomicUsize,
    /// The number of failed connections in a row.
    connect_failures: AtomicUsize,
    /// Consecutive requests without an answer in time.
    timeouts: AtomicUsize,
    /// Consecutive failed exchanges, including 5xx answers.
    errors: AtomicUsize,
    /// The end of the ejection; 0 if the address is not ejected.
    returns_at: AtomicU64,
    /// The number of ejections in a row.
    ejections: AtomicU32,
}

/// Permission to send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nothing is wrong with the address.
    Usual,
    /// This request tests whether the address has recovered. No other request is sent meanwhile.
    Trial,
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeFailure {
    /// No answer came in time.
    Timeout,
    /// The connection broke, or the answer was 5xx or not HTTP.
    Error,
}

impl EndpointHealth {
    /// Whether a request may be sent.
    pub fn is_usable(&self, now: u64) -> bool {
        !self.is_down.load(Relaxed) && self.returns_at.load(Relaxed) <= now
    }

    /// Whether the address was ejected and has not answered since.
    pub fn is_ejected(&self) -> bool {
        self.returns_at.load(Relaxed) != 0
    }

    /// Asks for permission to send a request. After an ejection only one request gets it, until that request
    /// is answered or `trial` has passed.
    pub fn claim(&self, now: u64, trial: Duration) -> Option<Leave> {
        if self.is_down.load(Relaxed) {
            return None;
        }
        match self.returns_at.load(Relaxed) {
            0 => Some(Leave::Usual),
            at if at <= now => {
                let until = now + milliseconds(trial).max(1);
                self.returns_at.compare_exchange(at, until, Relaxed, Relaxed).is_ok().then_some(Leave::Trial)
            }
            _ => None,
        }
    }

    /// The time until a request may be sent again. `check` is the interval of the health checks.
    pub fn returns_in(&self, now: u64, check: Option<Duration>) -> Duration {
        let ejected = Duration::from_millis(self.returns_at.load(Relaxed).saturating_sub(now));
        if self.is_down.load(Relaxed) { ejected.max(check.unwrap_or_default()) } else { ejected }
    }

    /// The address has answered, and the answer does not count as an error.
    pub fn answered(&self) {
        // Written only on a change, so that the cache line stays shared between workers.
        for counter in [&self.connect_failures, &self.timeouts, &self.errors] {
            if counter.load(Relaxed) != 0 {
                counter.store(0, Relaxed);
            }
        }
        self.welcome();
    }

    fn welcome(&self) {
        if self.returns_at.load(Relaxed) != 0 {
            self.returns_at.store(0, Relaxed);
            self.ejections.store(0, Relaxed);
        }
    }

    /// No connection could be made. Returns the length of the ejection if one begins now.
    pub fn connect_failed(&self, leave: Leave, now: u64, rules: &Ejection) -> Option<Duration> {
        let failures = self.connect_failures.fetch_add(1, Relaxed) + 1;
        let is_due = rules.connect_failures > 0 && failures >= rules.connect_failures;
        is_due.then(|| self.eject(leave, now, rules))?
    }

    /// An exchange failed, or was answered with 5xx. Returns the length of the ejection if one begins now.
    /// The last usable address (`is_last`) is not ejected: a bad answer is better than none.
    pub fn failed(
        &self,
        failure: ExchangeFailure,
        leave: Leave,
        is_last: bool,
        now: u64,
        rules: &Ejection,
    ) -> Option<Duration> {
        let (counter, most) = match failure {
            ExchangeFailure::Timeout if rules.timeouts > 0 => (&self.timeouts, rules.timeouts),
            ExchangeFailure::Timeout | ExchangeFailure::Error => (&self.errors, rules.errors),
        };
        if most == 0 {
            return None;
        }
        self.connect_failures.store(0, Relaxed);
        let failures = counter.fetch_add(1, Relaxed) + 1;
        if failures >= most && !is_last {
            return self.eject(leave, now, rules);
        }
        if leave == Leave::Trial {
            self.welcome();
        }
        None
    }

    /// Results of requests that were sent before the ejection are ignored.
    fn eject(&self, leave: Leave, now: u64, rules: &Ejection) -> Option<Duration> {
        let at = self.returns_at.load(Relaxed);
        if leave == Leave::Usual && at != 0 {
            return None;
        }
        let times = self.ejections.load(Relaxed);
        let time = rules.base_time.saturating_mul(1 << times.min(16)).min(rules.max_time);
        self.returns_at.compare_exchange(at, now + milliseconds(time).max(1), Relaxed, Relaxed).is_ok().then(
            || {
                self.ejections.store(times.saturating_add(1), Relaxed);
                time
            },
        )
    }

    /// Takes in the result of a health check. Returns the new state if it changes. The first check of an
    /// address decides at once.
    pub fn checked(&self, passed: bool, rules: &HealthCheck) -> Option<bool> {
        if passed && rules_out_connect_failure(self) {
            self.connect_failures.store(0, Relaxed);
            self.welcome();
        }
        let is_first = !self.is_checked.swap(true, Relaxed);
        let is_down = self.is_down.load(Relaxed);
        if passed != is_down {
            self.contrary.store(0, Relaxed);
            return None;
        }
        let threshold = if passed { rules.healthy_threshold } else { rules.unhealthy_threshold };
        if self.contrary.fetch_add(1, Relaxed) + 1 < threshold && !is_first {
            return None;
        }
        self.contrary.store(0, Relaxed);
        self.is_down.store(!passed, Relaxed);
        Some(passed)
    }
}

/// Ends an ejection for failed connections, because a check has just connected.
fn rules_out_connect_failure(health: &EndpointHealth) -> bool {
    health.connect_failures.load(Relaxed) > 0
        && health.timeouts.load(Relaxed) == 0
        && health.errors.load(Relaxed) == 0
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origins::CheckKind;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules(connect_failures: usize, errors: usize) -> Ejection {
        Ejection {
            single: true,
            connect_failures,
            timeouts: 0,
            errors,
            base_time: SECOND,
            max_time: 3 * SECOND,
        }
    }

    #[test]
    fn connections_that_fail_in_a_row_keep_requests_away_for_longer_each_time() {
        let (health, rules) = (EndpointHealth::default(), rules(3, 0));
        assert_eq!(health.connect_failed(Leave::Usual, 1, &rules), None);
        assert_eq!(health.connect_failed(Leave::Usual, 1, &rules), None);
        assert_eq!(health.connect_failed(Leave::Usual, 1, &rules), Some(SECOND));
        assert_eq!(health.connect_failed(Leave::Usual, 2, &rules), None, "no news");
        assert_eq!(health.claim(1000, SECOND), None);
        assert_eq!(health.returns_in(1000, None), Duration::from_millis(1));
        let mut now = 1001;
        for expected in [2 * SECOND, 3 * SECOND, 3 * SECOND] {
            assert_eq!(health.claim(now, SECOND), Some(Leave::Trial));
            assert_eq!(health.claim(now, SECOND), None, "one trial at a time");
            assert_eq!(health.connect_failed(Leave::Trial, now, &rules), Some(expected));
            now += milliseconds(expected);
        }
        assert_eq!(health.claim(now, SECOND), Some(Leave::Trial));
        health.answered();
        assert_eq!(health.claim(now, SECOND), Some(Leave::Usual));
        assert_eq!(health.connect_failed(Leave::Usual, now, &rules), None, "counted from the start");
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let (health, rules) = (EndpointHealth::default(), rules(2, 2));
        for _ in 0..3 {
            assert_eq!(health.connect_failed(Leave::Usual, 1, &rules), None);
            health.answered();
            assert_eq!(health.failed(ExchangeFailure::Error, Leave::Usual, false, 1, &rules), None);
            health.answered();
        }
        assert!(health.is_usable(1));
    }

    #[test]
    fn a_trial_that_is_never_answered_makes_room_for_another() {
        let (health, rules) = (EndpointHealth::default(), rules(1, 0));
        health.connect_failed(Leave::Usual, 1, &rules);
        assert_eq!(health.claim(1001, SECOND), Some(Leave::Trial));
        assert_eq!(health.claim(2000, SECOND), None);
        assert_eq!(health.claim(2001, SECOND), Some(Leave::Trial));
    }

    #[test]
    fn errors_keep_requests_away_only_where_asked_for_and_from_another_than_the_last() {
        let health = EndpointHealth::default();
        for _ in 0..100 {
            assert_eq!(health.failed(ExchangeFailure::Error, Leave::Usual, false, 1, &rules(3, 0)), None);
        }
        let rules = rules(0, 2);
        assert_eq!(health.failed(ExchangeFailure::Error, Leave::Usual, true, 1, &rules), None);
        assert_eq!(health.failed(ExchangeFailure::Error, Leave::Usual, true, 1, &rules), None);
        assert_eq!(health.failed(ExchangeFailure::Error, Leave::Usual, false, 1, &rules), Some(SECOND));
        assert_eq!(health.claim(1001, SECOND), Some(Leave::Trial));
        assert_eq!(
            health.failed(ExchangeFailure::Error, Leave::Trial, false, 1001, &rules),
            Some(2 * SECOND)
        );
        assert!(!health.is_usable(3000));
        assert!(health.is_usable(3001));
    }

    #[test]
    fn silence_counts_by_itself_or_as_any_other_error() {
        let health = EndpointHealth::default();
        let silence = |health: &EndpointHealth, rules| {
            health.failed(ExchangeFailure::Timeout, Leave::Usual, false, 1, rules)
        };
        let rules = Ejection { timeouts: 2, ..rules(0, 0) };
        assert_eq!(silence(&health, &rules), None);
        assert_eq!(
            health.failed(ExchangeFailure::Error, Leave::Usual, false, 1, &rules),
            None,
            "another thing"
        );
        health.answered();
        assert_eq!((silence(&health, &rules), silence(&health, &rules)), (None, Some(SECOND)));
        let health = EndpointHealth::default();
        let rules = Ejection { timeouts: 0, errors: 2, ..rules };
        assert_eq!(health.failed(ExchangeFailure::Error, Leave::Usual, false, 1, &rules), None);
        assert_eq!(silence(&health, &rules), Some(SECOND));
    }

    #[test]
    fn checks_flip_the_state_after_so_many_in_a_row_and_the_first_at_once() {
        let rules = HealthCheck {
            kind: CheckKind::Tcp,
            interval: SECOND,
            timeout: SECOND,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        };
        let health = EndpointHealth::default();
        assert_eq!(health.checked(false, &rules), Some(false));
        assert_eq!(health.claim(1, SECOND), None);
        assert_eq!(health.returns_in(1, Some(SECOND)), SECOND);
        let expected = [None, Some(true), None, None, None, None, None, Some(false)];
        let results = [true, true, false, false, true, false, false, false];
        for (passed, expected) in results.into_iter().zip(expected) {
            assert_eq!(health.checked(passed, &rules), expected);
        }
        let fresh = EndpointHealth::default();
        assert_eq!(fresh.checked(true, &rules), None, "healthy from the start");
        assert_eq!(fresh.checked(false, &rules), None);
    }

    #[test]
    fn a_check_that_connects_ends_an_ejection_for_want_of_connections() {
        let checks = HealthCheck {
            kind: CheckKind::Tcp,
            interval: SECOND,
            timeout: SECOND,
            healthy_threshold: 1,
            unhealthy_threshold: 1,
        };
        let health = EndpointHealth::default();
        health.connect_failed(Leave::Usual, 1, &rules(1, 0));
        assert!(!health.is_usable(2));
        health.checked(true, &checks);
        assert!(health.is_usable(2));
    }
}
