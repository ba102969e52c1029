//! Threat 29: origins that ignore letter case or the last slash.

use crate::harness::{Gateway, Message, Origin, Setup, config_before, tokens};

const ROUTES: &str = "routes:\n  - { path: /admin, policy: deny }\n  - { path: /login, policy: deny }\n  \
                      - { path: /account/, policy: protect }\n  - { path: /, policy: open }\n";

fn gateway(origin: &Origin) -> Gateway {
    Setup::bare().config(&config_before(origin, ROUTES)).start()
}

#[test]
fn a_path_in_another_case_or_with_another_last_slash_gets_the_stricter_route() {
    let origin = Origin::new();
    let gateway = gateway(&origin);
    for target in [
        "/admin",
        "/Admin",
        "/ADMIN",
        "/admin/",
        "/aDmIn/?x=y",
        "/login/",
        "/Login",
        "/account",
        "/ACCOUNT",
        "/Account/x",
        "/account/x",
    ] {
        assert_eq!(gateway.ask(&Message::get(target)).status, 401, "{target}");
    }
    assert_eq!(origin.bytes(), 0);
    for target in ["/account", "/Account/x"] {
        assert_eq!(gateway.ask(&Message::get(target).token(&tokens::valid())).status, 200, "{target}");
    }
    for target in ["/", "/admins", "/admin/x", "/logins/", "/open"] {
        assert_eq!(gateway.ask(&Message::get(target)).status, 200, "{target}");
    }
    assert_eq!(origin.targets(), ["/account", "/Account/x", "/", "/admins", "/admin/x", "/logins/", "/open"]);
}

#[test]
fn paths_are_compared_byte_by_byte_if_the_operator_says_so() {
    let origin = Origin::new();
    let config = config_before(&origin, &format!("{ROUTES}routing: {{ look_alikes: exact }}\n"));
    let gateway = Setup::bare().config(&config).start();
    for (target, status) in [("/admin", 401), ("/Admin", 200), ("/admin/", 200), ("/account", 200)] {
        assert_eq!(gateway.ask(&Message::get(target)).status, status, "{target}");
    }
    assert_eq!(origin.targets(), ["/Admin", "/admin/", "/account"]);
}
