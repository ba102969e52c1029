//! The command `health`, as the health check of a container runs it.

use super::gated;
use crate::harness::{
    Exit, Folder, Gate, Gateway, Origin, Setup, eventually, gateway_before, gateway_command, get, run, tokens,
};

fn health(arguments: &[&str], variables: &[(&str, &str)]) -> Exit {
    let mut command = gateway_command(&["health"]);
    run(command.args(arguments).envs(variables.iter().copied()))
}

fn health_of(gateway: &Gateway) -> (Option<i32>, String) {
    let exit = health(&["--address", &gateway.admin_address().to_string()], &[]);
    (exit.status.code(), exit.stdout + &exit.stderr)
}

#[test]
fn health_exits_with_0_while_serving_and_1_while_draining_and_after() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let mut gateway = gateway_before(&origin);
    assert_eq!(health_of(&gateway), (Some(0), "ready\n".into()));
    let mut slow = gateway.connect();
    slow.send(get("/slow").bytes());
    origin.wait_until("the slow request", |record| record.requests.len() == 1);
    gateway.signal("TERM");
    eventually("draining", || {
        (health_of(&gateway) == (Some(1), "not ready: draining\n".into())).then_some(())
    });
    gate.open();
    assert_eq!(slow.response().status, 200);
    gateway.wait_for_exit();
    let (status, text) = health_of(&gateway);
    assert_eq!(status, Some(1));
    assert!(text.contains("does not answer"), "{text}");
}

#[test]
fn health_finds_the_admin_listener_by_the_configuration() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let admin = gateway.admin_address().to_string();
    let variables = [
        ("GATEWAY_ADMIN_LISTEN", admin.as_str()),
        ("API_DOMAIN", "api.example.com"),
        ("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64),
    ];
    assert_eq!(health(&[], &variables).status.code(), Some(0));
    // The command needs neither the secret nor the API.
    assert_eq!(health(&[], &variables[..1]).status.code(), Some(0));
    // The public listener does not answer health checks.
    let public = gateway.address().to_string();
    assert_eq!(health(&["--address", &public], &[]).status.code(), Some(1));
}

#[test]
fn health_asks_a_unix_socket_and_reads_no_secret() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let socket = folder.path("admin.sock");
    let config = folder.write(
        "gateway.yaml",
        format!(
            "admin: {{ address: \"unix:{}\" }}\norigins: {{ api: {{ domain: \"{}\" }} }}\n",
            socket.display(),
            origin.url()
        ),
    );
    let config = config.to_str().unwrap();
    assert_eq!(health(&["-c", config], &[]).status.code(), Some(1));
    let _gateway = Setup::bare()
        .without("GATEWAY_ADMIN_LISTEN")
        .env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64)
        .arguments(&["run", "-c", config])
        .launch();
    let ready = || (health(&["-c", config], &[]).status.code() == Some(0)).then_some(());
    eventually("the health of the gateway", ready);
}
