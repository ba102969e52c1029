//! The memory that this process may use: of the machine, or of its control group if that is less.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory in bytes; `None` if the system does not say.
pub fn available() -> Option<u64> {
    find(|path| fs::read_to_string(path).ok())
}

/// Finds the lowest limit in the files that `read` returns.
fn find(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo".as_ref()).and_then(|text| total(&text));
    let groups = read("/proc/self/cgroup".as_ref()).unwrap_or_default();
    let limits = groups.lines().filter_map(limit_files).flatten();
    // A group without a limit has the word `max`, or in version 1 a number close to 2⁶³.
    let limits = limits.filter_map(|file| read(&file)?.trim().parse::<u64>().ok());
    machine.into_iter().chain(limits).min()
}

/// `MemTotal` of `/proc/meminfo` in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files with the limits of a group and of all groups around it, from a line of
/// `/proc/self/cgroup`. In a container the path can be that of the host: then only the outermost file
/// exists, and it has the container's limit.
fn limit_files(line: &str) -> Option<impl Iterator<Item = PathBuf>> {
    let (root, name, group) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        ["0", "", group] => ("/sys/fs/cgroup", "memory.max", group),
        [_, controllers, group] if controllers.split(',').any(|controller| controller == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", group)
        }
        _ => return None,
    };
    let group = PathBuf::from(group.trim_start_matches('/'));
    let around = group.ancestors().map(|group| Path::new(root).join(group).join(name)).collect::<Vec<_>>();
    Some(around.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:       16384000 kB\nMemFree: 1 kB\n");

    fn found(files: &[(&str, &str)]) -> Option<u64> {
        find(|path| {
            let (_, text) = files.iter().find(|(of, _)| Path::new(of) == path)?;
            Some((*text).to_owned())
        })
    }

    #[test]
    fn the_memory_of_the_machine_counts_without_a_group() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[MACHINE]), Some(16_384_000 * 1024));
        assert_eq!(found(&[("/proc/meminfo", "nonsense")]), None);
    }

    #[test]
    fn the_lowest_limit_of_all_groups_counts() {
        let group = ("/proc/self/cgroup", "0::/system.slice/gateway.service\n");
        let own = "/sys/fs/cgroup/system.slice/gateway.service/memory.max";
        let around = "/sys/fs/cgroup/system.slice/memory.max";
        assert_eq!(found(&[MACHINE, group, (own, "max\n"), (around, "max\n")]), Some(16_384_000 * 1024));
        assert_eq!(found(&[MACHINE, group, (own, "536870912\n"), (around, "max\n")]), Some(536_870_912));
        assert_eq!(found(&[MACHINE, group, (own, "max\n"), (around, "268435456\n")]), Some(268_435_456));
        assert_eq!(found(&[group, (own, "536870912\n")]), Some(536_870_912));
    }

    #[test]
    fn groups_of_version_1_count() {
        let group = ("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n");
        let none = ("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(found(&[MACHINE, group, none]), Some(16_384_000 * 1024));
        // In a container the group's path is that of the host.
        let outermost = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
        assert_eq!(found(&[MACHINE, group, outermost]), Some(134_217_728));
        let other = ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
        assert_eq!(found(&[MACHINE, group, other]), Some(16_384_000 * 1024));
    }
}
