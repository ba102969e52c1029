//! Sets of keys: from a file, which is read now, or from a URL, which is fetched later.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;

use super::keys::{LoadedKey, LoadedMaterial};
use crate::approov::{KeySet, KeySetSource, KeyType, MAX_KEY_SET, SharedKeySet};
use crate::config::document::{Located, Location, Report, Reported};
use crate::config::values::{ServerUrl, read_file, warn_if_world_readable};
use crate::key_sets::KeySetSettings;
use crate::origins::{Origin, OriginAddress, OriginTls, Target};

/// The keys of a JWK set in a file.
pub fn load_file(file: &Located<PathBuf>, report: &Report) -> Result<Vec<LoadedKey>, Reported> {
    let Located { value: path, at } = file;
    let text = read_file(file, MAX_KEY_SET as u64, report)?;
    let set = KeySet::parse(&text, KeySetSource::File).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        report.problem(at, message, "store the set as `approov keyset` or the JWKS address gives it")
    })?;
    for skipped in set.skipped() {
        let message = format!("key {} of {} {}", skipped.position, path.display(), skipped.reason);
        report.warning(at, message, "it is not used; remove it if that is right");
    }
    if set.keys().iter().any(|key| key.algorithm().key_type() == KeyType::Secret) {
        warn_if_world_readable(path, at, report);
    }
    let loaded = |key| LoadedKey { id: None, material: LoadedMaterial::Public(Box::new(key)) };
    Ok(set.into_keys().into_iter().map(loaded).collect())
}

/// A set with a URL. Nothing is fetched here.
pub fn remote(
    url: Located<ServerUrl>,
    refresh: Option<Duration>,
    cache_file: Option<PathBuf>,
    report: &Report,
) -> Result<Located<KeySetSettings>, Reported> {
    let Located { value: url, at } = url;
    let server = server(&url, &at, report)?;
    let ServerUrl { name, target, .. } = url;
    let keys = Arc::new(SharedKeySet::default());
    let refresh = refresh.unwrap_or(KeySetSettings::REFRESH);
    Ok(Located { value: KeySetSettings { name, server, target, refresh, cache_file, keys }, at })
}

/// The server of a URL, with the usual settings of an origin.
pub fn server(url: &ServerUrl, at: &Location, report: &Report) -> Result<Origin, Reported> {
    let domain = url.domain.clone();
    let tls = domain.tls.then(|| {
        let server_name = ServerName::try_from(domain.host.to_string()).map_err(|_| {
            report.problem(at, "no certificate can be for this name", "write the host name of the server")
        })?;
        Ok(OriginTls { server_name, roots: None, identity: None, identity_key: None })
    });
    let target_of_host = match domain.host.parse::<IpAddr>() {
        Ok(address) => Target::Socket((address, domain.port).into()),
        Err(_) => Target::Name { host: domain.host.clone(), port: domain.port },
    };
    let any = (Ipv4Addr::UNSPECIFIED, domain.port).into();
    Ok(Origin {
        host: domain.host,
        addresses: vec![OriginAddress { target: target_of_host, weight: 1 }],
        tls: tls.transpose()?,
        ..Origin::plain(&url.name, any, domain.authority)
    })
}

/// The sets of all lists of keys. Each URL is fetched once, however many lists name it.
#[derive(Default)]
pub struct KeySetList(Vec<KeySetSettings>);

impl KeySetList {
    /// Adds a set, or finds the one with its URL. Returns the keys that verifiers read.
    pub fn add(&mut self, set: Located<KeySetSettings>, report: &Report) -> Arc<SharedKeySet> {
        let Located { value: set, at } = set;
        if let Some(known) = self.0.iter().find(|known| known.name == set.name) {
            if (known.refresh, &known.cache_file) != (set.refresh, &set.cache_file) {
                let message = "this URL has another refresh or cache_file elsewhere in the file";
                report.problem(&at, message, "write the same in both places");
            }
            if !known.is_same_source(&set) {
                let message = "another key set has the same URL but for its query";
                report.problem(&at, message, "give each key set its own path");
            }
            return known.keys.clone();
        }
        if set.cache_file.is_some() && self.0.iter().any(|known| known.cache_file == set.cache_file) {
            report.problem(&at, "another key set has the same cache_file", "give each its own file");
        }
        let keys = set.keys.clone();
        self.0.push(set);
        keys
    }

    /// The settings of all sets, in the order of the file.
    pub fn into_settings(self) -> Vec<KeySetSettings> {
        self.0
    }
}
