//! How many requests may be sent again, so that an origin in trouble is not asked twice as much.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What one retry costs; a request brings in its percentage.
const RETRY: usize = 100;

/// Retries in hand at the start, for an origin with few requests.
const AT_FIRST: usize = 10;

/// Retries that can be saved up: as many as a dying address of a busy origin may take with it.
const AT_MOST: usize = 1000;

/// The budget of one origin, shared by all workers.
#[derive(Debug)]
pub(super) struct RetryBudget {
    percent: usize,
    balance: AtomicUsize,
}

impl RetryBudget {
    /// So many retries for each hundred requests.
    pub fn new(percent: usize) -> Self {
        Self { percent, balance: AtomicUsize::new(AT_FIRST * RETRY) }
    }

    /// A request.
    pub fn deposit(&self) {
        if self.balance.load(Relaxed) < AT_MOST * RETRY {
            self.balance.fetch_add(self.percent, Relaxed);
        }
    }

    /// Whether it may be sent again.
    pub fn withdraw(&self) -> bool {
        self.balance.fetch_update(Relaxed, Relaxed, |balance| balance.checked_sub(RETRY)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withdrawn(budget: &RetryBudget) -> usize {
        std::iter::from_fn(|| budget.withdraw().then_some(())).count()
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let budget = RetryBudget::new(20);
        assert_eq!(withdrawn(&budget), AT_FIRST);
        (0..100).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget), 20);
        (0..1_000_000).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget), AT_MOST);
    }
}
