//! Message signatures of requests: the configured rules, and the signatures that were accepted before.

use std::sync::Arc;

use http::HeaderName;
use parking_lot::Mutex;

use super::arrival::Arrival;
use super::head::RequestHead;
use crate::approov::message_signing::{
    Fields, Label, Message, MessageSigningSettings, Mode, ReplayMode, ReplayStore, Seen, SignatureJudgement,
    SignatureResult, WhenFull,
};
use crate::approov::{Rejection, SigningClaims, UnixTime};

/// The rules of a configuration, and the store of accepted signatures, which outlives it.
pub(super) struct Signing {
    settings: MessageSigningSettings,
    replays: Option<Arc<Mutex<ReplayStore>>>,
}

/// The result for one request, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignatureOutcome {
    pub result: SignatureResult,
    /// The label that had to verify; `None` if the token names no key.
    pub label: Option<Label>,
    /// Why the signature is not good, whether or not that refuses the request.
    pub rejection: Option<Rejection>,
}

impl Signing {
    /// The rules of `settings`. The store of `previous` goes on.
    /// `is_shared` tells that other nodes are told which signatures were accepted.
    pub fn new(settings: MessageSigningSettings, is_shared: bool, previous: Option<&Signing>) -> Self {
        let entries = settings.replay.entries;
        let replays = (settings.replay.mode != ReplayMode::Off).then(|| {
            match previous.and_then(|previous| previous.replays.clone()) {
                Some(store) => {
                    store.lock().resize(entries);
                    store
                }
                None => Arc::new(Mutex::new(ReplayStore::new(entries))),
            }
        });
        if let (true, Some(store)) = (is_shared, &replays) {
            store.lock().share();
        }
        Self { settings, replays }
    }

    /// The accepted signatures as bytes; empty if none are remembered.
    pub fn export_replays(&self) -> Vec<u8> {
        self.replays.as_ref().map_or(Vec::new(), |store| store.lock().export())
    }

    /// The signatures that were accepted since the last call, as [`Signing::export_replays`] has them; `None` if
    /// none are remembered.
    pub fn take_fresh_replays(&self) -> Option<Vec<u8>> {
        self.replays.as_ref().map(|store| store.lock().take_fresh())
    }

    /// Adds exported signatures that can still be good at `now`, in Unix seconds.
    pub fn import_replays(&self, exported: &[u8], now: u64) {
        if let Some(store) = &self.replays {
            store.lock().import(exported, now);
        }
    }

    /// The longest body with a digest.
    pub fn digest_buffer(&self) -> usize {
        self.settings.digest_buffer
    }

    /// Judges the signature of a request in a mode other than [`Mode::Off`]. The second value is the
    /// reason to refuse the request.
    pub fn judge(
        &self,
        arrival: &Arrival,
        head: &impl RequestHead,
        claims: &SigningClaims,
        mode: Mode,
        now: UnixTime,
    ) -> (SignatureJudgement, Option<Rejection>) {
        let authority = match &arrival.client.host {
            Some(host) => host.as_bytes(),
            None => head.host(),
        };
        let message = Message {
            method: head.method().as_bytes(),
            is_secure: arrival.client.is_secure,
            authority,
            target: head.target(),
            fields: &HeadFields(head),
            has_body: head.may_have_body(),
        };
        let mut judgement = self.settings.rules.verify(&message, claims, now);
        let is_replayed = self.is_replayed(&judgement, head.method(), now);
        if is_replayed {
            judgement.result = SignatureResult::Replayed;
        }
        let refusal = judgement.refusal(mode).or_else(|| {
            let is_ambiguous = judgement.mark.is_some_and(|mark| mark.is_ambiguous);
            let enforces = self.settings.replay.mode == ReplayMode::Enforce
                && matches!(mode, Mode::WhenKeyed | Mode::Required);
            (is_replayed && enforces && !is_ambiguous).then_some(Rejection::ReplayedSignature)
        });
        (judgement, refusal)
    }

    /// Whether a good signature was accepted before. It is remembered otherwise.
    fn is_replayed(&self, judgement: &SignatureJudgement, method: &str, now: UnixTime) -> bool {
        let (Some(store), Some(mark)) = (&self.replays, judgement.mark) else { return false };
        let replay = &self.settings.replay;
        if !replay.methods.iter().any(|one| **one == *method) {
            return false;
        }
        match store.lock().see(mark.id, mark.until, now.whole_seconds()) {
            Seen::First => false,
            Seen::Before => true,
            Seen::Full => replay.when_full == WhenFull::Refuse,
        }
    }
}

impl From<&SignatureJudgement> for SignatureOutcome {
    fn from(judgement: &SignatureJudgement) -> Self {
        let rejection = match judgement.result {
            SignatureResult::Replayed => Some(Rejection::ReplayedSignature),
            _ => judgement.rejection,
        };
        Self { result: judgement.result, label: judgement.label, rejection }
    }
}

/// The fields of a head, for signatures.
struct HeadFields<'h, H>(&'h H);

impl<H: RequestHead> Fields for HeadFields<'_, H> {
    fn each_value<'f>(&'f self, name: &str, each: &mut dyn FnMut(&'f [u8])) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            self.0.values(&name).for_each(each);
        }
    }
}
