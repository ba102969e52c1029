//! The retry budget: it keeps retries from doubling the load of an origin in trouble.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The cost of one retry. Each request pays in the configured percentage.
const RETRY: usize = 100;

/// The balance at the start, in retries, for an origin with few requests.
const AT_FIRST: usize = 10;

/// The largest balance, in retries: about as many requests as one failing address of a busy origin breaks.
const AT_MOST: usize = 1000;

/// The budget of one origin, shared by all workers.
#[derive(Debug)]
pub(super) struct RetryBudget {
    percent: usize,
    balance: AtomicUsize,
}

impl RetryBudget {
    /// A budget of `percent` retries for each hundred requests.
    pub fn new(percent: usize) -> Self {
        Self { percent, balance: AtomicUsize::new(AT_FIRST * RETRY) }
    }

    /// Pays in for one request.
    pub fn deposit(&self) {
        if self.balance.load(Relaxed) < AT_MOST * RETRY {
            self.balance.fetch_add(self.percent, Relaxed);
        }
    }

    /// Pays for one retry. Returns `false` if the budget is spent.
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
