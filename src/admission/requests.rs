//! Admission of a request: before its token is verified, and before it is forwarded.

use super::{ClientKey, Limits, Refusal};
use crate::limits::{By, Cause, Full, LimitDecision, Moment, Permit, RequestKeys, Ruling, Work};

/// A verified token, as limits count it.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    /// The part of the token that its signature covers.
    pub token: &'a [u8],
    /// The device that the token names.
    pub device: Option<&'a str>,
}

/// What the limits say about a request that they admit.
#[derive(Default)]
pub struct WithinLimits<'l> {
    /// A limit that only observes would have refused the request.
    pub observed: Option<Refusal>,
    /// The rate limit that has least left, if clients are told about rates.
    pub tightest: Option<LimitDecision<'l>>,
}

impl<'l> WithinLimits<'l> {
    /// The rate limit that has least left, of the limits before and after verification.
    pub fn tightest(
        before: Option<LimitDecision<'l>>,
        after: Option<LimitDecision<'l>>,
    ) -> Option<LimitDecision<'l>> {
        match (before, after) {
            (Some(before), Some(after)) if after.decision.is_tighter(&before.decision) => Some(after),
            (before, after) => before.or(after),
        }
    }
}

impl Limits {
    /// Admits a request whose head has arrived, before it is verified.
    ///
    /// # Errors
    /// The limit that refuses the request.
    pub fn admit_head(
        &self,
        client: ClientKey,
        route: Option<usize>,
        now: Moment,
    ) -> Result<WithinLimits<'_>, Refusal> {
        let ClientKey { address, key } = client;
        if key.is_some() {
            if self.deny.contains(address) {
                return Err(Refusal::by(Cause::DeniedAddress));
            }
            if let Some(until) = self.banned_until(address, now) {
                let seconds = now.until(until).as_secs() + 1;
                return Err(Refusal { retry_after: Some(seconds), ..Refusal::by(Cause::BannedAddress) });
            }
        }
        if self.requests.is_full() {
            return Err(Refusal::overload(Full::Total));
        }
        let keys = RequestKeys { address: key, route, ..RequestKeys::default() };
        self.within_limits(self.rates.before_verification(&keys, now))
    }

    /// Admits a request that is about to be forwarded. `verified` is `None` if the request was not
    /// verified or failed verification.
    ///
    /// # Errors
    /// The limit that refuses the request.
    pub fn admit_request(
        &self,
        client: ClientKey,
        verified: Option<Verified<'_>>,
        route: usize,
        origin: usize,
        now: Moment,
    ) -> Result<(Permit, WithinLimits<'_>), Refusal> {
        let token = verified.map(|verified| verified.token);
        // A token without a device id stands for its device.
        let device = verified.and_then(|verified| verified.device).map(str::as_bytes).or(token);
        let key = |by, bytes: Option<&[u8]>| {
            let bytes = bytes.filter(|_| self.rates.asks(Some(route), by))?;
            Some(self.hasher.bytes(bytes))
        };
        let keys = RequestKeys {
            device: key(By::Device, device),
            token: key(By::Token, token),
            route: Some(route),
            origin: Some(origin),
            ..RequestKeys::default()
        };
        let admitted = self.within_limits(self.rates.after_verification(&keys, now))?;
        let work = if verified.is_some() { Work::Verified } else { Work::Unverified };
        let permit = self.requests.enter(work, client.key, None).map_err(Refusal::overload)?;
        Ok((permit, admitted))
    }

    fn within_limits<'l>(&self, ruling: Ruling<'l>) -> Result<WithinLimits<'l>, Refusal> {
        match ruling.refused {
            Some(answer) => Err(Refusal::rate(answer, false)),
            None => Ok(WithinLimits {
                observed: ruling.observed.map(|answer| Refusal::rate(answer, true)),
                tightest: ruling.tightest.filter(|_| self.tells_rates),
            }),
        }
    }
}
