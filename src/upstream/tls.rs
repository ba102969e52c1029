//! TLS towards origins.

use rustls::client::ClientConfig;
use rustls::{RootCertStore, version};

use crate::origins::OriginTls;
use crate::tls::provider;

/// The TLS configuration of an origin. All connections share its session cache.
pub(super) fn client_config(tls: &OriginTls) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_root_certificates(roots(tls)?);
    let mut config = match &tls.identity {
        Some(identity) => builder.with_client_cert_resolver(identity.for_clients()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The configured authorities; without them those of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` name
/// others).
fn roots(tls: &OriginTls) -> Result<RootCertStore, rustls::Error> {
    let mut store = RootCertStore::empty();
    if let Some(roots) = &tls.roots {
        for root in roots {
            store.add(root.clone())?;
        }
        return Ok(store);
    }
    match rustls_native_certs::load_native_certs() {
        Ok(found) => drop(store.add_parsable_certificates(found)),
        Err(error) => log::error!("the system's certificates of authorities cannot be read: {error}"),
    }
    if store.is_empty() {
        log::error!(
            "the system has no certificates of authorities, so that no origin's certificate can be \
             verified; install ca-certificates, or set tls.ca_file for the origin"
        );
    }
    Ok(store)
}
