//! Serving requests of HTTP/2 clients by direct exchanges.

use http::Request;
use pingora_http::RequestHeader;

use super::super::download::Download;
use super::super::head::ForwardedHead;
use super::super::request::DirectRequest;
use super::super::serve::Direct;
use super::super::side::ClientSide;
use super::super::upload::Upload;
use super::head::{body, is_plain};
use super::side::Http2Side;
use crate::clock;
use crate::downstream::{Connection, Http2Request};
use crate::http::BodyPipe;
use crate::proxy::record::Transfer;

impl Direct {
    /// Serves a request if it is a plain one for an origin with HTTP/1. Returns every other request.
    pub(in crate::proxy) async fn serve_http2(&self, request: Http2Request) -> Option<Http2Request> {
        let Http2Request { mut session, limits } = request;
        let head = session.req_header();
        let connection = session.digest().and_then(Connection::of).filter(|_| is_plain(head));
        let Some((ctx, plan)) = connection.and_then(|connection| self.begin(head, clock::now(), connection))
        else {
            return Some(Http2Request { session, limits });
        };
        let body = body(session.req_header(), session.is_body_empty());
        let nothing = RequestHeader::from(Request::new(()).into_parts().0);
        let head = std::mem::replace(session.req_header_mut(), nothing);
        let mut request = DirectRequest {
            ctx,
            body,
            client: Http2Side::new(session, &limits),
            upload: Upload::new(BodyPipe::of_stream(body)),
            download: Download::new(head.is_head(), Http2Side::TAKES_BARE_DATA),
            transfer: Transfer::default(),
            head,
        };
        let result = self.run(&mut request, plan).await;
        // A stream whose response is not complete is reset when the client's side is dropped.
        request.record(&self.shared, result.as_ref().err().map(|error| &**error));
        None
    }
}
