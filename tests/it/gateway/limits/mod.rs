//! The limits, compared with simple models of their promises.

mod addresses;
mod fleet;
mod in_flight;
mod offenders;
mod rates;
mod rulings;

use std::time::Duration;

use approov_gateway::limits::{KeyHasher, Moment};
use proptest::prelude::ProptestConfig;

fn hasher() -> KeyHasher {
    KeyHasher::new([7; 16])
}

fn at(milliseconds: u64) -> Moment {
    Moment::since_start(Duration::from_millis(milliseconds))
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}
