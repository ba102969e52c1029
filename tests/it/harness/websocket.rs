//! A WebSocket handshake, with the key and the answer that RFC 6455 §1.3 gives as an example.

use std::io;

use super::{Exchange, Message};

/// The fields of a complete handshake.
pub const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The answer that accepts it.
pub const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

impl Message {
    /// Asks for a WebSocket.
    pub fn websocket(self) -> Self {
        let fields = HANDSHAKE.split_terminator("\r\n").filter_map(|line| line.split_once(": "));
        fields.fold(self, |message, (name, value)| message.field(name, value))
    }
}

impl Exchange<'_> {
    /// Accepts the handshake.
    pub fn switch_protocols(&mut self) -> io::Result<()> {
        self.send(SWITCH)
    }
}
