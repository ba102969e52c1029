//! The announcement of the next request on a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http::{Method, StatusCode};
use pingora_core::protocols::Digest;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::ResponseHeader;

use super::read_ahead::{AnswerProgress, CommonShare, ReadAhead};

const NOTHING: u8 = 0;
const HEAD: u8 = 1;
const OTHER: u8 = 2;

/// Tells an `OriginStream` that a request begins. Pingora hands a stream only bytes. It
/// does not say which bytes begin a request, nor whether the answer can have a body.
#[derive(Debug)]
pub struct NextRequest {
    announced: AtomicU8,
    pub(super) read_ahead: Arc<ReadAhead>,
}

impl NextRequest {
    /// No request is announced yet. Answers that are read ahead take from this common share.
    pub(super) fn new(common: CommonShare) -> Self {
        Self { announced: AtomicU8::new(NOTHING), read_ahead: Arc::new(ReadAhead::new(common)) }
    }

    /// Announces a request on the connection of this digest. Connections that are not an `OriginStream`
    /// need no announcement. Returns what the connection has to learn of the answer later.
    pub fn announce(digest: &Digest, method: &Method) -> Option<AnswerProgress> {
        let user_data = digest.proxy_digest.as_ref().and_then(|digest| digest.user_data.as_ref());
        let next = user_data.and_then(|data| data.downcast_ref::<Arc<Self>>())?;
        next.set(method == Method::HEAD);
        Some(AnswerProgress(next.read_ahead.clone()))
    }

    /// Announces a request; `is_head` if its method is `HEAD`.
    pub(super) fn set(&self, is_head: bool) {
        self.announced.store(if is_head { HEAD } else { OTHER }, Ordering::Relaxed);
    }

    /// Whether a request was announced, and if so, whether it is a `HEAD`.
    pub(super) fn take(&self) -> Option<bool> {
        match self.announced.swap(NOTHING, Ordering::Relaxed) {
            NOTHING => None,
            announced => Some(announced == HEAD),
        }
    }

    /// The digest by which [`NextRequest::announce`] finds it.
    pub(super) fn digest(self: &Arc<Self>) -> pingora_core::Result<Arc<ProxyDigest>> {
        let response = ResponseHeader::build(StatusCode::OK, Some(0))?;
        Ok(Arc::new(ProxyDigest::new(Box::new(response), Some(Box::new(self.clone())))))
    }
}
