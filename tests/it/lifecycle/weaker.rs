//! What a reload says about protection that got weaker.

use super::reload::reload;
use crate::harness::{Folder, Origin};

#[test]
fn a_reload_that_weakens_protection_is_told_and_one_that_does_not_is_not() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let with = |routes: &str| folder.config(&origin, &format!("routes: [ {routes} ]\n"));
    let gateway = folder.start(&with("{ path: /admin/, policy: deny }, { path: / }"));
    folder.write("gateway.yaml", with("{ path: /, policy: observe }"));
    reload(&gateway, 2);
    gateway.wait_for_message("WARN  audit: protection is weaker than before: GET / is observe");
    gateway.wait_for_message("GET /admin/ is observe");
    folder.write("gateway.yaml", with("{ path: /, policy: protect }"));
    reload(&gateway, 3);
    gateway.wait_for_message("generation 3");
    gateway.wait_for_log(|_, stderr| {
        String::from_utf8_lossy(stderr).matches("audit: configuration").count() == 2
    });
    let told = String::from_utf8(gateway.stderr()).unwrap().matches("weaker than before").count();
    assert_eq!(told, 1);
}
