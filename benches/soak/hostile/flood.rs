//! Floods of requests that are well-formed.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use approov_gateway::cli::token::Kind;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::super::ticker::Ticker;
use super::super::{sockets, tokens};
use super::attack::{Attack, ask};
use super::tally::Outcome;

/// How many connections send wrong signatures, each again when it is answered.
const FLOODERS: usize = 64;

/// Requests that are sent at once.
const AT_ONCE: usize = 4;

/// So many failures an address allows itself: a ban takes 120 within a minute.
const BELOW_A_BAN: usize = 100;

/// Requests that are each read, verified and refused.
pub async fn wrong_signatures(attack: Rc<Attack>, rate: u32) {
    const KIND: &str = "wrong signatures";
    let Ok(ticker) = Ticker::new(rate) else { return };
    let due = Rc::new(Semaphore::new(0));
    for _ in 0..FLOODERS {
        let (attack, due) = (attack.clone(), due.clone());
        spawn_local(async move {
            let request = attack.refused("signature", "");
            loop {
                let mut stream = match attack.connect().await {
                    Ok(stream) => stream,
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
                    let outcome = ask(&mut stream, &request).await;
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
        // What is late is made up for, but not in one burst, which would be another attack; and what
        // is late by a second, not at all.
        behind = (behind + ticks as usize).min(rate as usize);
        let now = behind.min(AT_ONCE).min(FLOODERS.saturating_sub(due.available_permits()));
        due.add_permits(now);
        behind -= now;
    }
}

/// Requests that are accepted, each of another device at another address.
pub async fn new_keys(attack: Rc<Attack>, rate: u32) {
    const KIND: &str = "new keys";
    super::attack::at_rate(rate, |number| {
        let attack = attack.clone();
        async move {
            let Ok(token) = tokens::token(Kind::Valid, (2 << 32) + number as u64) else { return };
            let request = format!("GET /new-key HTTP/1.1\r\nHost: a\r\nApproov-Token: {token}\r\n\r\n");
            let outcome = match attack.connect().await {
                Ok(mut stream) => ask(&mut stream, request.as_bytes()).await,
                Err(error) => Outcome::of(&error),
            };
            attack.count(KIND, outcome);
        }
    })
    .await;
}

/// Connections with a request that is refused, from addresses that are banned for that, but go on.
pub async fn offenders(attack: Rc<Attack>, rate: u32) {
    super::attack::at_rate(rate, |number| {
        let attack = attack.clone();
        async move {
            let from = Ipv4Addr::new(127, 2, 0, (number % 4) as u8 + 1);
            let outcome = match sockets::connect(from, attack.gateway).await {
                Ok(mut stream) => ask(&mut stream, &attack.refused("offender", "")).await,
                Err(error) => Outcome::of(&error),
            };
            attack.count("offenders", outcome);
        }
    })
    .await;
}
