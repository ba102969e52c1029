//! The proxy: a request's life in Pingora's phases.
//!
//! A request passes through three states. Each state owns what is known then:
//!
//! 1. `arrival`: the head has arrived. Connection, client and configuration are known.
//! 2. `admit`: the request is routed, verified and within the limits (`Admitted`), or it is not
//!    (`Refused`) and gets an `answer`.
//! 3. `exchange`: the origin is asked. The state decides which address is asked, what a `failure`
//!    means and whether the request is sent again.
//!
//! In the end `record` counts and logs the request, whatever became of it.
//!
//! The decisions read heads through the traits of `head` and know nothing of Pingora's sessions.
//! `gateway` has the hooks that Pingora calls. `direct` serves plain requests of HTTP/1.1 and HTTP/2
//! without Pingora's proxy. Both take the `steps` of a request. `life` is the context that Pingora keeps for each
//! request. `application` connects the worker's proxy to the downstream side.

mod admit;
mod answer;
mod application;
mod arrival;
mod body;
mod certificate;
mod client;
mod correlation;
mod direct;
mod exchange;
mod failure;
mod forward;
mod gateway;
mod head;
mod ids;
mod judgement;
mod life;
mod record;
mod response;
mod settings;
mod shared;
mod signing;
mod snapshot;
mod steps;
mod unparsed;
mod validity;
mod verification;

pub use application::WorkerProxy;
pub use body::HeldBodies;
pub use correlation::{CorrelationSettings, Sampler, Tracing};
pub use direct::Direct;
#[doc(hidden)] // For tests without sockets.
pub use direct::{Download, OfflineHeads, Upload};
pub use gateway::Gateway;
pub use life::RequestContext;
pub use settings::{RejectionAnswer, RejectionDetail, SnapshotSettings};
pub use shared::Shared;
pub use snapshot::Snapshot;
