//! Work on files, on a separate thread and within a time limit. A network file system that does not answer
//! can block a system call for minutes, and must not block the thread that reloads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that runs one job after the other.
pub(super) struct FileThread {
    jobs: Sender<Job>,
    unfinished: Arc<AtomicUsize>,
}

/// The job did not end within its time limit, or the previous job is still running.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TookTooLong;

impl FileThread {
    /// Starts the thread that reads files.
    pub fn start() -> io::Result<Self> {
        let (jobs, received) = mpsc::channel::<Job>();
        thread::Builder::new().name("files".into()).spawn(move || {
            for job in received {
                job();
            }
        })?;
        Ok(Self { jobs, unfinished: Arc::default() })
    }

    /// Runs `job` and returns its result. A job that takes longer than `limit` continues in the background,
    /// and no other job starts before it has ended.
    pub fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TookTooLong> {
        if self.unfinished.load(Ordering::Acquire) > 0 {
            return Err(TookTooLong);
        }
        self.unfinished.fetch_add(1, Ordering::AcqRel);
        let (result, received) = mpsc::sync_channel(1);
        let unfinished = self.unfinished.clone();
        let job = Box::new(move || {
            let value = job();
            unfinished.fetch_sub(1, Ordering::AcqRel);
            // The receiver is gone if the job took too long.
            let _ = result.send(value);
        });
        self.jobs.send(job).map_err(|_| TookTooLong)?;
        received.recv_timeout(limit).map_err(|_| TookTooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_hangs_ends_at_its_time_limit_and_holds_back_the_next() {
        let files = FileThread::start().expect("a thread");
        let (resume, paused) = mpsc::channel::<()>();
        let hangs = move || paused.recv().is_ok();
        assert_eq!(files.run(Duration::from_millis(10), hangs), Err(TookTooLong));
        assert_eq!(files.run(Duration::from_secs(10), || 1), Err(TookTooLong));
        resume.send(()).expect("the job waits");
        let answers = (0..1000).find_map(|_| {
            thread::sleep(Duration::from_millis(1));
            files.run(Duration::from_secs(10), || 2).ok()
        });
        assert_eq!(answers, Some(2));
    }
}
