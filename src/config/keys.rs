//! Keys: from a secret or a PEM text, written in the configuration or in a file of its own.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::approov::{Algorithm, Key, KeyError, Secret};

use super::error::{Fault, Located, Location, Report, Reported, quoted};
use super::named_file::{self, located_path, warn_if_world_readable};
use super::reader::Value;
use super::text;

/// What to do about any bad secret.
pub(super) const SECRET_MEND: &str = "copy it again from the output of `approov secret -get base64`";

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
    Secret(Secret),
    Public(Key),
}

impl LoadedKey {
    /// A key of the one account secret, without an id.
    pub fn of_account(secret: Secret) -> Self {
        Self { id: None, material: LoadedMaterial::Secret(secret) }
    }

    /// The key, ready to verify.
    pub fn into_key(self) -> Key {
        let key = match self.material {
            LoadedMaterial::Secret(secret) => Key::hs256(&secret),
            LoadedMaterial::Public(key) => key,
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
        let (fitting, mend) = match algorithm {
            Algorithm::Hs256 => (&SOURCES[..2], "give it secret_base64_file"),
            Algorithm::Rs256 | Algorithm::Es256 => (&SOURCES[2..], "give it public_key_file"),
        };
        let given: Vec<_> = SOURCES.into_iter().filter(|source| key.find(source).is_some()).collect();
        let source = match given[..] {
            [] => {
                let message = format!("a key for {} needs {}", algorithm.name(), fitting.join(" or "));
                return Err(key.problem(message, mend));
            }
            [source] if fitting.contains(&source) => source,
            [source] => {
                let message = format!("{} does not go with {source}", algorithm.name());
                let mend = match algorithm {
                    Algorithm::Hs256 => "write algorithm: RS256 or ES256, or give it secret_base64_file",
                    Algorithm::Rs256 | Algorithm::Es256 => {
                        "give it public_key_file, or write algorithm: HS256"
                    }
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
            Material::Secret(secret) => LoadedMaterial::Secret(secret.clone()),
            Material::SecretFile(file) => {
                LoadedMaterial::Secret(read_secret_file(&file.value, &file.at, report)?)
            }
            Material::PublicKey(pem) => LoadedMaterial::Public(self.public_key(&pem.value, &pem.at, report)?),
            Material::PublicKeyFile(file) => {
                let pem = read_small_file(&file.value, &file.at, report)?;
                LoadedMaterial::Public(self.public_key(&pem, &file.at, report)?)
            }
        };
        let id = self.id.as_ref().map(|id| id.value.as_str().into());
        Ok(LoadedKey { id, material })
    }

    fn public_key(&self, pem: &str, at: &Location, report: &Report) -> Result<Key, Reported> {
        let key = match self.algorithm {
            Algorithm::Rs256 => Key::rs256_from_pem(pem),
            Algorithm::Es256 => Key::es256_from_pem(pem),
            Algorithm::Hs256 => Err(KeyError::WrongType(Algorithm::Hs256)),
        };
        let mend = "give it a PEM text that begins with -----BEGIN PUBLIC KEY-----";
        key.map_err(|error| report.problem(at, error.to_string(), mend))
    }
}

fn algorithm(name: &str) -> Result<Algorithm, Fault> {
    Algorithm::from_name(name).ok_or_else(|| {
        Fault::new(format!("{} is not an algorithm", quoted(name)), "use HS256, RS256 or ES256")
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
