//! Direct exchanges of HTTP/2 clients: a stream in place of a connection with HTTP/1.1.
//!
//! Pingora's session of the stream is used without Pingora's proxy: it has judged the head and holds the
//! rest of the stream. The head is decided on as fields, and goes to the origin as bytes of HTTP/1.1.

mod head;
mod response;
mod serve;
mod side;
