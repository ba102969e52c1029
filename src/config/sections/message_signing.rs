//! `approov.message_signing`: signatures over whole requests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

use super::keys::read_secret_file;
use crate::approov::Secret;
use crate::approov::message_signing::{
    AccountKey, MessageSigningSettings, Mode, ReplayMode, ReplaySettings, Rules, WhenFull,
};
use crate::config::document::{
    Entries, Fault, Kind, Located, Report, Reported, Shape, Value, Written, always, default, list, nested,
    number, quoted, required, section, text, usable, words,
};
use crate::config::values::{
    DAY, KIB, MINUTE, SECOND, duration, file, method, printable, read_file, size, warn_if_world_readable,
};

/// The longest file of a raw key.
const MAX_RAW_KEY: u64 = 4 * KIB;

section! {
    /// Message signatures: apps sign their requests, so that a stolen token is useless alone.
    pub struct MessageSigningSection {
        /// The mode of routes without their own. `off` ignores signatures. `observe` verifies and counts
        /// them. `when_keyed` refuses a request whose token names a signing key, unless that key signed it.
        /// `required` refuses every request that is not signed.
        pub mode: Mode = default(words(Mode::ALL.map(|mode| (mode.label(), mode))), Mode::Off),
        /// The account's message-signing keys. Tokens without an installation key name one of them in
        /// their claim `mskid`. Default: none.
        account_keys: Written<Entries<AccountKeySection>> = list(nested::<AccountKeySection>()),
        /// The origins that apps call, such as `https://api.example.com`. A signature for another
        /// origin is refused. Default: the one that the request names, whatever it is.
        public_origins: Written<Entries<Box<str>>> = list(text("origin", public_origin))
            .not_empty("write one, or remove the key to accept any"),
        /// How long a signature is good after its creation.
        max_age: Duration = default(duration(SECOND..=DAY), MINUTE),
        /// How far the clocks of devices may be off.
        skew: Duration = default(duration(Duration::ZERO..=10 * MINUTE), MINUTE),
        /// Whether a body needs a signed `Content-Digest`: `if_present` verifies one that is there,
        /// `required` refuses a body without one.
        body_digest: BodyDigest = default(
            words([("if_present", BodyDigest::IfPresent), ("required", BodyDigest::Required)]),
            BodyDigest::IfPresent,
        ),
        /// The longest body with a digest. It is held back until the digest is verified; a longer one
        /// is refused with 413.
        digest_buffer: u64 = default(size(KIB..=64 * KIB), 64 * KIB),
        /// Signatures that were accepted before.
        replay: ReplaySettings = always::<ReplaySettings>(),
    }
}

section! {
    /// One message-signing key of the account.
    struct AccountKeySection {
        /// The id that tokens name in `mskid`.
        id: Located<String> = required(text("name", printable), "write the key's id"),
        /// A file with the key in base64 or base64url.
        secret_base64_file: Written<PathBuf> = file(),
        /// A file whose bytes are the key itself. A line break at its end counts.
        secret_file: Written<PathBuf> = file(),
    }
}

section! {
    settings ReplaySettings(keys) {
        /// `off` remembers nothing, `observe` counts replays, `enforce` refuses them. Two equal
        /// requests with an account key and no nonce have equal signatures and are only counted.
        mode = words(ReplayMode::ALL.map(|mode| (mode.label(), mode))),
        /// The methods whose signatures are remembered.
        methods = Methods,
        /// How many signatures are remembered.
        entries = number(1024..=16_777_216),
        /// What happens when that many are remembered: `accept` lets new signatures pass unremembered,
        /// `refuse` refuses them.
        when_full = words(WhenFull::ALL.map(|when| (when.label(), when))),
    }
}

/// The kind of a list of methods.
struct Methods;

impl Kind for Methods {
    type Value = Vec<Box<str>>;

    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported> {
        let entries = list(text("method", method)).not_empty("write a method").read(value)?;
        Ok(usable(entries).collect())
    }

    fn shape(&self) -> Shape {
        list(text("method", method)).not_empty("").shape()
    }

    fn show(&self, methods: &Self::Value) -> Option<String> {
        Some(format!("[{}]", methods.join(", ")))
    }
}

/// Whether a body needs a digest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyDigest {
    IfPresent,
    Required,
}

impl MessageSigningSection {
    /// Reads the key files and resolves the settings.
    pub fn resolve(
        self,
        token_header: &HeaderName,
        report: &Report,
    ) -> Result<MessageSigningSettings, Reported> {
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let mut ids: Vec<String> = Vec::new();
        let mut account_keys = Vec::new();
        let mut is_fine = true;
        for entry in self.account_keys.value().unwrap_or_default() {
            match entry.and_then(|entry| entry.value.load(&mut ids, report)) {
                Ok(key) => account_keys.push(key),
                Err(Reported) => is_fine = false,
            }
        }
        let rules = Rules {
            token_header: token_header.as_str().into(),
            account_keys,
            public_origins: self.public_origins.value().map_or(Vec::new(), |names| usable(names).collect()),
            max_age: seconds(self.max_age),
            skew: seconds(self.skew),
            requires_digest: self.body_digest == BodyDigest::Required,
        };
        let digest_buffer = usize::try_from(self.digest_buffer).unwrap_or(usize::MAX);
        let settings = MessageSigningSettings { rules, digest_buffer, replay: self.replay };
        if is_fine { Ok(settings) } else { Err(Reported) }
    }
}

impl AccountKeySection {
    fn load(self, ids: &mut Vec<String>, report: &Report) -> Result<AccountKey, Reported> {
        let Located { value: id, at } = self.id;
        if ids.contains(&id) {
            let message = format!("the id {} is already that of another key", quoted(&id));
            return Err(report.problem(&at, message, "give each key its own id"));
        }
        ids.push(id.clone());
        let secret = match (self.secret_base64_file.checked()?, self.secret_file.checked()?) {
            (Some(file), None) => read_secret_file(&file, report)?,
            (None, Some(file)) => raw_secret(&file, report)?,
            (None, None) => {
                let message = "a message-signing key needs secret_base64_file or secret_file";
                return Err(report.problem(&at, message, "write one of them"));
            }
            (Some(_), Some(file)) => {
                return Err(report.problem(&file.at, "the key is given twice", "keep one of the files"));
            }
        };
        Ok(AccountKey::new(id, &secret))
    }
}

fn raw_secret(file: &Located<PathBuf>, report: &Report) -> Result<Secret, Reported> {
    let bytes = read_file(file, MAX_RAW_KEY, report)?;
    let path: &Path = &file.value;
    warn_if_world_readable(path, &file.at, report);
    if bytes.last() == Some(&b'\n') {
        let message = format!("{} ends in a line break, which is part of the key", path.display());
        report.warning(&file.at, message, "write the key without one, as printf does, if it has none");
    }
    Secret::from_bytes(&bytes).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        report.problem(&file.at, message, "check that it is the right file")
    })
}

/// A scheme and an authority in the form in which signatures cover them.
fn public_origin(text: &str) -> Result<Box<str>, Fault> {
    let lower = text.to_ascii_lowercase();
    let authority = lower.strip_prefix("https://").map(|rest| (rest, ":443"));
    let authority = authority.or_else(|| lower.strip_prefix("http://").map(|rest| (rest, ":80")));
    let Some((authority, default_port)) = authority else {
        let message = format!("{} is not an origin", quoted(text));
        return Err(Fault::new(message, "write one such as https://api.example.com"));
    };
    if authority.is_empty() || !crate::http::is_host(authority.as_bytes()) {
        let message = format!("{} is not an origin: it has a path, a user or no host", quoted(text));
        return Err(Fault::new(message, "write scheme and host only, such as https://api.example.com"));
    }
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    let scheme = &lower[..lower.len() - lower.split_once("://").map_or(0, |(_, rest)| rest.len())];
    Ok(format!("{scheme}{authority}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_origins_have_the_form_of_signatures() {
        for (text, expected) in [
            ("https://API.example.com", "https://api.example.com"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://api.example.com:80", "http://api.example.com"),
            ("http://api.example.com:8080", "http://api.example.com:8080"),
        ] {
            assert_eq!(public_origin(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["api.example.com", "https://", "https://a/", "https://u@a", "ftp://a", "https://a?b"] {
            assert!(public_origin(text).is_err(), "{text}");
        }
    }
}
