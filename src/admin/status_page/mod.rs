//! The status page for browsers, and its data for programs.
//!
//! The server writes the whole page, so it tells everything without script. With script the page asks
//! for itself every two seconds and takes over what it gets; nothing is written twice.

mod chart;
mod html;
mod keys;
mod limits;
mod origins;
mod page;
mod report;
mod routes;
mod sections;
mod traffic;

pub(super) use page::{json, page, wants_html};
pub(super) use report::StatusReport;
