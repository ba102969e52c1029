//! What an error of the store means, in words.
//!
//! The text of an error comes from the store. Old servers repeat the command that they do not understand, which
//! may have the password. So nothing of that text is shown.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The meaning of an error, and how to fix it.
pub(super) fn explain(error: &RedisError) -> &'static str {
    if error.is_connection_refusal() {
        return "it refuses the connection; check that it runs, and its address";
    }
    match error.code() {
        Some("WRONGPASS") => return "it refuses the user or the password",
        Some("NOAUTH") => return "it asks for a password; write password_file",
        Some("OOM") => return "its memory is full; raise maxmemory, or set maxmemory-policy volatile-ttl",
        Some("MISCONF") => return "it cannot save its data and refuses to write; see its log",
        _ => {}
    }
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            "its answer is not one of Redis; check the address"
        }
        ErrorKind::AuthenticationFailed => "it refuses the user or the password",
        ErrorKind::Io if error.is_connection_dropped() => "it closes the connection",
        ErrorKind::Io => "it cannot be reached: the name, the network or the TLS handshake fails",
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            "it is a replica, which takes no writes; write the address of the primary"
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            "its user lacks rights; see the documentation for the rights that are needed"
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => "it loads its data and will be ready later",
        ErrorKind::Server(ServerErrorKind::ClusterDown) => "the cluster is down",
        ErrorKind::Server(ServerErrorKind::CrossSlot | ServerErrorKind::Moved | ServerErrorKind::Ask) => {
            "it is a node of a cluster, and another node has these keys; check that cluster: true is written"
        }
        _ => "it answers with an error",
    }
}
