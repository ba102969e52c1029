//! The command `pin`.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{DnType, KeyPair};
use rustls::{ServerConfig, ServerConnection};
use sha2::{Digest, Sha256};

use super::{Folder, Identity, certificates, tickets};
use crate::harness::tls::Authority;
use crate::harness::{Exit, gateway_command, run};

fn pin(source: &str, authorities: Option<&Path>) -> Exit {
    let mut command = gateway_command(&["pin", source]);
    if let Some(authorities) = authorities {
        command.env("SSL_CERT_FILE", authorities);
    }
    run(&mut command)
}

/// The pin, computed by the test.
fn expected(public_key: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(public_key))
}

#[test]
fn prints_the_pins_of_a_file_leaf_first() {
    let (folder, root) = (Folder::new(), Authority::named("root"));
    let intermediate = root.intermediate("intermediate");
    let own = Identity::new(&intermediate, &["api.example.com"]);
    let chain = format!("{}{}{}", own.chain, intermediate.pem, root.pem);
    let output = pin(folder.write("chain.pem", chain).to_str().unwrap(), None);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<_> = output.stdout.lines().collect();
    let key = |authority: &Authority| rcgen::PublicKeyData::subject_public_key_info(authority.issuer.key());
    let wanted = [
        (own.public_key.clone(), "leaf         CN=leaf  expires 4096-01-01T00:00:00Z, in "),
        (key(&intermediate), "intermediate CN=intermediate  expires 4096-"),
        (key(&root), "root         CN=root  expires 4096-"),
    ];
    assert_eq!(lines.len(), wanted.len(), "{lines:?}");
    for (line, (key, rest)) in lines.iter().zip(wanted) {
        assert!(line.starts_with(&format!("{} {rest}", expected(&key))), "{line}");
    }
}

#[test]
fn prints_the_pin_of_a_key_without_a_certificate() {
    let (folder, key) = (Folder::new(), KeyPair::generate().unwrap());
    let wanted = format!("{} key\n", expected(&rcgen::PublicKeyData::subject_public_key_info(&key)));
    let public = folder.write("public.pem", key.public_key_pem());
    let private = folder.write("private.pem", key.serialize_pem());
    for file in [public, private] {
        let output = pin(file.to_str().unwrap(), None);
        assert_eq!(output.stdout, wanted, "{output:?}");
    }
    let der = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let output = pin(folder.write("own.der", der.der()).to_str().unwrap(), None);
    assert!(output.stdout.starts_with(wanted.trim_end_matches(" key\n")), "{output:?}");
}

#[test]
fn names_files_that_have_no_certificate_or_key() {
    let folder = Folder::new();
    for (source, status, part) in [
        ("nowhere", 2, "nowhere is no file; write a file's name, or host and port"),
        ("https://api.example.com", 2, "is no file"),
        (folder.write("text", "no key").to_str().unwrap(), 1, "neither a certificate nor a key"),
        (folder.write("empty", "").to_str().unwrap(), 1, "neither a certificate nor a key"),
        (folder.write("der", b"\x30\x03\x02\x01\x00").to_str().unwrap(), 1, "no X.509 certificate"),
    ] {
        let output = pin(source, None);
        assert_eq!(output.status.code(), Some(status), "{source}");
        assert!(output.stderr.contains(part), "{source}: {output:?}");
        assert!(output.stdout.is_empty());
    }
}

/// Serves TLS handshakes until the test ends. Returns the port.
fn serve(config: Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = stream.unwrap();
            // The client closes the connection once it has the chain.
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    port
}

#[test]
fn prints_the_pins_of_a_server_and_warns_if_it_is_not_trusted() {
    let (folder, root) = (Folder::new(), Authority::named("root"));
    let intermediate = root.intermediate("intermediate");
    // A name with a line feed and with terminal control characters.
    let own = Identity::with(&intermediate, &["localhost"], |params| {
        params.distinguished_name.push(DnType::CommonName, "a\u{1b}[2J\nb\u{202e}c");
    });
    let wanted = expected(&own.public_key);
    let list = [folder.identity("own", &own.followed_by(&intermediate.pem))];
    let port = serve(folder.server(&certificates(&list), &tickets()));
    let roots = folder.write("root.pem", &root.pem);
    let source = format!("localhost:{port}");

    let trusted = pin(&source, Some(&roots));
    assert_eq!(trusted.status.code(), Some(0), "{trusted:?}");
    let lines: Vec<_> = trusted.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&wanted), "{lines:?}");
    assert!(lines[0].contains(" leaf         CN=a\\1b[2J\\0ab\\u202ec  expires "), "{lines:?}");
    assert!(lines[1].contains(" intermediate CN=intermediate  expires "), "{lines:?}");

    let strangers = folder.write("strangers.pem", &Authority::named("strangers").pem);
    for (source, roots) in [(&source, &strangers), (&format!("127.0.0.1:{port}"), &roots)] {
        let doubtful = pin(source, Some(roots));
        assert_eq!(doubtful.status.code(), Some(1), "{doubtful:?}");
        assert_eq!(doubtful.stdout, trusted.stdout, "the same pins");
        assert!(doubtful.stderr.contains("the chain does not verify"), "{doubtful:?}");
    }
}

#[test]
fn a_server_that_is_missing_or_has_no_tls_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let talking = thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let source = format!("127.0.0.1:{port}");
    let output = pin(&source, None);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.contains("no TLS handshake: "), "{output:?}");
    talking.join().unwrap();
    // No process listens on this port any more.
    let output = pin(&source, None);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.contains("cannot connect: "), "{output:?}");
}
