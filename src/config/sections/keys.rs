//! Keys that verify tokens: from a secret or a PEM text, in the configuration or in a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::key_sets;
use crate::approov::{Algorithm, Key, KeyType, Role, Secret};
use crate::config::document::{
    Entries, Fault, Kind, Located, Location, Report, Reported, Section, Shape, Value, Written, default,
    nested, quoted, section, text, words,
};
use crate::config::values::{
    ServerUrl, duration, file, key_set_url, printable, read_small_file, warn_if_world_readable,
};
use crate::key_sets::KeySetSettings;

/// The hint for a secret that cannot be used.
pub const SECRET_HINT: &str = "copy it again from the output of `approov secret -plain -get base64`";

section! {
    /// One key.
    struct KeySection {
        /// The `kid` that tokens name; each id once. Default: none, which any `kid` meets.
        id: Written<String> = text("name", printable),
        /// The algorithm of the key. The `alg` of a token never changes it. Default: `HS256`.
        algorithm: Written<Algorithm> = words(Algorithm::ALL.map(|algorithm| (algorithm.label(), algorithm))),
        /// What the tokens of this key prove: `attested` (default) accepts them, `failed_attestation`
        /// explains a refusal and never accepts. The latter is Approov's key for the tokens of apps that
        /// failed attestation.
        role: Role = default(
            words(Role::ALL.map(|role| (role.label(), role))),
            Role::Attested,
        ),
        /// For HS algorithms: the secret in base64 or base64url. Then protect this file.
        secret_base64: Written<Secret> = text("base64", secret),
        /// For HS algorithms: a file with the secret in base64 or base64url, which only the gateway may read.
        secret_base64_file: Written<PathBuf> = file(),
        /// For RS, PS and ES algorithms: the public key as a PEM text.
        public_key: Written<String> = text("PEM text", |pem| Ok(pem.to_owned())),
        /// For RS, PS and ES algorithms: a file with a PEM `PUBLIC KEY`.
        public_key_file: Written<PathBuf> = file(),
        /// A file with a JWK set, whose keys have their own ids and algorithms.
        jwks_file: Written<PathBuf> = file(),
        /// The URL of a JWK set, with `https`, or `http` on this machine. It is fetched at the start and
        /// every `refresh`. The last set stays in force while the server cannot be asked. Secrets (`oct`
        /// keys) in it are not used.
        jwks_uri: Written<ServerUrl> = text("URL", key_set_url),
        /// With `jwks_uri`: the time from a fetch to the next. Default: `10m`.
        refresh: Written<Duration> = duration(KeySetSettings::REFRESH_RANGE),
        /// With `jwks_uri`: a file for the last set, so that the gateway can start without the server. The
        /// gateway writes it. Default: none.
        cache_file: Written<PathBuf> = file(),
    }
}

/// A key whose secret or PEM text has been read.
pub struct LoadedKey {
    /// The `kid`; `None` if the key has none.
    pub id: Option<Box<str>>,
    /// The secret or public key.
    pub material: LoadedMaterial,
}

/// What a key verifies with.
pub enum LoadedMaterial {
    /// A secret, which also mints example tokens, with its key.
    Secret(Secret, Box<Key>),
    /// A public key, or any key of a set.
    Public(Box<Key>),
}

impl LoadedKey {
    /// The key of the account secret, without an id.
    fn of_account(secret: Secret) -> Self {
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

/// All keys of a list.
#[derive(Default)]
pub struct LoadedKeys {
    /// The keys that are known now.
    pub keys: Vec<LoadedKey>,
    /// The sets that are fetched.
    pub sets: Vec<Located<KeySetSettings>>,
}

impl LoadedKeys {
    /// One key.
    fn one(key: LoadedKey) -> Self {
        Self { keys: vec![key], sets: Vec::new() }
    }

    /// The account secret alone.
    pub fn of_account(secret: Secret) -> Self {
        Self::one(LoadedKey::of_account(secret))
    }
}

/// Reads the files of all keys. `config` is the configuration file, which may hold secrets.
pub fn load_keys(
    keys: Entries<CheckedKey>,
    config: Option<&Path>,
    report: &Report,
) -> Result<LoadedKeys, Reported> {
    let mut ids: Vec<String> = Vec::new();
    // Every key first, so that every problem is reported.
    let load = |key: Result<Located<CheckedKey>, Reported>| {
        let Located { value: CheckedKey { key, algorithm }, at } = key?;
        if let Some(Located { value: id, at }) = key.id.get() {
            if ids.contains(id) {
                let message = format!("the id {} is already that of another key", quoted(id));
                report.problem(at, message, "give each key its own kid");
            }
            ids.push(id.clone());
        }
        if let (true, Some(config)) = (key.secret_base64.is_written(), config) {
            warn_if_world_readable(config, &at, report);
        }
        key.load(algorithm, &at, report)
    };
    let loaded: Vec<_> = keys.into_iter().map(load).collect();
    let mut all = LoadedKeys::default();
    for loaded in loaded {
        let LoadedKeys { keys, sets } = loaded?;
        all.keys.extend(keys);
        all.sets.extend(sets);
    }
    Ok(all)
}

/// A key with exactly one material, which fits its algorithm.
pub struct CheckedKey {
    key: KeySection,
    algorithm: Algorithm,
}

/// The kind of a key.
pub struct KeyKind;

impl Kind for KeyKind {
    type Value = CheckedKey;

    fn read(&self, value: &Value<'_>) -> Result<CheckedKey, Reported> {
        let key = nested::<KeySection>().read(value)?;
        let algorithm = match &key.algorithm {
            Written::Absent => Algorithm::Hs256,
            Written::Good(algorithm) => algorithm.value,
            Written::Bad => return Err(Reported),
        };
        let sources = [
            ("secret_base64", key.secret_base64.is_written()),
            ("secret_base64_file", key.secret_base64_file.is_written()),
            ("public_key", key.public_key.is_written()),
            ("public_key_file", key.public_key_file.is_written()),
            ("jwks_file", key.jwks_file.is_written()),
            ("jwks_uri", key.jwks_uri.is_written()),
        ];
        let given: Vec<_> = sources.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if given != ["jwks_uri"] && (key.refresh.is_written() || key.cache_file.is_written()) {
            let message = "refresh and cache_file go with jwks_uri only";
            return Err(value.problem(message, "remove them, or write jwks_uri"));
        }
        if let [source @ ("jwks_file" | "jwks_uri")] = given[..] {
            return key.checked_set(source, value).map(|key| CheckedKey { key, algorithm });
        }
        let (name, is_symmetric) = (algorithm.label(), algorithm.key_type() == KeyType::Secret);
        let (fitting, file) = if is_symmetric {
            (["secret_base64", "secret_base64_file"], "secret_base64_file")
        } else {
            (["public_key", "public_key_file"], "public_key_file")
        };
        match given[..] {
            [source] if fitting.contains(&source) => Ok(CheckedKey { key, algorithm }),
            [source] => {
                let message = format!("{name} does not go with {source}");
                let hint = if is_symmetric {
                    "write algorithm: RS256 or ES256, or give it secret_base64_file"
                } else {
                    "give it public_key_file, or write algorithm: HS256"
                };
                Err(value.problem(message, hint))
            }
            [] => {
                let message = format!("a key for {name} needs {}", fitting.join(" or "));
                Err(value.problem(message, format!("give it {file}")))
            }
            _ => {
                let message = format!("the key is given more than once: {}", given.join(", "));
                Err(value.problem(message, "keep one of them"))
            }
        }
    }

    fn shape(&self) -> Shape {
        Shape::Section(KeySection::specs())
    }
}

impl KeySection {
    /// A key set, without what belongs to single keys.
    fn checked_set(self, source: &str, value: &Value<'_>) -> Result<Self, Reported> {
        let (has_id, has_algorithm) = (self.id.is_written(), self.algorithm.is_written());
        if has_id || has_algorithm || self.role != Role::Attested {
            let message = format!("id, algorithm and role do not go with {source}");
            return Err(value.problem(message, "remove them; the keys of a set have their own"));
        }
        Ok(self)
    }

    /// Reads the file of the material. `at` is the place of the whole entry.
    fn load(self, algorithm: Algorithm, at: &Location, report: &Report) -> Result<LoadedKeys, Reported> {
        if let Some(file) = self.jwks_file.checked()? {
            return Ok(LoadedKeys { keys: key_sets::load_file(&file, report)?, sets: Vec::new() });
        }
        if let Some(url) = self.jwks_uri.checked()? {
            let refresh = self.refresh.checked()?.map(|refresh| refresh.value);
            let cache_file = self.cache_file.checked()?.map(|file| file.value);
            let set = key_sets::remote(url, refresh, cache_file, report)?;
            return Ok(LoadedKeys { keys: Vec::new(), sets: vec![set] });
        }
        let role = self.role;
        let secret_key = |secret: Secret| {
            let key = Key::from_secret(algorithm, &secret).map_err(|error| {
                report.problem(at, error.to_string(), "use a longer secret, or algorithm: HS256")
            })?;
            Ok(LoadedMaterial::Secret(secret, Box::new(key.with_role(role))))
        };
        let public_key = |pem: &str, at: &Location| {
            let key = Key::from_pem(algorithm, pem).map_err(|error| {
                let hint = "give it a PEM text that begins with -----BEGIN PUBLIC KEY-----";
                report.problem(at, error.to_string(), hint)
            })?;
            Ok(LoadedMaterial::Public(Box::new(key.with_role(role))))
        };
        let material = if let Some(secret) = self.secret_base64.checked()? {
            secret_key(secret.value)
        } else if let Some(file) = self.secret_base64_file.checked()? {
            secret_key(read_secret_file(&file, report)?)
        } else if let Some(pem) = self.public_key.checked()? {
            public_key(&pem.value, &pem.at)
        } else if let Some(file) = self.public_key_file.checked()? {
            public_key(&read_small_file(&file, report)?, &file.at)
        } else {
            Err(Reported)
        };
        Ok(LoadedKeys::one(LoadedKey { id: self.id.value().map(Into::into), material: material? }))
    }
}

fn secret(text: &str) -> Result<Secret, Fault> {
    Secret::from_base64(text).map_err(|error| Fault::new(error.to_string(), SECRET_HINT))
}

/// The secret in a file that holds nothing else.
pub fn read_secret_file(file: &Located<PathBuf>, report: &Report) -> Result<Secret, Reported> {
    let text = read_small_file(file, report)?;
    let Located { value: path, at } = file;
    warn_if_world_readable(path, at, report);
    Secret::from_base64(&text)
        .map_err(|error| report.problem(at, format!("{}: {error}", path.display()), SECRET_HINT))
}
