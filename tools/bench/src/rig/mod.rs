//! What every command needs: processes, cores, tokens, certificates, figures and a verdict.

pub mod certificate;
pub mod cores;
pub mod figures;
pub mod folder;
pub mod gateway;
pub mod machine;
pub mod process;
pub mod token;
pub mod verdict;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

pub use cores::Cores;
pub use folder::{Folder, Port};
pub use gateway::Gateway;
pub use process::Process;
pub use verdict::Verdict;

/// The reason why a command stops, in words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

pub type Result<T> = std::result::Result<T, Failure>;

/// Prepares this process and the machine for a measurement. Returns the binary of the gateway.
pub fn prepare() -> Result<PathBuf> {
    let gateway = gateway::build()?;
    machine::announce();
    machine::raise_descriptor_limit()?;
    Ok(gateway)
}

pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Asks every `pause` until there is an answer. Returns `None` if `patience` passes without an answer.
pub fn poll<T>(
    pause: Duration,
    patience: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask()?;
        if answer.is_some() || Instant::now() > deadline {
            return Ok(answer);
        }
        thread::sleep(pause);
    }
}
