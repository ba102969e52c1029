//! The script in the store computes what `limits::agreement` computes.

use std::cell::RefCell;

use approov_gateway::limits::agreement::{Stored, Told, agree};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::redis::{Connection, Redis, Reply};
use crate::harness::has_program;

const SCRIPT: &str = include_str!("../../../src/fleet/sync/buckets.lua");

const DAY: u64 = 24 * 3600 * 1_000_000;

/// The present value of the bucket.
fn stored(connection: &mut Connection) -> Option<Stored> {
    let Reply::Text(text) = connection.ask(&["GET", "bucket"]) else { return None };
    let times: Vec<u64> = text.split(' ').map(|time| time.parse().unwrap()).collect();
    let [full_at, written, used] = times[..] else { panic!("{text}") };
    Some(Stored { full_at, written, used })
}

fn tell(connection: &mut Connection, told: Told, most: u64) -> Reply {
    let times = [most, 60_000, told.spent, told.window, told.missing].map(|time| time.to_string());
    let mut command = vec!["EVAL", SCRIPT, "1", "bucket"];
    command.extend(times.iter().map(String::as_str));
    connection.ask(&command)
}

#[test]
fn the_script_computes_as_the_model_does() {
    if !has_program("redis-server") {
        return;
    }
    let redis = Redis::start();
    let connection = RefCell::new(Connection::new(redis.port));
    let times = || prop_oneof![Just(0), 0..1000_u64, 0..DAY];
    let telling =
        (times(), times(), times()).prop_map(|(spent, window, missing)| Told { spent, window, missing });
    // What is stored: nothing, what the last telling has left, or a bucket whose clock is off.
    let before = prop_oneof![
        Just(None),
        Just(Some(None)),
        (0..2 * DAY, 0..2 * DAY, times()).prop_map(|times| Some(Some(times)))
    ];
    let config = Config { failure_persistence: None, ..Config::with_cases(1000) };
    let tested = TestRunner::new(config).run(&(before, telling, times()), |(before, told, most)| {
        let connection = &mut *connection.borrow_mut();
        match before {
            None => drop(connection.ask(&["DEL", "bucket"])),
            Some(None) => {}
            Some(Some((full_at, written, used))) => {
                let Reply::List(time) = connection.ask(&["TIME"]) else { panic!("no time") };
                let Reply::Text(seconds) = &time[0] else { panic!("no seconds") };
                let from = seconds.parse::<u64>().unwrap() * 1_000_000 - DAY;
                let times = format!("{} {} {used}", from + full_at, from + written);
                connection.ask(&["SET", "bucket", &times]);
            }
        }
        let before = stored(connection);
        let answer = tell(connection, told, most);
        let after = stored(connection).unwrap();
        let now = after.written;
        prop_assert_eq!(after, agree(before, told, most, now), "{:?} {:?} {}", before, told, most);
        prop_assert_eq!(answer, Reply::List(vec![Reply::Number(after.missing(now) as i64)]));
        Ok(())
    });
    tested.unwrap();
}

#[test]
fn a_bucket_of_another_type_or_form_is_replaced() {
    if !has_program("redis-server") {
        return;
    }
    let redis = Redis::start();
    let mut connection = Connection::new(redis.port);
    for wrong in [
        &["SET", "bucket", "x"][..],
        &["SET", "bucket", "1e308 1 1"],
        &["SET", "bucket", "1 1"],
        &["SET", "bucket", ""],
        &["RPUSH", "bucket", "1"],
    ] {
        connection.ask(&["DEL", "bucket"]);
        connection.ask(wrong);
        let told = Told { spent: 500, window: 0, missing: 500 };
        assert_eq!(tell(&mut connection, told, DAY), Reply::List(vec![Reply::Number(500)]), "{wrong:?}");
    }
}
