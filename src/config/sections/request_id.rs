//! `request_id`: the id by which a request is found again.

use http::HeaderName;

use crate::config::document::{Located, Report, Written, boolean, default, quoted, section, text};
use crate::config::values::header_name;
use crate::proxy::CorrelationSettings;

section! {
    /// The id of each request, sent to the origin and to the client and written to the access log.
    pub struct RequestIdSection {
        /// Whether requests have ids. If not, the header is passed on like any other.
        enabled: bool = default(boolean(), true),
        /// The header with the id. The id of a trusted proxy is kept if it has at most 128 letters, digits
        /// and `-_.~:/+=@`. Every other request gets a new one, whatever the client sends. Default:
        /// `X-Request-Id`.
        header: Written<HeaderName> = text("header name", header_name),
    }
}

impl RequestIdSection {
    /// The header; `None` if requests have no ids. `taken` are the headers with another meaning.
    pub fn resolve(self, taken: &[HeaderName], report: &Report) -> Option<HeaderName> {
        if let Some(Located { value: name, at }) =
            self.header.get().filter(|name| taken.contains(&name.value))
        {
            let message = format!("{} has another meaning already", quoted(name.as_str()));
            report.problem(at, message, "choose another name");
        }
        let default = CorrelationSettings::default().request_id;
        self.header.value().or(default).filter(|_| self.enabled)
    }
}
