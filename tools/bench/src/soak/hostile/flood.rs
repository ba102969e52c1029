//! A flood of requests with wrong signatures over kept connections.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::attack::{Attack, ask};
use super::tally::Outcome;
use crate::load::{Http1, Ticker};

/// Connections that send wrong signatures.
const FLOODERS: usize = 64;

/// Requests that are sent in one burst.
const BURST: usize = 4;

/// Failures from one address: a ban takes 120 within a minute.
const BELOW_A_BAN: usize = 100;

/// Requests that are each read, verified and refused.
pub async fn wrong_signatures(attack: Rc<Attack>, rate: u32) {
    const KIND: &str = "wrong signatures";
    let Ok(ticker) = Ticker::new(rate.into()) else { return };
    let due = Rc::new(Semaphore::new(0));
    for _ in 0..FLOODERS {
        let (attack, due) = (attack.clone(), due.clone());
        spawn_local(async move {
            let request = attack.refused("signature").to_bytes();
            loop {
                let mut client = match attack.connect().await {
                    Ok(stream) => Http1::over(Box::new(stream)),
                    Err(error) => {
                        attack.count(KIND, Outcome::of(&error));
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                for _ in 0..BELOW_A_BAN {
                    if let Ok(permit) = due.acquire().await {
                        permit.forget();
                    }
                    let outcome = ask(&mut client, &request).await;
                    attack.count(KIND, outcome);
                    if !matches!(outcome, Outcome::Status(_)) {
                        break;
                    }
                }
            }
        });
    }
    let mut behind = 0;
    while let Ok(ticks) = ticker.tick().await {
        // Late requests are sent in small bursts, because a large one would be another attack. Requests
        // that are a second late are not sent.
        behind = (behind + ticks as usize).min(rate as usize);
        let now = behind.min(BURST).min(FLOODERS.saturating_sub(due.available_permits()));
        due.add_permits(now);
        behind -= now;
    }
}
