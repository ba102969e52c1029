//! The process's own metrics, under the names that every Prometheus client library uses.

use std::fs;

use prometheus::{Counter, Gauge, IntGauge, Registry};
use rustix::process::{Resource, getrlimit};

use super::registered::registered;

/// Clock ticks in a second, in files of `/proc` (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The metrics. They are read when they are asked for.
pub(super) struct Process {
    /// Without the prefix of the gateway's own metrics.
    registry: Registry,
    cpu: Counter,
    open_files: IntGauge,
    max_files: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    threads: IntGauge,
    start: Gauge,
}

impl Process {
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help)?);
        let cpu = Counter::new("process_cpu_seconds_total", "CPU time of the process, in seconds.")?;
        let start = Gauge::new("process_start_time_seconds", "Unix time at which the process started.")?;
        Ok(Self {
            cpu: registered(&registry, cpu)?,
            open_files: gauge("process_open_fds", "Open file descriptors.")?,
            max_files: gauge("process_max_fds", "Limit of open file descriptors; 0 if there is none.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.")?,
            resident_memory: gauge("process_resident_memory_bytes", "Resident memory, in bytes.")?,
            threads: gauge("process_threads", "Threads of the process.")?,
            start: registered(&registry, start)?,
            registry,
        })
    }

    /// The registry, with the present values.
    pub fn read(&self) -> &Registry {
        // What `/proc` does not show keeps its last value.
        if let Some(stat) = ProcessStat::read() {
            self.cpu.inc_by((stat.cpu - self.cpu.get()).max(0.0));
            self.threads.set(stat.threads);
            self.virtual_memory.set(stat.virtual_memory);
            if let Some(boot) = boot_time() {
                self.start.set(boot + stat.start);
            }
        }
        if let Some(bytes) = resident_memory() {
            self.resident_memory.set(bytes);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            self.open_files.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(0);
        self.max_files.set(i64::try_from(limit).unwrap_or(i64::MAX));
        &self.registry
    }
}

/// The used fields of proc_pid_stat(5).
struct ProcessStat {
    /// Processor time in seconds, of user and system.
    cpu: f64,
    threads: i64,
    /// In seconds after the machine's start.
    start: f64,
    /// Virtual memory in bytes.
    virtual_memory: i64,
}

impl ProcessStat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field, the program's name, may hold spaces and parentheses.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        // The first of these is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let whole = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
        Some(Self {
            cpu: (field(14)? + field(15)?) / TICKS,
            threads: whole(20)?,
            start: field(22)? / TICKS,
            virtual_memory: whole(23)?,
        })
    }
}

fn resident_memory() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<i64>().ok()? * 1024)
}

/// When the machine was started, in Unix time.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read() {
        let process = Process::new().expect("names are unique");
        let found = process.read().gather();
        assert_eq!(found.len(), 7);
        for family in &found {
            let metric = &family.get_metric()[0];
            let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
            assert!(value > 0.0 || family.name().contains("cpu"), "{}", family.name());
        }
    }
}
