//! The machine that a figure belongs to.

use procfs::{CpuInfo, Current as _, LoadAverage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::Result;

/// The load average of the last minute up to which the machine counts as idle.
const IDLE: f32 = 0.3;

/// Processor, cores, kernel and load average.
pub fn describe() -> Value {
    let processors = CpuInfo::current().ok();
    json!({
        "processor": processors.as_ref().and_then(|all| all.model_name(0)),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "load_average_at_start": load_average(),
    })
}

/// Prints the processor and the kernel, and a warning if the machine is busy.
pub fn announce() {
    eprintln!("machine  {}", describe());
    let load = load_average();
    if load > IDLE {
        eprintln!(
            "WARNING  the load average is {load}, an idle machine has at most {IDLE}: do not publish figures of this run"
        );
    }
}

/// Raises the limit of open files to the highest allowed, for this process and its children.
pub fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

fn load_average() -> f32 {
    LoadAverage::current().map_or(f32::NAN, |load| load.one)
}
