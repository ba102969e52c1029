//! `rejection`: the answer to refused requests.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::config::document::{Kind, Reported, Shape, Value, list, number, section, text, usable, words};
use crate::config::settings::{RejectionAnswer, RejectionDetail};
use crate::config::values::media_type;

section! {
    settings RejectionAnswer(keys) {
        /// The status.
        status = ClientError,
        /// The media type of the body.
        content_type = text("media type", media_type).shown(shown),
        /// The body.
        body = text("text", |body| Ok(Bytes::copy_from_slice(body.as_bytes()))).shown(body_text),
        /// What the answer tells the app: `[arc]` adds the attestation response code of the token as the
        /// field `Approov-ARC`, for the app's support screen. An attacker who holds the token knows the
        /// code already.
        details = Details,
    }
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn body_text(body: &Bytes) -> String {
    format!("{:?}", String::from_utf8_lossy(body))
}

/// The kind of a list of details.
struct Details;

const DETAILS: [(&str, RejectionDetail); 1] = [("arc", RejectionDetail::ResponseCode)];

impl Kind for Details {
    type Value = Vec<RejectionDetail>;

    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported> {
        Ok(usable(list(words(DETAILS)).read(value)?).collect())
    }

    fn shape(&self) -> Shape {
        list(words(DETAILS)).shape()
    }

    fn show(&self, details: &Self::Value) -> Option<String> {
        details.is_empty().then(|| "[]".to_owned())
    }
}

/// A status that tells the client of its own mistake.
struct ClientError;

impl Kind for ClientError {
    type Value = StatusCode;

    fn read(&self, value: &Value<'_>) -> Result<StatusCode, Reported> {
        StatusCode::from_u16(number(400..=499).read(value)?).map_err(|_| Reported)
    }

    fn shape(&self) -> Shape {
        number(400_u16..=499).shape()
    }

    fn show(&self, status: &StatusCode) -> Option<String> {
        Some(status.as_str().to_owned())
    }
}
