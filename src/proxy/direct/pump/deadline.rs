//! The time limits of an attempt: which side it waits for, and for how long.

use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::{Error, ErrorType, Result};

use super::Pump;
use crate::proxy::direct::side::{ClientSide, silent, unread};
use crate::proxy::life::Life;

/// What an attempt waits for under a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The origin takes bytes of the request.
    OriginTakes,
    /// The client sends a part of its body.
    ClientSends,
    /// The origin sends a part of its response.
    OriginSends,
    /// The client takes a part of the response.
    ClientTakes,
}

impl<C: ClientSide> Pump<'_, C> {
    /// Ready when the attempt ends because a side has been too slow.
    pub(super) fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some((wait, limit)) = self.wait()? else {
            self.state.waits_for = None;
            return Poll::Pending;
        };
        let has_moved = match wait {
            Wait::OriginTakes | Wait::ClientSends => self.state.has_sent,
            Wait::OriginSends | Wait::ClientTakes => self.state.has_received,
        };
        let left = match &self.request.ctx.life {
            // The origin's total time does not limit the client.
            Life::Exchange(exchange) if wait != Wait::ClientTakes => exchange.time_left()?,
            Life::Exchange(_) | Life::Begun(..) | Life::Refused(..) | Life::Done => None,
        };
        if has_moved || self.state.waits_for != Some(wait) {
            self.state.waits_for = Some(wait);
            self.request.client.set_deadline(left.map_or(limit, |left| left.min(limit)));
        }
        match self.request.client.poll_deadline(context) {
            Poll::Pending => Poll::Pending,
            // The origin answers and ignores the rest of the request. Its answer is passed on.
            Poll::Ready(()) if wait == Wait::OriginTakes && self.request.download.status.is_some() => {
                self.state.waits_for = None;
                self.state.broken_upload =
                    Some(Error::explain(ErrorType::WriteTimedout, "sending the request").into_up());
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(()) if wait == Wait::ClientSends && self.is_delivered() => Poll::Ready(Ok(())),
            Poll::Ready(()) => Poll::Ready(Err(match wait {
                Wait::OriginTakes => {
                    Error::explain(ErrorType::WriteTimedout, "sending the request").into_up()
                }
                Wait::ClientSends => silent(),
                Wait::OriginSends => {
                    Error::explain(ErrorType::ReadTimedout, "reading the response").into_up()
                }
                Wait::ClientTakes => unread(),
            })),
        }
    }

    /// What the attempt waits for, and for how long at most.
    fn wait(&mut self) -> Result<Option<(Wait, Duration)>> {
        let timeouts = self.request.ctx.exchange()?.upstream().origin().timeouts;
        if self.state.broken_upload.is_none() {
            if self.state.needs_flush || !self.request.upload.unsent().is_empty() {
                return Ok(Some((Wait::OriginTakes, timeouts.write)));
            }
            let download = &self.request.download;
            let may_pause = C::MAY_PAUSE_FOR_RESPONSE && download.status.is_some() && !download.is_complete();
            if !self.request.upload.body.is_done() && !may_pause {
                return Ok(Some((Wait::ClientSends, self.request.client.body_time())));
            }
        }
        if self.state.needs_delivery {
            return Ok(self.request.client.write_time().map(|time| (Wait::ClientTakes, time)));
        }
        if self.request.download.is_complete() {
            return Ok(None);
        }
        Ok(Some((Wait::OriginSends, timeouts.read)))
    }
}
