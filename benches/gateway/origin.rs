//! An origin that costs as little as one can: a fixed answer to every request without a body.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves on a free port, printed as the one line of output, until killed.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            if let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection));
            }
        }
    });
}

async fn answer(mut connection: TcpStream) -> io::Result<()> {
    let body = format!("{{\"id\":1,\"text\":\"{}\"}}", "x".repeat(270 - 18));
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.set_nodelay(true)?;
    let mut request = Vec::with_capacity(8192);
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if connection.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        connection.write_all(response.as_bytes()).await?;
    }
}
