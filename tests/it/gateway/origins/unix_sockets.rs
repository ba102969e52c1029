//! Origins on unix sockets.

use super::{gateway, get, post};
use crate::harness::{Folder, Origin};

#[test]
fn requests_use_a_unix_socket_and_reuse_its_connection() {
    let folder = Folder::new();
    let path = folder.path("origin.sock");
    let origin = Origin::at_path(&path, |exchange| {
        exchange.body()?;
        exchange.answer("200 OK", "hello")
    });
    let gateway =
        gateway(&format!("domain: \"http://unix.test\", addresses: [ \"unix:{}\" ]", path.display()));
    for _ in 0..3 {
        assert_eq!(gateway.ask(&get("/")).text(), "hello");
        assert_eq!(gateway.ask(&post("/")).text(), "hello");
    }
    assert_eq!((origin.requests().len(), origin.connections()), (6, 1));
    let request = &origin.requests()[1];
    assert_eq!((request.values("host"), &request.body[..]), (vec!["unix.test"], &b"body"[..]));
}

#[test]
fn a_missing_unix_socket_is_502_unless_there_is_another_address() {
    let folder = Folder::new();
    let path = folder.path("missing.sock");
    let address = format!("unix:{}", path.display());
    let gateway_before_nothing =
        gateway(&format!("domain: \"http://unix.test\", addresses: [ \"{address}\" ]"));
    assert_eq!(gateway_before_nothing.ask(&get("/")).status, 502);
    let live = Origin::new();
    let gateway = gateway(&format!(
        "domain: \"http://unix.test\", addresses: [ \"{address}\", \"127.0.0.1:{}\" ]",
        live.port()
    ));
    for _ in 0..4 {
        assert_eq!(gateway.ask(&post("/")).status, 200);
    }
}
