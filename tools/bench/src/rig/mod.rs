//! What every command needs: processes, cores, tokens, certificates and figures.

pub mod certificate;
pub mod cores;
pub mod figures;
pub mod folder;
pub mod gateway;
pub mod machine;
pub mod process;
pub mod signature;
pub mod token;

/// The reason why a command stops, in words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

pub type Result<T> = std::result::Result<T, Failure>;
