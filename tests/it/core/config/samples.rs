//! The files in `conf`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use approov_gateway::limits::LimitSettings;

use super::{SECRET, WITH_DOMAIN, WITH_SECRET, as_with_enough_memory, lines, loaded, origin_files, refused};
use crate::harness::Folder;

#[test]
fn the_sample_files_load_with_a_secret() {
    for file in ["conf/gateway.yaml", "conf/minimal.yaml"] {
        let settings = loaded(Some(Path::new(file)), &[WITH_SECRET]);
        assert_eq!(lines(&settings.warnings), "", "{file}");
        let told = refused(Some(Path::new(file)), &[]);
        assert_eq!(told.lines().count(), 1, "only the secret is missing: {told}");
    }
}

/// serde_yaml reads the sample files too, and finds the same keys.
#[test]
fn the_sample_files_are_yaml_for_another_parser() {
    let keys = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(file).expect(file);
        let value: serde_yaml::Mapping = serde_yaml::from_str(&text).expect(file);
        value.keys().map(|key| key.as_str().expect("keys are text").to_owned()).collect()
    };
    assert_eq!(
        keys("conf/gateway.yaml"),
        [
            "server",
            "listeners",
            "admin",
            "approov",
            "request_id",
            "rejection",
            "origins",
            "routes",
            "routing",
            "limits",
            "fleet",
            "log"
        ]
    );
    assert_eq!(keys("conf/minimal.yaml"), ["origins"]);
}

/// `conf/gateway.yaml` shows the default of every key.
#[test]
fn the_sample_file_shows_the_defaults() {
    let sample = loaded(Some(Path::new("conf/gateway.yaml")), &[WITH_SECRET]);
    let default = loaded(None, &[WITH_SECRET, WITH_DOMAIN]);
    assert_eq!(format!("{:?}", sample.listeners), format!("{:?}", default.listeners));
    assert_eq!(sample.admin, default.admin);
    assert_eq!(sample.server.grace_period, default.server.grace_period);
    assert_eq!(format!("{:?}", sample.approov), format!("{:?}", default.approov));
    assert_eq!(sample.rejection, default.rejection);
    assert_eq!(sample.origins, default.origins);
    assert_eq!(sample.log, default.log);
    assert_eq!((sample.server.watch, sample.server.user), (default.server.watch, default.server.user));
    assert_eq!(LimitSettings { routes: Vec::new(), ..sample.limits }, as_with_enough_memory(default.limits));
}

#[test]
fn every_key_of_the_sample_can_be_uncommented() {
    let text = fs::read_to_string("conf/gateway.yaml").expect("the sample");
    for key in ["pid_file", "upgrade_sock", "issuers", "audiences", "deny"] {
        let line = format!("  # {key}: ");
        assert!(text.contains(&line), "{key}");
        let folder = Folder::new();
        let file = folder.write("gateway.yaml", text.replace(&line, &format!("  {key}: ")));
        loaded(Some(&file), &[WITH_SECRET]);
    }
    let folder = Folder::new();
    let file = folder.write("gateway.yaml", text.replace("# forward_headers: ", "forward_headers: "));
    assert_eq!(loaded(Some(&file), &[WITH_SECRET]).forward_headers.len(), 2);
    // A group requires a user.
    let both = text.replace("  # user: ", "  user: ").replace("  # group: ", "  group: ");
    let folder = Folder::new();
    let file = folder.write("gateway.yaml", both);
    assert!(loaded(Some(&file), &[WITH_SECRET]).server.user.is_some());
}

#[test]
fn every_key_of_the_samples_origin_can_be_uncommented() {
    let folder = Folder::new();
    origin_files(&folder);
    let text = fs::read_to_string("conf/gateway.yaml").expect("the sample");
    let keys = "addresses balance http http2 tls secret_header approov first_byte_timeout total_timeout \
                health_check ejection retries max_in_flight queue queue_timeout";
    let mut whole = text.clone();
    for key in keys.split(' ') {
        let line = format!("\n    # {key}: ");
        assert_eq!(text.matches(&line).count(), 1, "{key}");
        let uncommented = |text: &str| text.replace(&line, &format!("\n    {key}: "));
        // This key is valid for HTTP/1 only.
        if key != "first_byte_timeout" {
            whole = uncommented(&whole);
        }
        if !key.starts_with("queue") {
            loaded(Some(&folder.write("gateway.yaml", uncommented(&text))), &[WITH_SECRET]);
        }
    }
    let settings = loaded(Some(&folder.write("gateway.yaml", whole)), &[WITH_SECRET]);
    let origin = &settings.origins[0];
    let addresses: Vec<_> =
        origin.addresses.iter().map(|address| format!("{} {}", address.target, address.weight)).collect();
    let expected =
        ["192.0.2.1:443 1", "[2001:db8::1]:8443 1", "api-2.internal:443 2", "unix:/run/api.sock 1"];
    assert_eq!(addresses, expected);
    let tls = origin.tls.as_ref().expect("TLS");
    assert_eq!(tls.server_name.to_str(), "api.internal");
    assert!(tls.roots.as_ref().is_some_and(|roots| roots.len() == 1) && tls.identity.is_some());
    let secret = origin.secret_header.as_ref().expect("a secret header");
    let fields: Vec<_> = secret.fields().map(|(name, value)| format!("{name}: {}", value.len())).collect();
    assert_eq!(fields, ["x-origin-secret: 32", "x-origin-secret-next: 28"]);
    let own = settings.approov.origin_verifiers[0].as_ref().expect("keys of its own");
    assert_eq!(own.keys().iter().map(|key| key.id()).collect::<Vec<_>>(), [Some("shop")]);
    assert_eq!(origin.timeouts.total, Some(Duration::from_secs(120)));
    assert!(origin.health_check.is_some() && origin.retries.is_some() && origin.ejection.single);
    assert_eq!(origin.capacity.map(|capacity| (capacity.max_in_flight, capacity.queue)), Some((500, 100)));
    let shown = format!("{settings:?}");
    for secret in ["the-secret", "BEGIN PRIVATE", SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// Without their comment signs the keys of `trusted_proxies` and `tls` load. The only problems are the
/// missing files that they name.
#[test]
fn the_listeners_of_the_sample_can_be_uncommented() {
    let text = fs::read_to_string("conf/gateway.yaml").expect("the sample");
    let folder = Folder::new();
    let uncommented = |from: &str, to: &str| {
        let (before, rest) = text.split_once(from).expect(from);
        let end = rest.find(to).expect(to);
        let lines = format!("{from}{}", &rest[..end]);
        let lines: String = lines.lines().map(|line| line.replacen("# ", "", 1) + "\n").collect();
        let text = format!("{before}{lines}{}", &rest[end..]);
        folder.write("gateway.yaml", text)
    };
    let settings = loaded(Some(&uncommented("    # trusted_proxies:", "\n  # One with TLS")), &[WITH_SECRET]);
    assert_eq!(settings.listeners[0].trusted_proxies.as_ref().map(|proxies| proxies.ranges().len()), Some(2));
    let told =
        refused(Some(&uncommented("  # - address: 0.0.0.0:8443", "\n# Where operators ask")), &[WITH_SECRET]);
    let missing: Vec<_> = told.lines().filter(|line| line.contains(" cannot be read: ")).collect();
    assert_eq!(missing.len(), told.lines().count(), "{told}");
    assert_eq!(missing.len(), 6, "{told}");
}
