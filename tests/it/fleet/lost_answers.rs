//! A lost answer: the store may have counted the requests already, so the node does not report them again.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::failures::server;
use super::hostile::{honest_answer, read_command};
use super::{Fleet, ask, at, limit, wait_for_sync, wait_until_connected};

/// The time spent, in microseconds, of each command that reports more than zero.
type Spent = Arc<Mutex<Vec<u64>>>;

/// Closes the connection in place of the first answer about something spent.
fn serve(stream: &TcpStream, spent: &Spent) -> Option<()> {
    let port = stream.local_addr().unwrap().port();
    let mut reader = BufReader::new(stream);
    loop {
        let command = read_command(&mut reader)?;
        if command[0].starts_with("EVAL") && command[3].contains(":device:") {
            // After the key: the farthest, the time to keep, then spent, window and missing.
            let told = command[6].parse().unwrap();
            if told > 0 {
                let mut spent = spent.lock().unwrap();
                spent.push(told);
                if spent.len() == 1 {
                    return None;
                }
            }
        }
        reader.get_mut().write_all(honest_answer(&command, port).as_bytes()).ok()?;
    }
}

#[test]
fn what_was_spent_is_told_once_even_if_the_answer_is_lost() {
    const REQUEST: u64 = 360_000_000;
    let fleet = Fleet::new();
    for cluster in ["", ", cluster: true"] {
        let spent = Spent::default();
        let here = spent.clone();
        let port = server(move |stream| serve(&stream, &here).unwrap_or_default());
        let node = fleet.node(&format!("{}{cluster}", at(port)), &limit("by: device, rate: 10/h"));
        wait_until_connected(&node, true);
        assert_eq!(ask(&node, "one"), 200);
        node.wait_for_message("closes the connection");
        wait_until_connected(&node, true);
        wait_for_sync(&node);
        assert_eq!(*spent.lock().unwrap(), [REQUEST], "cluster: {cluster:?}");
        assert_eq!(ask(&node, "one"), 200);
        wait_for_sync(&node);
        assert_eq!(*spent.lock().unwrap(), [REQUEST; 2], "cluster: {cluster:?}");
    }
}
