//! Tests of gateway processes on real sockets: what clients, origins and operators see.

mod admin;
mod alerts;
mod clients;
mod denied;
mod explained_failures;
mod http2;
mod key_sets;
mod large_bodies;
mod limits;
mod message_signing;
mod objectives;
mod observability;
mod origin_failures;
mod origins;
mod package_commands;
mod proxying;
mod refusals;
mod request_ids;
mod routes;
mod signing_commands;
mod starting;
pub mod tls;
mod tls_origins;
mod traces;
mod verification_options;
mod workers;
