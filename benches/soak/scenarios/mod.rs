//! What is done, one after another.

mod banned;
mod beside;
mod keys;
mod soak;

use super::Result;
use super::arguments::{Arguments, Scenario};
use super::cores::Cores;
use super::gateway::Gateway;
use super::origin::Origin;
use super::report::Verdict;

pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.scenario {
        Scenario::Soak => soak::run(arguments),
        Scenario::Flood => beside::flood(arguments),
        Scenario::Slow => beside::slow(arguments),
        Scenario::Banned => banned::run(arguments),
        Scenario::Keys => keys::run(arguments),
    }
}

/// The origin, and the gateway before it.
struct Stage {
    origin: Origin,
    gateway: Gateway,
}

impl Stage {
    /// With the defaults but for what is said; see [`Gateway::start`].
    fn set(listener: &str, limits: &str) -> Result<Self> {
        let cores = Cores::of_this_machine()?;
        let origin = Origin::start()?;
        let gateway = Gateway::start(&cores, origin.address(), listener, limits)?;
        Ok(Self { origin, gateway })
    }

    /// What has to hold in every scenario.
    fn expect_peace(&self, verdict: &mut Verdict) {
        let wrongly = self.origin.wrongly_arrived();
        verdict.expect(wrongly == 0, format!("{wrongly} of the refused requests arrived at the origin"));
        let panics = self.gateway.panics();
        verdict.expect(panics == 0, format!("{panics} requests panicked"));
    }
}
