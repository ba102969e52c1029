//! Limits on connections and requests: address ranges, bans, rates and numbers in flight.
//!
//! The room is pure. The caller passes the time as a [`Moment`] and the secret of the hashes. All
//! workers share these values. Their memory has a stated size whatever clients send, and a decision
//! allocates nothing.
//!
//! A connection and its requests meet, in this order:
//!
//! 1. [`AddressSet`]: allowed and denied ranges;
//! 2. [`Offenders`]: addresses that are banned after too many failed verifications;
//! 3. [`InFlight`]: the number of connections, in total and by address;
//! 4. [`RateLimits`] before verification;
//! 5. [`RateLimits`] after verification;
//! 6. [`InFlight`] again: the number of requests that are being forwarded.

mod address;
mod address_range;
mod address_set;
pub mod agreement;
mod cause;
mod decree;
mod in_flight;
mod key;
mod moment;
mod offenders;
mod outcome;
mod rate;
mod settings;

pub use address::{AddressKey, Ipv6Prefix};
pub use address_range::{AddressRange, AddressRangeError};
pub use address_set::{AddressSet, LineFault, read_ranges};
pub use cause::Cause;
pub use decree::Decree;
pub use in_flight::{Caps, Full, InFlight, Permit, Work};
pub use key::{KeyHasher, TableKey};
pub use moment::Moment;
pub use offenders::{Offender, OffenderRules, Offenders};
pub use outcome::Outcome;
pub use rate::{
    Agreement, By, Decision, Limit, LimitDecision, Rate, RateLimits, RequestKeys, RouteLimits, Rule, Ruling,
    SharedBucket, Spent, Table, in_force,
};
pub use settings::{
    ConnectionLimits, LimitSettings, MostInFlight, RequestLimits, RouteLimitSettings, SharedLimits,
    TimeLimits,
};
