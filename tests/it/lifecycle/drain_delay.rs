//! SIGTERM behind a load balancer, which notices late that no new connections are wanted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{begin_download, end_download, gated, get};
use crate::harness::{
    Client, Folder, Gate, Gateway, Message, Origin, SetOnDrop, assert_within, eventually, tokens,
};

/// How late the balancer is after the probe has failed.
const LATE: Duration = Duration::from_millis(1000);

fn delayed(folder: &Folder, origin: &Origin, delay: &str) -> Gateway {
    let server = format!("threads: 2, drain_delay: {delay}");
    folder.start(&folder.config(origin, "").replace("threads: 2", &server))
}

#[test]
fn no_connection_is_refused_while_a_balancer_has_not_noticed() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut gateway = delayed(&folder, &origin, "1h");
    let (address, token) = (gateway.address(), tokens::valid());
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let over = SetOnDrop(&is_over);
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let message = Message::get("/").token(&token).field("Connection", "close");
                    assert_eq!(Client::connect(address).ask(&message).status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        eventually("answers", || (answered.load(Ordering::Relaxed) > 50).then_some(()));
        gateway.signal("TERM");
        eventually("the probe to fail", || (gateway.admin("/readyz").status == 503).then_some(()));
        assert_eq!(gateway.admin("/livez").status, 200);
        let before = answered.load(Ordering::Relaxed);
        // Time is what this is about.
        thread::sleep(LATE);
        eventually("further answers", || (answered.load(Ordering::Relaxed) > before + 50).then_some(()));
        drop(over);
    });
    gateway.signal("TERM");
    println!("{} connections, none refused", answered.load(Ordering::Relaxed));
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn grace_period_begins_after_the_drain_delay() {
    let gate = Gate::default();
    let (folder, origin) = (Folder::new(), gated(&gate));
    let mut gateway = delayed(&folder, &origin, "1s, grace_period: 10s");
    let download = begin_download(gateway.address());
    let start = Instant::now();
    gateway.signal("TERM");
    gateway.wait_for_message("accepting connections for another 1s");
    gateway.wait_for_message("SIGTERM: draining, at most 10s");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    gate.open();
    end_download(download);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn second_signal_ends_the_drain_delay_at_once() {
    let origin = gated(&Gate::default());
    for second in ["TERM", "INT"] {
        assert_within(Duration::from_secs(3), || {
            let folder = Folder::new();
            let mut gateway = delayed(&folder, &origin, "1h");
            assert_eq!(gateway.ask(&get("/")).status, 200);
            gateway.signal("TERM");
            gateway.wait_for_message("accepting connections for another");
            // Signals that end nothing end no delay either.
            gateway.signal("HUP");
            gateway.signal("QUIT");
            assert_eq!(gateway.ask(&get("/")).status, 200);
            let start = Instant::now();
            gateway.signal(second);
            assert_eq!(gateway.wait_for_exit().code(), Some(0), "{second}");
            start.elapsed()
        });
    }
}
