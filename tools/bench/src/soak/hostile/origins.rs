//! Requests that a hostile origin answers.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::attack::{Attack, at_rate};
use super::tally::Outcome;
use crate::load::{Http1, Request};
use crate::origin::hostile::Kind;

/// The time that a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// All kinds of hostile answers in turn, and with them requests that the same origin answers well. The
/// latter may meet a pooled connection that holds a second answer.
pub async fn ask_all(attack: Rc<Attack>, rate: u32) {
    at_rate(rate, |number| {
        let attack = attack.clone();
        let kind = Kind::ALL.get(number % (Kind::ALL.len() + 1)).copied();
        async move {
            let name = kind.map_or("good-answer", Kind::name);
            let path = format!("/hostile/{name}/{number}");
            let outcome = timeout(PATIENCE, ask(&attack, &path)).await.unwrap_or(Outcome::Ignored);
            attack.count(name, outcome);
        }
    })
    .await;
}

async fn ask(attack: &Attack, path: &str) -> Outcome {
    let request = Request::get(path).with("Approov-Token", &attack.valid).to_bytes();
    let stream = match attack.connect().await {
        Ok(stream) => stream,
        Err(error) => return Outcome::of(&error),
    };
    let mut client = Http1::over(Box::new(stream)).with_body();
    match client.ask(&request).await {
        Ok(answer) if answer.status() == 200 && answer.body() != path.as_bytes() => Outcome::Poisoned,
        Ok(answer) => Outcome::Status(answer.status()),
        Err(error) => Outcome::of(&error),
    }
}
