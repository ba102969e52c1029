//! Pinning: one core for the process under test, the others for the load and the origin.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Result;

/// The cores of the process under test, and those of the load and the origin.
#[derive(Clone, Debug)]
pub struct Cores {
    peer: Vec<usize>,
    load: Vec<usize>,
}

impl Cores {
    /// Assigns the first core to the process under test (the first two for two threads) and the others
    /// to the load, and pins this thread to the latter. On a machine with two cores the load shares a
    /// core with the second thread of the process under test.
    pub fn assign() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let [first, second, rest @ ..] = usable.as_slice() else {
            return Err("two cores are needed: one for the process under test, one for the load".into());
        };
        let load = if rest.is_empty() { vec![*second] } else { rest.to_vec() };
        let cores = Self { peer: vec![*first, *second], load };
        pin(&cores.load)?;
        Ok(cores)
    }

    /// Runs `start` with this thread pinned to the cores of the process under test. A process that
    /// `start` spawns inherits them.
    pub fn for_peer<T>(&self, threads: usize, start: impl FnOnce() -> T) -> Result<T> {
        pin(&self.peer[..threads.min(self.peer.len())])?;
        let started = start();
        pin(&self.load)?;
        Ok(started)
    }
}

fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot pin to the cores {cores:?}: {error}").into())
}
