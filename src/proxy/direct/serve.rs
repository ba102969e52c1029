//! Serving requests by direct exchanges.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use pingora_core::Result;
use pingora_core::server::ShutdownWatch;

use super::download::Download;
use super::head::{ForwardedHead, RequestView};
use super::http1::Http1Side;
use super::pump::Pump;
use super::request::DirectRequest;
use super::side::{self, ClientSide, while_wanted};
use super::upload::Upload;
use crate::downstream::{ClientStream, Connection, Http1Request};
use crate::http::{BodyPipe, HeadIndex};
use crate::proxy::admit::{admit, find_route, leads_to_http1};
use crate::proxy::answer::Answer;
use crate::proxy::arrival::Arrival;
use crate::proxy::body::{BodyDemand, BodyFault, HeldBody, Hold};
use crate::proxy::exchange::Exchange;
use crate::proxy::failure;
use crate::proxy::head::RequestHead;
use crate::proxy::life::{Life, RequestContext};
use crate::proxy::record::Transfer;
use crate::proxy::shared::Shared;
use crate::upstream::{OriginConnection, Pool};

/// The direct exchanges of one worker.
pub struct Direct {
    pub(super) shared: Arc<Shared>,
    pub(super) in_flight: Arc<AtomicUsize>,
    /// Connections to origins that are kept.
    pool: Arc<Pool>,
}

/// What is done with a request after admission.
pub(super) enum Plan {
    /// It is forwarded.
    Forward,
    /// It is forwarded if its body is as demanded.
    Verify(Box<BodyDemand>),
    /// It is answered. The client may have to send no more requests on this connection.
    Answer { answer: Answer, ends_connection: bool },
}

/// What is done with a request.
pub(in crate::proxy) enum Served<'a> {
    /// It is served. The stream is there if the connection is kept.
    Done(Option<Box<ClientStream>>),
    /// It is left to Pingora's proxy.
    Left(Http1Request<'a>),
}

impl Direct {
    /// Direct exchanges that keep their connections to origins in `pool`. Unfinished requests are counted in
    /// `in_flight`.
    pub fn new(shared: Arc<Shared>, in_flight: Arc<AtomicUsize>, pool: Arc<Pool>) -> Self {
        Self { shared, in_flight, pool }
    }

    /// Serves a request if it is a plain one for an origin with HTTP/1.
    pub(in crate::proxy) async fn serve<'a>(
        &self,
        request: Http1Request<'a>,
        stop: &ShutdownWatch,
    ) -> Served<'a> {
        let Http1Request { head: bytes, body, arrived, stream, is_last, deadline, limits } = request;
        let index = HeadIndex::of(&bytes);
        let plain = RequestView::plain(index.view(&bytes));
        let begin = |head| Some((head, self.begin(&head, arrived, stream.connection())?));
        let Some((head, (ctx, plan))) = plain.and_then(begin) else {
            return Served::Left(Http1Request {
                head: bytes,
                body,
                arrived,
                stream,
                is_last,
                deadline,
                limits,
            });
        };
        let is_last = is_last || head.closes();
        let mut request = DirectRequest {
            ctx,
            head,
            body,
            client: Http1Side { stream, deadline, body_time: limits.time.body, is_last, stop },
            upload: Upload::new(BodyPipe::of_request(body)),
            download: Download::new(head.is_head(), Http1Side::TAKES_BARE_DATA),
            transfer: Transfer::default(),
        };
        let result = self.run(&mut request, plan).await;
        let error = result.as_ref().err();
        let may_keep = error.is_none() && request.upload.body.is_done();
        let client = request.record(&self.shared, error.map(|error| &**error));
        let is_kept = may_keep && !client.is_last;
        Served::Done(client.finish(is_kept).await)
    }

    /// Decides on a request that has arrived. `None` if its origin does not speak HTTP/1.
    ///
    /// The task of a connection has room for every value that an `async` function ever holds. This function is
    /// not `async`, so what it holds takes no room.
    pub(super) fn begin(
        &self,
        head: &impl RequestHead,
        arrived: Instant,
        connection: &Arc<Connection>,
    ) -> Option<(RequestContext, Plan)> {
        let mut ctx = RequestContext::new(self.shared.snapshot.load_full(), arrived, self.in_flight.clone());
        let (snapshot, started) = ctx.begin()?;
        let arrival = Arrival::new(snapshot, started, connection.clone(), head);
        let found = find_route(&arrival, head);
        if !leads_to_http1(&arrival.snapshot, found) {
            return None;
        }
        let plan = match admit(&arrival, head, found, &self.shared.metrics) {
            Ok(admitted) => {
                let demand = admitted.body;
                ctx.life = Life::Exchange(Exchange::new(arrival, admitted));
                if demand == BodyDemand::Free { Plan::Forward } else { Plan::Verify(Box::new(demand)) }
            }
            Err(refused) => {
                let (answer, ends_connection) = ctx.refuse(arrival, refused);
                Plan::Answer { answer, ends_connection }
            }
        };
        Some((ctx, plan))
    }

    /// Serves a request as planned.
    pub(super) async fn run<C: ClientSide>(&self, request: &mut DirectRequest<C>, plan: Plan) -> Result<()> {
        match plan {
            Plan::Forward => self.exchange(request).await,
            Plan::Verify(demand) => Box::pin(self.verify(request, *demand)).await,
            Plan::Answer { answer, ends_connection } => {
                if ends_connection {
                    request.client.end();
                }
                request.answer(answer).await
            }
        }
    }

    /// Serves an admitted request after its body is verified.
    async fn verify<C: ClientSide>(&self, request: &mut DirectRequest<C>, demand: BodyDemand) -> Result<()> {
        let verified = match self.verify_body(request, demand).await {
            Ok(Ok(held)) => request.ctx.keep_held_body(held).and_then(|()| {
                let length = usize::try_from(request.upload.body.bytes()).unwrap_or(usize::MAX);
                request.ctx.take_body(&self.shared.metrics, length)
            }),
            Ok(Err(fault)) => {
                let (arrival, refused) = request.ctx.refuse_body(fault, &self.shared.metrics)?;
                let (answer, _) = request.ctx.refuse(arrival, refused);
                return request.answer(answer).await;
            }
            Err(error) => Err(error),
        };
        if let Err(error) = verified {
            request.fail(&error).await;
            return Err(error);
        }
        self.exchange(request).await
    }

    /// Holds the body of a request back until it is verified.
    async fn verify_body<C: ClientSide>(
        &self,
        request: &mut DirectRequest<C>,
        demand: BodyDemand,
    ) -> Result<Result<Option<HeldBody>, BodyFault>> {
        let limit = request.ctx.exchange()?.arrival.snapshot.signing.digest_buffer();
        let length = request.upload.body.left();
        let mut hold = match Hold::begin(demand, length, limit, &self.shared.held_bodies) {
            Ok(Some(hold)) => hold,
            Ok(None) => return Ok(Ok(None)),
            Err(fault) => return Ok(Err(fault)),
        };
        if let Err(fault) = side::hold(&mut request.client, &mut request.upload, &mut hold).await? {
            return Ok(Err(fault));
        }
        Ok(hold.end())
    }

    /// Forwards a request, or answers it if that fails.
    async fn exchange<C: ClientSide>(&self, request: &mut DirectRequest<C>) -> Result<()> {
        let result = self.attempts(request).await;
        let download = &request.download;
        request.transfer.status = download.status.map(|status| status.as_u16());
        request.transfer.response_bytes = usize::try_from(download.body_bytes()).unwrap_or(usize::MAX);
        if let Err(error) = &result {
            request.fail(error).await;
        } else if !request.upload.body.is_done() {
            // The origin has answered and does not take the rest of the request.
            request.client.linger().await;
        }
        result
    }

    /// Asks the origin until an attempt succeeds or no other may follow.
    async fn attempts<C: ClientSide>(&self, request: &mut DirectRequest<C>) -> Result<()> {
        loop {
            let is_body_done = request.upload.body.is_done();
            let chosen = request.ctx.choose_address(&self.shared.metrics);
            let exchange = while_wanted(&mut request.client, is_body_done, chosen).await?;
            let connected = while_wanted(&mut request.client, is_body_done, self.connect(exchange));
            let (mut origin, was_kept) = match connected.await {
                Ok(connected) => connected,
                Err(error) if request.ctx.connect_failed(&error) => continue,
                Err(error) => return Err(error),
            };
            request.begin_attempt(&mut origin)?;
            let mut pump = Pump::new(request, &mut origin, &self.shared.metrics);
            let result = pump.run().await;
            let (progress, may_keep) = (pump.progress(), pump.may_keep_origin());
            match result {
                Ok(()) if may_keep => return self.keep(request.ctx.exchange()?, origin),
                Ok(()) => return Ok(()),
                Err(error) if failure::is_resend(&error) => {}
                Err(error) if request.ctx.broke(&error, was_kept, progress) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A connection to the chosen address, and whether it is a kept one.
    async fn connect(&self, exchange: &Exchange) -> Result<(Box<OriginConnection>, bool)> {
        if let Some(kept) = self.pool.take(exchange.endpoint()?.number()) {
            return Ok((kept, true));
        }
        // The future is large and rarely needed.
        let connection = Box::pin(exchange.connect()).await?;
        Ok((Box::new(connection), false))
    }

    /// Keeps the connection for another request.
    fn keep(&self, exchange: &Exchange, connection: Box<OriginConnection>) -> Result<()> {
        let time = exchange.upstream().origin().timeouts.idle;
        self.pool.put(exchange.endpoint()?.number(), connection, time);
        Ok(())
    }
}
