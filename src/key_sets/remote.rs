//! One key set: its state, and the task that keeps it fresh.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;

use super::cache;
use super::schedule::FetchSchedule;
use super::settings::KeySetSettings;
use crate::approov::{KeySet, KeySetSource, MAX_KEY_SET};
use crate::clock;
use crate::telemetry::{KeySetMetrics, Metrics};
use crate::upstream::Fetcher;

/// How long one fetch may take, from the name's resolution to the last byte.
const FETCH_WITHIN: Duration = Duration::from_secs(10);

/// How often the task looks for tokens with unknown keys.
const LOOK: Duration = Duration::from_secs(1);

/// How long the same failure is not repeated in the log.
const SILENCE: Duration = Duration::from_secs(600);

/// A key set that is fetched.
pub struct RemoteSet {
    settings: KeySetSettings,
    fetcher: Fetcher,
    metrics: KeySetMetrics,
    state: Mutex<SetState>,
}

#[derive(Clone)]
struct SetState {
    current: Option<CurrentSet>,
    schedule: FetchSchedule,
    /// The last warning, and its time.
    warned: Option<(String, tokio::time::Instant)>,
    /// Whether the cache file has the current set.
    is_saved: bool,
}

/// The set in force, and where it comes from.
#[derive(Clone)]
struct CurrentSet {
    text: Arc<[u8]>,
    set: Arc<KeySet>,
    etag: Option<HeaderValue>,
    /// The Unix time of the last successful fetch; 0 if there was none.
    fetched_at: u64,
}

/// The set in force of a process, for its successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedSet {
    /// SHA-256 of the whole URL. The successor takes the set for the same URL only.
    pub source: String,
    /// The URL of the set without its query.
    pub name: Box<str>,
    /// The Unix time of the last successful fetch; 0 if the keys are those of the cache file.
    pub fetched_at: u64,
    /// The JWK set, as it was fetched.
    pub text: String,
}

impl RemoteSet {
    pub(super) fn new(settings: KeySetSettings, metrics: &Metrics) -> Result<Self, rustls::Error> {
        let fetcher = Fetcher::new(settings.server.clone(), &settings.target)?;
        let metrics = metrics.key_set(&settings.name);
        let schedule = FetchSchedule::new(clock::timer());
        let state = SetState { current: None, schedule, warned: None, is_saved: true };
        Ok(Self { settings, fetcher, metrics, state: Mutex::new(state) })
    }

    /// The URL without its query.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether `handed` comes from the URL of this set.
    pub(super) fn is_source_of(&self, handed: &HandedSet) -> bool {
        self.settings.source() == handed.source
    }

    /// Goes on from the state of an earlier set of this name. Returns whether that has keys.
    pub(super) fn go_on_from(&self, before: &Self) -> bool {
        if !self.settings.is_same_source(&before.settings) {
            return false;
        }
        let mut state = before.state.lock().clone();
        let Some(current) = state.current.clone() else { return false };
        state.schedule.limit(clock::timer(), self.settings.refresh);
        state.is_saved &= self.settings.cache_file == before.settings.cache_file;
        *self.state.lock() = state;
        self.put_in_force(&current);
        true
    }

    /// Puts the set of the cache file in force. Returns whether there is one.
    pub(super) fn read_cache(&self) -> bool {
        let (name, Some(path)) = (self.name(), &self.settings.cache_file) else { return false };
        let text = match cache::read(path, &self.settings.source()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return false,
            Err(error) => {
                log::warn!("key set {name}: the cache file {} is not used: {error}", path.display());
                return false;
            }
        };
        match KeySet::parse(&text, KeySetSource::Url) {
            Ok(set) => {
                log::info!("key set {name}: {} keys of the cache file are in force", set.keys().len());
                let current = CurrentSet { text: text.into(), set: Arc::new(set), etag: None, fetched_at: 0 };
                self.put_in_force(&current);
                self.state.lock().current = Some(current);
                true
            }
            Err(error) => {
                log::warn!("key set {name}: the cache file {} is of no use: {error}", path.display());
                false
            }
        }
    }

    /// What a successor needs to go on.
    pub(super) fn hand_over(&self) -> Option<HandedSet> {
        let state = self.state.lock();
        let current = state.current.as_ref()?;
        // A key set is JSON, so its text is UTF-8.
        let text = String::from_utf8_lossy(&current.text).into_owned();
        let (source, name) = (self.settings.source(), self.name().into());
        Some(HandedSet { source, name, fetched_at: current.fetched_at, text })
    }

    /// Takes the set of a predecessor, unless this process has fetched one already.
    pub(super) fn take(&self, handed: HandedSet) {
        let HandedSet { text, fetched_at, .. } = handed;
        let mut state = self.state.lock();
        if state.current.as_ref().is_some_and(|current| current.fetched_at > 0) {
            return;
        }
        if let Ok(set) = KeySet::parse(text.as_bytes(), KeySetSource::Url) {
            let text = text.into_bytes().into();
            let current = CurrentSet { text, set: Arc::new(set), etag: None, fetched_at };
            self.put_in_force(&current);
            state.current = Some(current);
            state.is_saved = false;
        }
    }

    /// Fetches the set when it is due, for as long as the task runs.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        loop {
            self.save().await;
            self.wait_until_due().await;
            self.refresh().await;
        }
    }

    async fn wait_until_due(&self) {
        loop {
            let (now, due) = (clock::timer(), self.state.lock().schedule.due());
            if due <= now {
                return;
            }
            tokio::time::sleep(LOOK.min(due - now)).await;
            if self.settings.keys.take_missing_key() && self.state.lock().schedule.ask_early(clock::timer()) {
                log::info!("key set {}: a token names an unknown key; fetching the set", self.name());
            }
        }
    }

    /// Fetches the set once and puts it in force. After a failure the old set stays in force.
    pub(super) async fn refresh(&self) {
        let fetched = self.fetch().await;
        self.metrics.attempted(fetched.is_ok());
        let (now, share) = (clock::timer(), random_share());
        let mut state = self.state.lock();
        match fetched {
            Ok(current) => {
                state.schedule.succeeded(now, self.settings.refresh, share);
                let is_news = state.current.as_ref().is_none_or(|known| known.text != current.text);
                let was_failing = state.warned.take().is_some();
                if is_news || was_failing {
                    log::info!(
                        "key set {}: fetched, {} keys in force",
                        self.name(),
                        current.set.keys().len()
                    );
                }
                if is_news {
                    for skipped in current.set.skipped() {
                        let (position, reason) = (skipped.position, skipped.reason);
                        log::warn!("key set {}: key {position} {reason}; it is not used", self.name());
                    }
                    state.is_saved = false;
                }
                self.put_in_force(&current);
                state.current = Some(current);
            }
            Err(why) => {
                state.schedule.failed(now, self.settings.refresh, share);
                self.warn(&mut state, why, now);
            }
        }
    }

    /// The set at the server. One that has not changed is not parsed again.
    async fn fetch(&self) -> Result<CurrentSet, String> {
        let known = self.state.lock().current.clone();
        let etag = known.as_ref().and_then(|known| known.etag.as_ref());
        let document = tokio::time::timeout(FETCH_WITHIN, self.fetcher.fetch(etag, MAX_KEY_SET)).await;
        let document =
            document.map_err(|_| format!("the server does not send it within {FETCH_WITHIN:?}"))??;
        let fetched_at = clock::unix_time().as_secs();
        match (document.status, known) {
            (StatusCode::OK, known) => {
                let too_long = || format!("the server sends more than {} KiB", MAX_KEY_SET / 1024);
                let (text, etag) = (document.body.ok_or_else(too_long)?, document.etag);
                if let Some(known) = known.filter(|known| *known.text == *text) {
                    return Ok(CurrentSet { etag, fetched_at, ..known });
                }
                let set = KeySet::parse(&text, KeySetSource::Url).map_err(|error| error.to_string())?;
                Ok(CurrentSet { text: text.into(), set: Arc::new(set), etag, fetched_at })
            }
            (StatusCode::NOT_MODIFIED, Some(known)) if known.etag.is_some() => {
                Ok(CurrentSet { fetched_at, ..known })
            }
            (status, _) if status.is_redirection() => Err(format!(
                "the server answers {}, a redirect, which is not followed; write the final URL",
                status.as_u16()
            )),
            (status, _) => Err(format!("the server answers {}; check the URL", status.as_u16())),
        }
    }

    /// Fetches the set once, for a command.
    pub(super) async fn try_out(&self) -> Result<usize, String> {
        let current = self.fetch().await?;
        self.put_in_force(&current);
        Ok(current.set.keys().len())
    }

    fn put_in_force(&self, current: &CurrentSet) {
        self.settings.keys.store(current.set.clone());
        self.metrics.in_force(current.set.keys().len());
        self.metrics.fetched_at(current.fetched_at);
    }

    fn warn(&self, state: &mut SetState, why: String, now: tokio::time::Instant) {
        let is_news = state
            .warned
            .as_ref()
            .is_none_or(|(before, at)| *before != why || now.duration_since(*at) >= SILENCE);
        if !is_news {
            return;
        }
        match &state.current {
            Some(current) => {
                let keys = current.set.keys().len();
                log::warn!("key set {}: {why}; the last set stays in force ({keys} keys)", self.name());
            }
            None => log::warn!(
                "key set {}: {why}; there is no set yet, and requests that need it get 503",
                self.name()
            ),
        }
        state.warned = Some((why, now));
    }

    /// Writes a new set to the cache file.
    async fn save(&self) {
        let Some(path) = self.settings.cache_file.clone() else { return };
        let text = {
            let mut state = self.state.lock();
            let Some(current) = &state.current else { return };
            if state.is_saved {
                return;
            }
            let text = current.text.clone();
            state.is_saved = true;
            text
        };
        let (shown, source) = (path.display().to_string(), self.settings.source());
        let written = tokio::task::spawn_blocking(move || cache::replace(&path, source, &text)).await;
        if let Ok(Err(error)) = written {
            log::warn!("key set {}: the cache file {shown} cannot be written: {error}", self.name());
            self.state.lock().is_saved = false;
        }
    }
}

/// A random number from 0 to 1.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all gateways ask at one moment, which still works.
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}
