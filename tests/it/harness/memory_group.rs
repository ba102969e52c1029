//! A control group with a memory limit, of version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::requirements::missing;

/// A control group that limits the memory of its processes. The kernel kills a process that exceeds
/// the limit.
pub struct MemoryGroup {
    path: PathBuf,
    /// Files of the group: the limit in bytes, the highest use in bytes, and the events.
    files: [&'static str; 3],
}

impl MemoryGroup {
    /// A new group. Needs root and a writable hierarchy of control groups.
    pub fn new(limit: u64) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let first = (
            root.join("memory"),
            ["memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"],
        );
        let second = (root.to_owned(), ["memory.max", "memory.peak", "memory.events"]);
        let group = [first, second].into_iter().find_map(|(root, files)| Self::below(&root, files, limit));
        if group.is_none() {
            missing("root and a control group for memory");
        }
        group
    }

    fn below(root: &Path, files: [&'static str; 3], limit: u64) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Version 1 has no such file, and needs none.
        let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        if !root.join("cgroup.procs").exists() {
            return None;
        }
        let path = root.join(format!("approov-it-{}-{number}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self { path, files };
        fs::write(group.path.join(files[0]), limit.to_string()).ok()?;
        Some(group)
    }

    /// A shell script that moves itself into the group and then runs its arguments as a command.
    pub fn starter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.path.display())
    }

    /// The highest memory use so far, in MiB.
    pub fn peak(&self) -> u64 {
        self.read(self.files[1]).trim().parse::<u64>().unwrap() / (1024 * 1024)
    }

    /// How many processes of the group the kernel has killed.
    pub fn kills(&self) -> u64 {
        let events = self.read(self.files[2]);
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
        line.trim().parse().unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Fails while a process is left in the group.
        let _ = fs::remove_dir(&self.path);
    }
}
