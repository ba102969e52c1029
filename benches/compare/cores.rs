//! Which core is whose.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Result;

/// The cores of the peers, and those of the origin and the load.
#[derive(Clone, Debug)]
pub struct Cores {
    peers: Vec<usize>,
    load: Vec<usize>,
}

impl Cores {
    /// The first core for the peers (the first two for two threads), the rest for the load. Where
    /// there are only two, the load and a peer's second thread share one.
    pub fn of_this_machine() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let [first, second, rest @ ..] = usable.as_slice() else {
            return Err("the comparison needs two cores: one for the peers, one for the load".into());
        };
        let load = if rest.is_empty() { vec![*second] } else { rest.to_vec() };
        let cores = Self { peers: vec![*first, *second], load };
        cores.pin(&cores.load)?;
        Ok(cores)
    }

    /// Runs `start`, which starts a process, so that the process is pinned to the peers' cores.
    pub fn for_peer<T>(&self, threads: usize, start: impl FnOnce() -> T) -> Result<T> {
        self.pin(&self.peers[..threads.min(self.peers.len())])?;
        let started = start();
        self.pin(&self.load)?;
        Ok(started)
    }

    /// Pins this thread, and whatever it starts from now on.
    fn pin(&self, cores: &[usize]) -> Result<()> {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        sched_setaffinity(None, &set)
            .map_err(|error| format!("cannot pin to the cores {cores:?}: {error}").into())
    }
}
