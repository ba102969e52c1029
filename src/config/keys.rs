//! Keys: from a secret or a PEM text, written in the configuration or in a file of its own.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::approov::{Algorithm, Key, KeyType, Secret};

use super::error::{Fault, Located, Location, Report, Reported, quoted};
use super::named_file::{self, located_path, warn_if_world_readable};
use super::reader::Value;
use super::text;

/// What to do about any bad secret.
pub(super) const SECRET_MEND: &str = "copy it again from the output of `approov secret -plain -get base64`";

/// An entry of `approov.keys`.
pub(super) struct KeySection {
    id: Option<Located<String>>,
    algorithm: Algorithm,
    material: Material,
    at: Location,
}

enum Material {
    Secret(Secret),
    SecretFile(Located<PathBuf>),
    PublicKey(Located<String>),
    PublicKeyFile(Located<PathBuf>),
}

/// A key whose secret or PEM text has been read.
pub(super) struct LoadedKey {
    /// The `kid`.
    pub id: Option<Box<str>>,
    /// What it verifies with.
    pub material: LoadedMaterial,
}

pub(super) enum LoadedMaterial {
    /// The secret itself mints example tokens.
    Secret(Secret, Box<Key>),
    Public(Box<Key>),
}

impl LoadedKey {
    /// A key of the one account secret, without an id.
    pub fn of_account(secret: Secret) -> Self {
        let key = Box::new(Key::hs256(&secret));
        Self { id: None, material: LoadedMaterial::Secret(secret, key) }
    }

    /// The key, ready to verify.
    pub fn into_key(self) -> Key {
        let key = match self.material {
            LoadedMaterial::Secret(_, key) | LoadedMaterial::Public(key) => *key,
        };
        match self.id {
            Some(id) => key.with_id(id),
            None => key,
        }
    }
}

impl KeySection {
    /// Reads the entry, but none of the files that it names.
    pub fn read(value: &Value<'_>, folder: &Path) -> Result<Self, Reported> {
        const SOURCES: [&str; 4] = ["secret_base64", "secret_base64_file", "public_key", "public_key_file"];
        let key = value.mapping(&[
            "id",
            "algorithm",
            "secret_base64",
            "secret_base64_file",
            "public_key",
            "public_key_file",
        ]);
        let id = key.read("id", |id| id.parse(text::printable));
        let algorithm = match key.find("algorithm") {
            Some(name) => name.parse(algorithm)?.value,
            None => Algorithm::Hs256,
        };
        let (fitting, mend) = match algorithm.key_type() {
            KeyType::Secret => (&SOURCES[..2], "give it secret_base64_file"),
            KeyType::Rsa | KeyType::Ec => (&SOURCES[2..], "give it public_key_file"),
        };
        let given: Vec<_> = SOURCES.into_iter().filter(|source| key.find(source).is_some()).collect();
        let source = match given[..] {
            [] => {
                let message = format!("a key for {} needs {}", algorithm.label(), fitting.join(" or "));
                return Err(key.problem(message, mend));
            }
            [source] if fitting.contains(&source) => source,
            [source] => {
                let message = format!("{} does not go with {source}", algorithm.label());
                let mend = match algorithm.key_type() {
                    KeyType::Secret => "write algorithm: RS256 or ES256, or give it secret_base64_file",
                    KeyType::Rsa | KeyType::Ec => "give it public_key_file, or write algorithm: HS256",
                };
                return Err(key.problem(message, mend));
            }
            _ => {
                let message = format!("the key is given more than once: {}", given.join(", "));
                return Err(key.problem(message, "keep one of them"));
            }
        };
        let source = key.find(source).map(|found| (source, found)).ok_or(Reported)?;
        let material = match source {
            ("secret_base64", found) => Material::Secret(found.parse(secret)?.value),
            ("secret_base64_file", found) => Material::SecretFile(located_path(found, folder)?),
            ("public_key", found) => Material::PublicKey(found.parse(|pem| Ok(pem.to_owned()))?),
            (_, found) => Material::PublicKeyFile(located_path(found, folder)?),
        };
        Ok(Self { id, algorithm, material, at: value.at().clone() })
    }

    /// Where the entry stands.
    pub fn at(&self) -> &Location {
        &self.at
    }

    /// The id and its place.
    pub fn id(&self) -> Option<&Located<String>> {
        self.id.as_ref()
    }

    /// Whether the secret itself stands in the configuration file.
    pub fn is_secret_in_place(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    /// Reads the files it names and decodes what is in them.
    pub fn load(&self, report: &Report) -> Result<LoadedKey, Reported> {
        let material = match &self.material {
            Material::Secret(secret) => self.secret_key(secret.clone(), report)?,
            Material::SecretFile(file) => {
                self.secret_key(read_secret_file(&file.value, &file.at, report)?, report)?
            }
            Material::PublicKey(pem) => self.public_key(&pem.value, &pem.at, report)?,
            Material::PublicKeyFile(file) => {
                let pem = read_small_file(&file.value, &file.at, report)?;
                self.public_key(&pem, &file.at, report)?
            }
        };
        let id = self.id.as_ref().map(|id| id.value.as_str().into());
        Ok(LoadedKey { id, material })
    }

    fn secret_key(&self, secret: Secret, report: &Report) -> Result<LoadedMaterial, Reported> {
        let key = Key::from_secret(self.algorithm, &secret);
        let mend = "use a longer secret, or algorithm: HS256";
        let key = key.map_err(|error| report.problem(&self.at, error.to_string(), mend))?;
        Ok(LoadedMaterial::Secret(secret, Box::new(key)))
    }

    fn public_key(&self, pem: &str, at: &Location, report: &Report) -> Result<LoadedMaterial, Reported> {
        let key = Key::from_pem(self.algorithm, pem);
        let mend = "give it a PEM text that begins with -----BEGIN PUBLIC KEY-----";
        let key = key.map_err(|error| report.problem(at, error.to_string(), mend))?;
        Ok(LoadedMaterial::Public(Box::new(key)))
    }
}

fn algorithm(name: &str) -> Result<Algorithm, Fault> {
    name.parse().map_err(|_| {
        let mend = "use HS256, RS256 or ES256, or their kin with 384 and 512, or PS256, PS384, PS512";
        Fault::new(format!("{} is not an algorithm", quoted(name)), mend)
    })
}

fn secret(text: &str) -> Result<Secret, Fault> {
    Secret::from_base64(text).map_err(|error| Fault::new(error.to_string(), SECRET_MEND))
}

/// Reads and decodes a file that holds a secret and nothing else.
pub(super) fn read_secret_file(path: &Path, at: &Location, report: &Report) -> Result<Secret, Reported> {
    let text = read_small_file(path, at, report)?;
    warn_if_world_readable(path, at, report);
    Secret::from_base64(&text)
        .map_err(|error| report.problem(at, format!("{}: {error}", path.display()), SECRET_MEND))
}

/// More than any secret or public key takes.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// Reads a text that is short, and perhaps secret.
pub(super) fn read_small_file(
    path: &Path,
    at: &Location,
    report: &Report,
) -> Result<Zeroizing<String>, Reported> {
    let bytes = named_file::read(path, MAX_KEY_FILE + 1, at, report)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() as u64 <= MAX_KEY_FILE => Ok(Zeroizing::new(text.to_owned())),
        _ => {
            let message = format!("{} holds something other than a short text", path.display());
            Err(report.problem(at, message, "store the base64 or PEM text in it, not raw bytes"))
        }
    }
}
