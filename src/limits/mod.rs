//! How much is admitted: rates, repeat offenders, address ranges and how much is under way.
//!
//! Plain values in, plain values out: time is a [`Moment`] that the caller reads, the secret of the
//! hashes comes from outside. What is here is shared by all workers, takes a stated amount of
//! memory whatever arrives, and allocates nothing on the way of a request.
//!
//! On the way of a connection and its requests:
//!
//! 1. [`AddressSet`]: who is allowed or denied by range;
//! 2. [`Offenders`]: who is banned after too many failed verifications;
//! 3. [`InFlight`]: how many connections there are, in total and by address;
//! 4. [`RateLimits`] before verification;
//! 5. [`RateLimits`] after verification;
//! 6. [`InFlight`] again: how many requests are being forwarded.

mod address;
mod address_range;
mod address_set;
mod cause;
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
pub use in_flight::{Caps, Full, InFlight, Permit, Work};
pub use key::{Key, KeyHasher};
pub use moment::Moment;
pub use offenders::{Offender, OffenderRules, Offenders};
pub use outcome::Outcome;
pub use rate::{
    Asker, By, Decision, Limit, Rate, RateLimits, RouteLimits, Rule, Ruling, Table, Told, in_force,
};
pub use settings::{ConnectionLimits, LimitSettings, RequestLimits, RouteLimitSettings, TimeLimits};
