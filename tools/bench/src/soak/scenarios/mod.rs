//! The scenarios, and the limits of their figures.

mod all;
mod banned;
mod beside;
mod keys;

use std::path::Path;

use super::hostile::{Kind, Manner, Shot};
use super::{Arguments, Scenario};
use crate::rig::Result;

pub fn run(arguments: &Arguments, gateway: &Path) -> Result<()> {
    let rate = arguments.rate();
    let plan =
        |kinds: &[Kind]| beside::Plan { kinds: kinds.to_vec(), rounds: 4, limit: None, stalls_log: false };
    let plan = match arguments.scenario {
        Scenario::All => return all::run(arguments, gateway),
        Scenario::Banned => return banned::run(gateway),
        Scenario::Keys => return keys::run(gateway),
        Scenario::Flood => beside::Plan { limit: Some(2.0), ..plan(&[Kind::WrongSignatures(10 * rate)]) },
        // One round: memory that so many connections leave behind is returned during the next round
        // without them, and would slow that round down.
        Scenario::Slow => beside::Plan {
            limit: Some(1.2),
            rounds: 1,
            ..plan(&[
                Kind::Held(Manner::Head, 1700),
                Kind::Held(Manner::Body, 1700),
                Kind::Held(Manner::Reader, 1600),
            ])
        },
        Scenario::Origins => plan(&[Kind::Shots(Shot::HostileOrigin, rate.div_ceil(5))]),
        Scenario::Admin => {
            plan(&[Kind::Held(Manner::SilentAdmin, 3000), Kind::Shots(Shot::Admin, rate.div_ceil(5))])
        }
        Scenario::Log => beside::Plan { stalls_log: true, rounds: 1, ..plan(&[]) },
    };
    plan.run(arguments, gateway)
}
