//! A client with HTTP/2, which sends several requests at a time over one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;

/// Requests at a time.
const STREAMS: u64 = 8;

/// Sends `count` requests and reads the answers, which must have the status 200.
pub fn ask(address: SocketAddr, fields: &[(&str, &str)], count: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await.expect("the gateway accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        let (mut sender, connection) =
            h2::client::handshake(stream).await.expect("the gateway speaks HTTP/2");
        tokio::spawn(connection);
        for _ in 0..count / STREAMS {
            let mut asked = Vec::new();
            for _ in 0..STREAMS {
                asked.push(send(&mut sender, fields).await);
            }
            for response in asked {
                let (head, mut body) = response.await.expect("an answer").into_parts();
                assert_eq!(head.status, 200);
                while let Some(part) = body.data().await {
                    let length = part.expect("a body").len();
                    body.flow_control().release_capacity(length).expect("an open stream");
                }
            }
        }
    });
}

async fn send(sender: &mut SendRequest<Bytes>, fields: &[(&str, &str)]) -> h2::client::ResponseFuture {
    let mut request = http::Request::get("http://api.example.com/v1/posts/1?full=true");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut ready = sender.clone().ready().await.expect("an open connection");
    let (response, _) = ready.send_request(request.body(()).expect("a request"), true).expect("a stream");
    response
}
