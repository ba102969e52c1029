//! The status page in a real browser.
//!
//! With `PICTURES=folder` the tests write what the browser shows there, to be looked at.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Browser, Folder, Gateway, Message, Origin, Setup, config_before, get, has_program, tokens,
};

/// How soon an open page shows another state.
const SOON: Duration = Duration::from_secs(3);

/// How long the browser may take for a page.
const PATIENCE: Duration = Duration::from_secs(15);

const TOKEN: &str = "an-admin-token-of-32-characters!";

fn open(browser: &mut Browser, gateway: &Gateway) {
    browser.open(&format!("http://{}/", gateway.admin_address()));
}

fn show(browser: &mut Browser, name: &str) {
    let picture = browser.picture();
    if let Some(folder) = std::env::var_os("PICTURES") {
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }
}

#[test]
fn open_page_shows_each_state_within_three_seconds() {
    if !has_program("chromium") {
        return;
    }
    let (folder, mut origin) = (Folder::new(), Origin::refusing());
    let config = config_before(&origin, "server: { drain_delay: 30s }\n");
    let path = folder.write("gateway.yaml", &config);
    let gateway = Setup::bare().arguments(&["run", "-c", path.to_str().unwrap()]).start();
    let mut browser = Browser::start(1200, 900);
    open(&mut browser, &gateway);
    browser.wait_for_text("Serving", PATIENCE);
    show(&mut browser, "serving");
    let mut shown = Vec::new();
    assert_eq!(gateway.ask(&get("/")).status, 502);
    shown.push(browser.wait_for_text("Origin api does not answer: 127.0.0.1:", PATIENCE));
    assert!(browser.text().starts_with("approov-gateway\n"), "{}", browser.text());
    show(&mut browser, "degraded");
    origin.open(|exchange| exchange.answer("200 OK", ""));
    assert_eq!(gateway.ask(&get("/")).status, 200);
    shown.push(browser.wait_for_text("Serving", PATIENCE));
    folder.write("gateway.yaml", config.replace("drain_delay", "drain_dellay"));
    gateway.signal("HUP");
    shown.push(browser.wait_for_text("drain_dellay", PATIENCE));
    show(&mut browser, "refused");
    gateway.signal("TERM");
    shown.push(browser.wait_for_text("Draining", PATIENCE));
    show(&mut browser, "draining");
    gateway.signal("TERM");
    shown.push(browser.wait_for_text("The gateway does not answer. This is its state of", PATIENCE));
    show(&mut browser, "gone");
    println!("shown after {shown:?}");
    // A page asks every two seconds. A busy machine may be late with two of the five.
    shown.sort();
    assert!(shown[2] < SOON, "{shown:?}");
}

#[test]
fn without_script_the_page_tells_everything_and_loads_itself_again() {
    if !has_program("chromium") {
        return;
    }
    let origin = Origin::refusing();
    let gateway = Setup::before(&origin).start();
    assert_eq!(gateway.ask(&get("/orders")).status, 502);
    let mut browser = Browser::start(1200, 900);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    open(&mut browser, &gateway);
    browser.wait_for_text("Degraded", PATIENCE);
    let text = browser.text();
    for part in ["refuses connections", "Last ten minutes", "GET /orders", "HS256"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    show(&mut browser, "without-script");
    // `<noscript>` has the refresh.
    assert_eq!(gateway.ask(&Message::get("/another")).status, 401);
    browser.wait_for_text("GET /another", PATIENCE);
}

#[test]
fn button_lifts_a_ban_with_the_token() {
    if !has_program("chromium") {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.write("token", TOKEN);
    let rest = "admin: { address: \"127.0.0.1:0\", token_file: token }\n\
                limits: { allow: [], offenders: { failures: 3, within: 1m, ban: 1h } }\n";
    let path = folder.write("gateway.yaml", config_before(&origin, rest));
    let arguments = ["run", "-c", path.to_str().unwrap()];
    let gateway = Setup::bare().without("GATEWAY_ADMIN_LISTEN").arguments(&arguments).start();
    for _ in 0..3 {
        gateway.connect_from(7).ask(&Message::get("/").token(&tokens::wrongly_signed()));
    }
    let mut browser = Browser::start(1200, 900);
    open(&mut browser, &gateway);
    browser.wait_for_text("banned for another", PATIENCE);
    let click = "document.querySelector('[data-forgive]').click()";
    let give = |token: &str| {
        format!(
            "document.querySelector('dialog input').value = '{token}'; document.querySelector('dialog button').click()"
        )
    };
    browser.evaluate(click);
    browser.wait_for_text("needs the token of admin.token_file", PATIENCE);
    show(&mut browser, "asks-for-token");
    browser.evaluate(&give("a wrong one"));
    browser.wait_for_text("send Authorization: Bearer with the token", PATIENCE);
    browser.evaluate(&give(TOKEN));
    browser.wait_for_text("No address is banned", PATIENCE);
    gateway.wait_for_message("audit: bans of 127.0.0.7 lifted by 127.0.0.1:");
    let log = String::from_utf8(gateway.stderr()).unwrap();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn page_fits_a_phone_and_follows_the_colour_scheme() {
    if !has_program("chromium") {
        return;
    }
    let origin = Origin::scripted(|exchange| {
        let is_broken = exchange.request.target.contains("broken");
        exchange.answer(if is_broken { "500 Internal Server Error" } else { "200 OK" }, "")
    });
    let rest = "limits: { allow: [], offenders: { failures: 3, within: 1m, ban: 1h } }\nroutes:\n  - { path: /v1/, policy: protect }\n  - { path: /v2/, policy: observe }\n";
    let gateway = Setup::bare().config(&config_before(&origin, rest)).start();
    for number in 0..12 {
        gateway.ask(&get(&format!("/v1/{number}")));
        gateway.ask(&Message::get("/v2/a"));
    }
    gateway.ask(&get("/v1/broken"));
    gateway.ask(&Message::get(&format!("/v1/{}", "a-long-path".repeat(30))).token(&tokens::expired()));
    for _ in 0..3 {
        gateway.connect_from(7).ask(&Message::get("/v1/x").token(&tokens::wrongly_signed()));
    }
    for (name, width) in [("wide", 1200), ("phone", 390)] {
        let mut browser = Browser::start(width, 900);
        open(&mut browser, &gateway);
        browser.wait_for_text("127.0.0.7", PATIENCE);
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            browser.call("Emulation.setEmulatedMedia", json!({ "features": feature }));
            // The style is applied, so its hash in the policy is right.
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            grounds.push(ground.as_str().unwrap().to_owned());
            show(&mut browser, &format!("{name}-{scheme}"));
        }
        assert_eq!(grounds, ["rgb(246, 247, 248)", "rgb(17, 20, 23)"]);
        let overflow = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert!(overflow.as_i64() <= Some(0), "{name}: {overflow} pixels too wide");
    }
}

#[test]
fn hostile_requests_run_no_script_on_the_page() {
    if !has_program("chromium") {
        return;
    }
    let origin = Origin::new();
    let name = "<img src=x onerror=document.title=`hacked`>";
    let routes = format!("routes: [ {{ path: /, name: \"{name}\", policy: protect }} ]\n");
    let gateway = Setup::bare().config(&config_before(&origin, &routes)).start();
    for path in ["/\"><script>document.title='hacked'</script>", "/<svg/onload=document.title='hacked'>"] {
        gateway.ask(&Message::get(path).host("\"><script>1</script>").token(&tokens::expired()));
        gateway.ask(&Message::get("/x").field("User-Agent", path).token(&tokens::expired()));
    }
    let mut browser = Browser::start(1200, 900);
    open(&mut browser, &gateway);
    browser.wait_for_text(name, PATIENCE);
    let first = browser.evaluate("document.querySelector('.brand time').textContent");
    let is_refreshed = |browser: &mut Browser| {
        browser.evaluate("document.querySelector('.brand time').textContent") != first
    };
    // Also what the script takes over runs nothing.
    crate::harness::eventually("a refresh", || is_refreshed(&mut browser).then_some(()));
    assert_eq!(browser.evaluate("document.title"), "serving · approov-gateway");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('main script, main img, main svg svg').length"),
        0
    );
}
