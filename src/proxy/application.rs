//! The gateway as the application of the downstream side: one worker's proxy.

use std::net::IpAddr;
use std::sync::Arc;

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::direct::{Direct, Served};
use super::gateway::Gateway;
use super::life::{Cancelled, WatchExtension};
use super::shared::Shared;
use crate::admission::ProtocolLimits;
use crate::downstream::{
    Application, BodyEnd, BodyWatch, ClientStream, Connection, Http1Request, Http2Request, Listener,
    UnparsedRequest,
};
use crate::limits::{Cause, Outcome, Permit};
use crate::tls::Handshake;
use crate::upstream::OriginConnector;

/// The requests of one worker, served by Pingora's proxy over the worker's own pool of connections to
/// origins.
pub struct WorkerProxy {
    /// Pingora's proxy, which calls the hooks of [`Gateway`].
    pub proxy: Arc<HttpProxy<Gateway, OriginConnector>>,
    /// Serves plain exchanges with origins that speak HTTP/1; `None` if Pingora's proxy serves them, too.
    pub direct: Option<Direct>,
    /// What all workers share.
    pub shared: Arc<Shared>,
}

impl Application for WorkerProxy {
    fn limits(&self) -> ProtocolLimits {
        self.shared.snapshot.load().limits.protocol
    }

    fn admit_connection(&self, connection: &Connection, listener: usize) -> Option<Permit> {
        let limits = &self.shared.snapshot.load().limits;
        let admitted = limits.admit_connection(connection.known_client(), listener);
        admitted.map_err(|cause| self.refused(cause)).ok()
    }

    fn admit_client(&self, permit: &mut Permit, client: IpAddr) -> bool {
        let admitted = self.shared.snapshot.load().limits.admit_client(permit, client);
        admitted.map_err(|cause| self.refused(cause)).is_ok()
    }

    fn proxy_header_timed_out(&self) {
        self.refused(Cause::HandshakeTime);
    }

    fn handshake_ended(&self, listener: &Listener, result: Handshake) {
        self.shared.metrics.handshake(&listener.label, result);
        if result == Handshake::TimedOut {
            self.refused(Cause::HandshakeTime);
        }
    }

    fn certificate_refused(&self, listener: &Listener, certificate: &str) {
        self.shared.metrics.certificate_refused(&listener.label, certificate);
    }

    fn refuse_unparsed(&self, request: &UnparsedRequest<'_>) -> Option<Vec<u8>> {
        self.shared.refuse_unparsed(request).ok()
    }

    async fn serve_http1(
        &self,
        request: Http1Request<'_>,
        stop: &ShutdownWatch,
    ) -> Option<Box<ClientStream>> {
        let request = match &self.direct {
            Some(direct) => match direct.serve(request, stop).await {
                Served::Done(stream) => return stream,
                Served::Left(request) => request,
            },
            None => request,
        };
        let Http1Request { head, stream, is_last, .. } = request;
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(head);
        if is_last {
            session.set_keepalive_reuses_remaining(Some(0));
        }
        let (stream, _) = self.proxy.process_new_http(session, stop).await?.consume();
        stream.into_any().downcast().ok()
    }

    async fn serve_http2(&self, request: Http2Request, stop: &ShutdownWatch) {
        let request = match &self.direct {
            Some(direct) => match direct.serve_http2(request).await {
                Some(request) => request,
                None => return,
            },
            None => request,
        };
        let Http2Request { mut session, limits } = request;
        if session.is_body_empty() {
            self.proxy.process_new_http(ServerSession::new_http2(session), stop).await;
            return;
        }
        let watch = Arc::new(BodyWatch::begin());
        let cancelled = Arc::new(Cancelled::default());
        let extension = WatchExtension { watch: watch.clone(), cancelled: cancelled.clone() };
        session.req_header_mut().extensions_mut().insert(extension);
        let task = async {
            self.proxy.process_new_http(ServerSession::new_http2(session), stop).await;
        };
        if watch.guard(&limits, task).await == BodyEnd::TooSlow {
            self.shared.record_cancelled(&cancelled);
        }
    }
}

impl WorkerProxy {
    /// Counts a connection that a limit refuses.
    fn refused(&self, cause: Cause) {
        self.shared.metrics.limited(cause, Outcome::Refused);
    }
}
