//! A request in a direct exchange.

use pingora_core::{Error, Result};

use super::download::Download;
use super::head::ForwardedHead;
use super::side::ClientSide;
use super::upload::Upload;
use super::write;
use crate::http::Body;
use crate::proxy::answer::Answer;
use crate::proxy::arrival::Arrival;
use crate::proxy::failure;
use crate::proxy::forward::OwnFields;
use crate::proxy::life::RequestContext;
use crate::proxy::record::{HeadFacts, Transfer};
use crate::proxy::shared::Shared;
use crate::upstream::OriginConnection;

/// The usual size of a request's head.
const HEAD_SIZE: usize = 1024;

/// A request that is served.
pub(super) struct DirectRequest<C: ClientSide> {
    pub ctx: RequestContext,
    pub head: C::Head,
    pub body: Body,
    pub client: C,
    pub upload: Upload,
    pub download: Download,
    pub transfer: Transfer,
}

impl<C: ClientSide> DirectRequest<C> {
    /// Prepares an attempt on a connection.
    pub fn begin_attempt(&mut self, origin: &mut OriginConnection) -> Result<()> {
        self.ctx.begins_to_send();
        origin.begin();
        self.download = Download::new(self.head.is_head(), C::TAKES_BARE_DATA);
        let exchange = self.ctx.exchange()?;
        let Arrival { client, correlation, snapshot, .. } = &exchange.arrival;
        let settings = exchange.upstream().origin();
        let own = OwnFields::new(&self.head, client, correlation, &exchange.facts, settings);
        let mut bytes = Vec::with_capacity(HEAD_SIZE);
        write::request(&self.head, self.body, &own, &snapshot.forwarding, &mut bytes);
        self.upload.begin(bytes);
        Ok(())
    }

    /// Answers a request that has failed, if the client can still get an answer.
    pub async fn fail(&mut self, error: &Error) {
        self.client.end();
        if let Some(answer) = self.ctx.fail(error)
            && self.download.status.is_none()
            && self.client.gets(answer)
        {
            // The client may be gone. The failure of the exchange is recorded all the same.
            let _ = self.answer(answer).await;
        }
    }

    /// Sends an answer of the gateway's own.
    ///
    /// # Errors
    /// If the client cannot be written to.
    pub async fn answer(&mut self, answer: Answer) -> Result<()> {
        let DirectRequest { ctx, head, client, upload, transfer, .. } = self;
        let answers = &ctx.life.snapshot().ok_or_else(failure::wrong_state)?.answers;
        let body_bytes = client.answer(answers, answer, head, &ctx.life.notes(), &mut upload.body).await?;
        transfer.status = Some(answers.status(answer).as_u16());
        transfer.response_bytes = body_bytes;
        if !upload.body.is_done() {
            client.linger().await;
        }
        Ok(())
    }

    /// Records the request and returns the client's side. `error` is the failure that ended the request.
    pub fn record(self, shared: &Shared, error: Option<&Error>) -> C {
        let DirectRequest { mut ctx, head, client, upload, mut transfer, .. } = self;
        transfer.request_bytes = usize::try_from(upload.body.bytes()).unwrap_or(usize::MAX);
        ctx.record(shared, HeadFacts::of(&head), transfer, error);
        client
    }
}
