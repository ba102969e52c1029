//! A request in a direct exchange.

use pingora_core::Result;

use super::client::ClientSide;
use super::download::Download;
use super::head::RequestView;
use super::upload::Upload;
use super::write;
use crate::http::Body;
use crate::proxy::admit::Refused;
use crate::proxy::answer::{Answer, DRAIN_TIME, LINGER_TIME, MAX_DRAINED, MAX_LINGERED};
use crate::proxy::arrival::Arrival;
use crate::proxy::failure;
use crate::proxy::life::RequestContext;
use crate::proxy::record::Transfer;
use crate::upstream::OriginStream;

/// The usual size of a request's head.
const HEAD_SIZE: usize = 1024;

/// A request that is served.
pub(super) struct DirectRequest<'a> {
    pub ctx: RequestContext,
    pub head: RequestView<'a>,
    pub body: Body,
    pub client: ClientSide<'a>,
    pub upload: Upload,
    pub download: Download,
    pub transfer: Transfer,
}

impl DirectRequest<'_> {
    /// Prepares an attempt on a connection.
    pub fn begin_attempt(&mut self, origin: &OriginStream) -> Result<()> {
        self.ctx.begins_to_send();
        origin.announce(self.head.is_head());
        self.download = Download::new(self.head.is_head());
        let mut bytes = Vec::with_capacity(HEAD_SIZE);
        write::request(&self.head, self.body, self.ctx.exchange()?, &mut bytes);
        self.upload.begin(bytes);
        Ok(())
    }

    /// Answers a request that is not forwarded.
    ///
    /// # Errors
    /// If the client cannot be written to.
    pub async fn refuse(&mut self, arrival: Arrival, refused: Refused) -> Result<()> {
        let (answer, ends_connection) = self.ctx.refuse(arrival, refused);
        self.client.is_last |= ends_connection;
        self.answer(answer).await
    }

    /// Sends an answer of the gateway's own.
    ///
    /// # Errors
    /// If the client cannot be written to.
    pub async fn answer(&mut self, answer: Answer) -> Result<()> {
        let DirectRequest { ctx, head, client, upload, transfer, .. } = self;
        let snapshot = ctx.life.snapshot().ok_or_else(failure::wrong_state)?;
        if answer == Answer::BadRequest {
            // After a malformed request, the start of the next request is a guess.
            client.is_last = true;
        } else if upload.body.left().is_some_and(|left| left <= MAX_DRAINED) {
            // A small body is on its way anyway.
            client.drain(&mut upload.body, MAX_DRAINED, DRAIN_TIME).await;
        }
        let is_unread = !upload.body.is_done();
        client.is_last |= is_unread;
        let notes = ctx.life.notes();
        let (bytes, body_bytes) = snapshot.answers.bytes(answer, head, &notes, client.closes())?;
        client.send(&bytes).await?;
        transfer.status = Some(snapshot.answers.status(answer).as_u16());
        transfer.response_bytes = body_bytes;
        if is_unread {
            client.linger(MAX_LINGERED, LINGER_TIME).await;
        }
        Ok(())
    }
}
