//! `tls`: TLS of a listener.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::identity::IdentitySection;
use super::certificates;
use super::client_certificates::ClientCertificatesSection;
use crate::config::document::{
    Entries, Kind, Located, Report, Reported, Shape, Value, Written, default, list, nested, required,
    section, words,
};
use crate::config::values::{file, read_file, warn_if_world_readable};
use crate::policy::Route;
use crate::tls::{ClientAuth, Protocol, ServerTls, TicketKey, UnknownName, Version};

section! {
    /// TLS of a listener.
    pub struct ListenerTlsSection {
        /// Certificates with their keys. A client gets the certificate for the name that it asks
        /// for. One name may have two certificates with different kinds of keys; put ECDSA before
        /// RSA.
        certificates: Located<Entries<IdentitySection>> = required(
            list(nested::<IdentitySection>())
                .not_empty("write certificates: [ { certificate_file: …, private_key_file: … } ]"),
            "write certificates: [ { certificate_file: …, private_key_file: … } ]",
        ),
        /// The oldest TLS version.
        min_version: Version = default(words(Version::ALL.map(|version| (version.label(), version))), Version::default()),
        /// Application protocols, the preferred one first. Default: `[h2, http/1.1]`.
        alpn: Written<Vec<Protocol>> = Alpn,
        /// Certificates of clients. Default: clients are not asked for certificates.
        client_certificates: Written<ClientCertificatesSection> = nested::<ClientCertificatesSection>(),
        /// Keys that encrypt session tickets: files of 48 or 80 random bytes (`openssl rand 80`),
        /// the same on all machines that serve the same clients. The first encrypts, all decrypt. To
        /// rotate, put a new one before the old one on every machine, reload, and remove the old one
        /// half a day later. Default: keys of the process, which change every six hours and are
        /// passed to the new process of an upgrade.
        ticket_keys: Written<Entries<PathBuf>> = TicketKeys,
        /// What a client gets that asks for another name or for none: the first certificate
        /// (`default`), or no handshake (`reject`).
        unknown_name: UnknownName = default(
            words([("default", UnknownName::Default), ("reject", UnknownName::Reject)]),
            UnknownName::Default,
        ),
    }
}

/// TLS with everything that its files hold.
pub struct LoadedTls {
    pub tls: ServerTls,
    pub files: Vec<PathBuf>,
}

impl ListenerTlsSection {
    /// Whether clients are asked for certificates. True if the file is wrong about it.
    pub fn asks_for_certificates(&self) -> bool {
        match &self.client_certificates {
            Written::Absent => false,
            Written::Bad => true,
            Written::Good(section) => section.value.asks(),
        }
    }

    /// Reads the files. `routes` tell which names are served.
    pub fn load(self, routes: &[Route], report: &Report) -> Result<LoadedTls, Reported> {
        let certificates = self.certificates.value;
        let mut files: Vec<PathBuf> =
            certificates.iter().flatten().flat_map(|section| section.value.files()).collect();
        let identities = certificates::load(&certificates, self.unknown_name, routes, report);
        let client_auth = self.client_certificates.checked().and_then(|section| match section {
            Some(Located { value: section, at }) => {
                files.extend(section.files());
                section.load(&at, report)
            }
            None => Ok(ClientAuth::off()),
        });
        let ticket_keys = self.ticket_keys.checked()?.map_or(Vec::new(), |files| files.value);
        // Every key first, so that every problem is reported.
        let keys: Vec<_> = ticket_keys.into_iter().map(|file| ticket_key(&file?, report)).collect();
        let keys: Vec<_> = keys.into_iter().collect::<Result<_, _>>()?;
        files.extend(keys.iter().map(|(file, _)| file.clone()));
        let tls = ServerTls {
            identities: identities?,
            unknown_name: self.unknown_name,
            min_version: self.min_version,
            protocols: self.alpn.checked()?.map_or(Protocol::ALL.to_vec(), |alpn| alpn.value),
            client_auth: client_auth?,
            ticket_keys: keys.into_iter().map(|(_, key)| key).collect(),
        };
        Ok(LoadedTls { tls, files })
    }
}

/// The kind of `alpn`: protocols, each once.
struct Alpn;

impl Alpn {
    fn list() -> impl Kind<Value = Entries<Protocol>> {
        list(words(Protocol::ALL.map(|protocol| (protocol.label(), protocol))))
            .not_empty("write [h2, http/1.1], or remove the key for these two")
    }
}

impl Kind for Alpn {
    type Value = Vec<Protocol>;

    fn read(&self, value: &Value<'_>) -> Result<Vec<Protocol>, Reported> {
        let mut protocols = Vec::new();
        for (entry, item) in Self::list().read(value)?.into_iter().zip(value.list()?) {
            let protocol = entry?.value;
            if protocols.contains(&protocol) {
                return Err(item.problem(format!("{} is named twice", protocol.label()), "remove one"));
            }
            protocols.push(protocol);
        }
        Ok(protocols)
    }

    fn shape(&self) -> Shape {
        Self::list().shape()
    }
}

/// The kind of `ticket_keys`: files, each once.
struct TicketKeys;

impl TicketKeys {
    fn list() -> impl Kind<Value = Entries<PathBuf>> {
        list(file()).not_empty("name files, or remove the key for keys of the process's own")
    }
}

impl Kind for TicketKeys {
    type Value = Entries<PathBuf>;

    fn read(&self, value: &Value<'_>) -> Result<Entries<PathBuf>, Reported> {
        let mut files: Entries<PathBuf> = Vec::new();
        for (file, item) in Self::list().read(value)?.into_iter().zip(value.list()?) {
            let is_known =
                |file: &Located<PathBuf>| files.iter().flatten().any(|known| known.value == file.value);
            let is_repeated = file.as_ref().is_ok_and(is_known);
            files.push(if is_repeated {
                Err(item.problem("this file is named twice", "remove one"))
            } else {
                file
            });
        }
        Ok(files)
    }

    fn shape(&self) -> Shape {
        Self::list().shape()
    }
}

/// More than any ticket key takes.
const MAX_TICKET_KEY: u64 = 4096;

fn ticket_key(file: &Located<PathBuf>, report: &Report) -> Result<(PathBuf, Arc<TicketKey>), Reported> {
    let Located { value: path, at } = file;
    let bytes = read_file(file, MAX_TICKET_KEY, report)?;
    warn_if_world_readable(path, at, report);
    match TicketKey::from_file(&bytes) {
        Ok(key) => Ok((path.clone(), Arc::new(key))),
        Err(error) => {
            let hint = "make it with: openssl rand 80";
            Err(report.problem(at, format!("{}: {error}", path.display()), hint))
        }
    }
}
