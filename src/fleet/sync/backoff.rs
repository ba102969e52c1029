//! When a lost store is tried again.

use std::time::{Duration, Instant};

use aws_lc_rs::rand;

/// The first pause, in syncs.
const FIRST: f64 = 0.25;

/// The longest pause, in syncs. Nodes agree again within two syncs after the store is back, so a pause leaves half a
/// sync for connecting and for the exchange.
const LONGEST: f64 = 1.5;

/// The pauses between attempts. Each is twice as long as the one before it, up to [`LONGEST`], so that many nodes do not
/// hold up a store that recovers.
#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
    /// The beginning of the present attempt.
    began: Option<Instant>,
}

impl Backoff {
    /// An attempt to connect or an exchange begins.
    pub fn begins(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// The store has taken part in an exchange.
    pub fn succeeds(&mut self) {
        self.failures = 0;
    }

    /// The pause after an attempt that has failed: between a half and a whole of its length by `chance` (0 to 1), so
    /// that nodes that lost the store together do not return together. The time of the attempt counts as a pause.
    pub fn pause(&mut self, sync: Duration, now: Instant, chance: f64) -> Duration {
        let syncs = (FIRST * f64::from(2_u32.saturating_pow(self.failures))).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let took = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        sync.mul_f64(syncs * (0.5 + 0.5 * chance)).saturating_sub(took)
    }
}

/// A number between 0 and 1.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all nodes return at one moment, which still works.
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_millis(500);

    /// The moments at which a node tries a store that refuses at once, in syncs, until `end`.
    fn attempts(end: f64) -> Vec<f64> {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        let (mut now, mut attempts) = (start, Vec::new());
        while now < start + SYNC.mul_f64(end) {
            backoff.begins(now);
            attempts.push((now - start).as_secs_f64() / SYNC.as_secs_f64());
            now += backoff.pause(SYNC, now, chance());
        }
        attempts
    }

    #[test]
    fn a_hundred_nodes_do_not_storm_a_store_that_recovers() {
        // All lose the store at one moment.
        let nodes: Vec<_> = (0..100).map(|_| attempts(20.0)).collect();
        let between = |from: f64, to: f64| {
            nodes.iter().flatten().filter(|attempt| (from..to).contains(*attempt)).count()
        };
        for sync in 2..19 {
            let sync = f64::from(sync);
            // 89 on average.
            assert!(between(sync, sync + 1.0) <= 134, "{}", between(sync, sync + 1.0));
        }
        // From some syncs on they are spread: a tenth of a sync has 9 attempts on average.
        for tenth in 80..190 {
            let tenth = f64::from(tenth) / 10.0;
            assert!(between(tenth, tenth + 0.1) <= 40, "{}", between(tenth, tenth + 0.1));
        }
        // Whenever the store is back, each node finds it early enough.
        for node in &nodes {
            assert!(node.windows(2).all(|pair| pair[1] - pair[0] <= LONGEST + 1e-6), "{node:?}");
        }
    }

    #[test]
    fn a_short_loss_ends_early() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.begins(now);
        let mut pauses = || [(); 5].map(|()| backoff.pause(SYNC, now, 1.0).as_millis());
        assert_eq!(pauses(), [125, 250, 500, 750, 750]);
        backoff.succeeds();
        assert_eq!(backoff.pause(SYNC, now, 0.0).as_micros(), 62_500);
    }

    #[test]
    fn an_attempt_that_waited_for_an_answer_needs_no_pause() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.begins(now);
        assert_eq!(backoff.pause(SYNC, now + SYNC * 2, 1.0), Duration::ZERO);
    }
}
