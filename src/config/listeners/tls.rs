//! `listeners[].tls`: its shape, and what its files make of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::policy::Route;
use crate::tls::{Protocol, ServerTls, TicketKey, UnknownName, Version};

use super::super::error::{Located, Report, Reported};
use super::super::identity::IdentitySection;
use super::super::named_file::{self, located_path, warn_if_world_readable};
use super::super::reader::{Value, word};
use super::certificates;
use super::client_certificates::ClientCertificates;

/// A `tls` mapping.
pub(super) struct TlsSection {
    certificates: Vec<Result<IdentitySection, Reported>>,
    min_version: Option<Version>,
    alpn: Option<Result<Vec<Protocol>, Reported>>,
    client_certificates: Option<Result<ClientCertificates, Reported>>,
    ticket_keys: Vec<Result<Located<PathBuf>, Reported>>,
    unknown_name: Option<UnknownName>,
}

/// What came of it.
pub(super) struct LoadedTls {
    pub tls: ServerTls,
    pub files: Vec<PathBuf>,
}

impl TlsSection {
    /// Reads the mapping, but none of the files that it names.
    pub fn read(value: &Value<'_>, folder: &Path) -> Result<Self, Reported> {
        let tls = value.mapping(&[
            "certificates",
            "min_version",
            "alpn",
            "client_certificates",
            "ticket_keys",
            "unknown_name",
        ]);
        let certificates = match tls.find("certificates").map(Value::list).transpose().map(Option::flatten) {
            Ok(Some(list)) if !list.is_empty() => {
                Ok(list.iter().map(|value| IdentitySection::read(value, folder)).collect())
            }
            Err(reported) => Err(reported),
            Ok(_) => {
                let mend = "write certificates: [ { certificate_file: …, private_key_file: … } ]";
                Err(tls.missing("certificates", mend))
            }
        };
        Ok(Self {
            min_version: tls.read("min_version", |value| value.word(&Version::ALL)),
            alpn: tls.find("alpn").map(alpn),
            client_certificates: tls
                .find("client_certificates")
                .map(|value| ClientCertificates::read(value, folder)),
            ticket_keys: match tls.find("ticket_keys") {
                Some(files) => ticket_keys(files, folder),
                None => Vec::new(),
            },
            unknown_name: tls.read("unknown_name", |value| {
                value.word(&[("default", UnknownName::Default), ("reject", UnknownName::Reject)])
            }),
            // Last, so that every problem is told.
            certificates: certificates?,
        })
    }

    /// Reads the files. `routes` serve the names of the certificates, or not.
    pub fn load(self, routes: &[Route], report: &Report) -> Result<LoadedTls, Reported> {
        let unknown_name = self.unknown_name.unwrap_or_default();
        let certificates: Vec<_> = self.certificates.iter().flatten().collect();
        let mut files: Vec<PathBuf> = certificates.iter().flat_map(|section| section.files()).collect();
        let identities = certificates::load(&self.certificates, unknown_name, routes, report);
        let client_auth = match self.client_certificates {
            Some(section) => section.and_then(|section| {
                files.extend(section.files());
                section.load(report)
            }),
            None => Ok(crate::tls::ClientAuth::off()),
        };
        // All of them first, so that every problem is told.
        let keys: Vec<_> = self.ticket_keys.into_iter().map(|file| ticket_key(&file?, report)).collect();
        let keys: Vec<_> = keys.into_iter().collect::<Result<_, _>>()?;
        files.extend(keys.iter().map(|(file, _)| file.clone()));
        let tls = ServerTls {
            identities: identities?,
            unknown_name,
            min_version: self.min_version.unwrap_or_default(),
            protocols: self.alpn.transpose()?.unwrap_or(Protocol::ALL.to_vec()),
            client_auth: client_auth?,
            ticket_keys: keys.into_iter().map(|(_, key)| key).collect(),
        };
        Ok(LoadedTls { tls, files })
    }
}

fn alpn(value: &Value<'_>) -> Result<Vec<Protocol>, Reported> {
    let words = Protocol::ALL.map(|protocol| (protocol.id(), protocol));
    let list = value.list()?.unwrap_or_default();
    if list.is_empty() {
        let mend = "write [h2, http/1.1], or remove the key for these two";
        return Err(value.problem("the list is empty", mend));
    }
    let mut protocols = Vec::new();
    for item in &list {
        let protocol = item.parse(|text| word(text, &words))?.value;
        if protocols.contains(&protocol) {
            return Err(item.problem(format!("{} is named twice", protocol.id()), "remove one"));
        }
        protocols.push(protocol);
    }
    Ok(protocols)
}

fn ticket_keys(value: &Value<'_>, folder: &Path) -> Vec<Result<Located<PathBuf>, Reported>> {
    let list = match value.list() {
        Ok(list) => list.unwrap_or_default(),
        Err(reported) => return vec![Err(reported)],
    };
    if list.is_empty() {
        let mend = "name files, or remove the key for keys of the process's own";
        return vec![Err(value.problem("the list is empty", mend))];
    }
    let mut files: Vec<Result<Located<PathBuf>, Reported>> = Vec::with_capacity(list.len());
    for item in &list {
        let file = located_path(item, folder);
        let is_known =
            file.as_ref().is_ok_and(|file| files.iter().flatten().any(|known| known.value == file.value));
        files.push(if is_known { Err(item.problem("this file is named twice", "remove one")) } else { file });
    }
    files
}

/// More than any ticket key takes.
const MAX_TICKET_KEY: u64 = 4096;

fn ticket_key(file: &Located<PathBuf>, report: &Report) -> Result<(PathBuf, Arc<TicketKey>), Reported> {
    let Located { value: path, at } = file;
    let bytes = named_file::read(path, MAX_TICKET_KEY, at, report)?;
    warn_if_world_readable(path, at, report);
    match TicketKey::from_file(&bytes) {
        Ok(key) => Ok((path.clone(), Arc::new(key))),
        Err(error) => {
            let mend = "make it with: openssl rand 80";
            Err(report.problem(at, format!("{}: {error}", path.display()), mend))
        }
    }
}
