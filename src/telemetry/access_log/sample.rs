//! A sample of the requests: at a large volume, most lines say the same.

use std::sync::atomic::{AtomicU64, Ordering};

/// All, in hundredths of a percent.
const ALL: u64 = 10_000;

/// Chooses a share of the requests evenly: of any number of them in a row, the share is logged.
#[derive(Debug)]
pub struct Sample {
    /// In hundredths of a percent.
    share: u64,
    count: AtomicU64,
}

impl Sample {
    /// Logs this share, in hundredths of a percent.
    pub fn new(hundredths: u16) -> Self {
        Self { share: u64::from(hundredths).min(ALL), count: AtomicU64::new(0) }
    }

    /// Whether the next request is logged.
    pub fn takes_next(&self) -> bool {
        if self.share == ALL {
            return true;
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed) % ALL;
        // The number of logged requests grows exactly now.
        (count + 1) * self.share / ALL > count * self.share / ALL
    }

    /// The share from 0 to 1; `None` if all requests are logged.
    pub fn rate(&self) -> Option<f64> {
        (self.share < ALL).then(|| self.share as f64 / ALL as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_any_number_of_requests_the_share_is_logged() {
        let mut cases = 0;
        for (hundredths, requests, expected) in [
            (10_000, 7, 7),
            (0, 1000, 0),
            (1000, 1000, 100),
            (1, 20_000, 2),
            (5000, 10, 5),
            (3333, 10_000, 3333),
        ] {
            let sample = Sample::new(hundredths);
            let logged = (0..requests).filter(|_| sample.takes_next()).count();
            assert_eq!(logged, expected, "{hundredths} of {requests}");
            cases += 1;
        }
        assert_eq!(cases, 6);
        assert_eq!((Sample::new(10_000).rate(), Sample::new(1250).rate()), (None, Some(0.125)));
    }
}
