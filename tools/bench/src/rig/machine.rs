//! The machine that a figure belongs to.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::Result;

/// The load average of the last minute up to which the machine counts as idle.
const IDLE: f64 = 0.3;

/// Processor, cores, kernel and load average.
pub fn describe() -> Value {
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "processor": model.map(|(_, name)| name),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average_at_start": load_average(),
    })
}

/// Prints the processor and the kernel, and a warning if the machine is busy.
pub fn announce() {
    let machine = describe();
    let text = |name: &str| machine[name].as_str().unwrap_or("unknown").to_owned();
    eprintln!("machine  {}, {} cores, Linux {}", text("processor"), machine["cores"], text("kernel"));
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

fn load_average() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
