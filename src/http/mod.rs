//! HTTP/1 as bytes: what a message means, and which bytes are refused.
//!
//! Everything here is pure: bytes go in, a judgement comes out. Sockets, tasks and clocks are outside.
//! The rules are stricter than the RFCs where two readers could disagree: a message with two readings
//! is refused, so that the gateway, Pingora and the origin always see the same one.
//!
//! - [`HeadReader`] finds the end of a request's head and refuses a bad one as soon as it shows.
//! - [`ChunkedReader`] finds the data and the end of a chunked body.
//! - [`AnswerReader`] does for the head of an answer what `HeadReader` does for that of a request.
//! - [`BodyPipe`] takes a body out of one framing and puts it into another.
//! - [`RequestLine`] takes a request line apart.
//! - [`HeadIndex`] finds the parts of a head that a reader has accepted.
//! - [`structured`] parses dictionaries of structured field values.
//! - [`TraceParent`] reads and writes W3C trace contexts.
//! - `grammar`, `host`, `target` and `framing` hold the rules for single elements.

mod body;
mod chunked;
mod frames;
mod framing;
mod grammar;
mod head;
mod host;
mod hpack;
mod huffman;
mod pipe;
mod request_line;
mod response;
pub mod structured;
mod target;
mod trace_context;
mod view;
mod websocket;

pub use body::BodyReader;
pub use chunked::{BadChunk, ChunkedReader, Part};
pub use frames::{Frames, PREFACE};
pub use framing::{Body, content_length};
pub use grammar::{hex_pair, is_field_value, is_token, trim_blanks};
pub use head::{Head, HeadFault, HeadLimits, HeadReader};
pub use host::is_host;
pub use hpack::{Fragment, PathScan};
pub use pipe::{BodyPipe, in_one_chunk};
pub use request_line::RequestLine;
pub use response::{AnswerBody, AnswerHead, AnswerReader, BadAnswer, MAX_INTERIM};
pub use target::{is_origin_form, is_target_byte};
pub use trace_context::{TraceParent, hex, trace_state};
pub use view::{Field, HeadIndex, HeadView};
pub use websocket::{has_option, is_websocket_key, websocket_accept};
