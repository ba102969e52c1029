//! How slowly a body may come over HTTP/2, for which Pingora has no time limits.

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::pace::time_for;
use crate::admission::ProtocolLimits as Bounds;

tokio::task_local! {
    static CURRENT: Arc<BodyWatch>;
}

/// How the body of a request comes along. The request's own task tells; beside it, somebody looks.
#[derive(Debug)]
pub(crate) struct BodyWatch {
    started: Instant,
    bytes: AtomicU64,
    /// Milliseconds from the start to the last part.
    last: AtomicU64,
    has_ended: AtomicBool,
}

impl BodyWatch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        })
    }

    /// That of the request whose task this is; none where nobody looks.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// A part of the body has come.
    pub fn came(&self, bytes: usize, is_end: bool) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let elapsed = self.started.elapsed().as_millis();
        self.last.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.has_ended.fetch_or(is_end, Ordering::Relaxed);
    }

    /// Nobody is to look any more.
    pub fn ends(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Does the request's work, unless its body comes too slowly: then it is dropped, and its
    /// stream reset.
    pub(super) async fn watch(self: Arc<Self>, bounds: &Bounds, work: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = CURRENT.scope(self.clone(), work) => {}
            () = self.becomes_too_slow(bounds) => {}
        }
    }

    async fn becomes_too_slow(&self, bounds: &Bounds) {
        loop {
            if self.has_ended.load(Ordering::Relaxed) {
                return future::pending().await;
            }
            let last = self.started + Duration::from_millis(self.last.load(Ordering::Relaxed));
            // Between two parts there may be a wait for the origin as well: twice the time.
            let mut deadline = last + bounds.time.body * 2;
            if bounds.body_rate > 0 {
                let bytes = self.bytes.load(Ordering::Relaxed);
                let whole = bounds.time.body.saturating_add(time_for(bytes, bounds.body_rate));
                deadline = self.started.checked_add(whole).map_or(deadline, |whole| whole.min(deadline));
            }
            if Instant::now() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LimitSettings;

    fn bounds() -> Bounds {
        let mut bounds = Bounds::new(&LimitSettings::default());
        bounds.time.body = Duration::from_secs(30);
        bounds.body_rate = 1000;
        bounds
    }

    /// Sends parts, each after so many seconds and of so many bytes, and says after how many seconds
    /// it was cut off.
    async fn cut_off(parts: &[(u64, usize)]) -> Option<u64> {
        let watch = BodyWatch::new();
        let start = Instant::now();
        let mut is_done = false;
        let work = async {
            let watch = BodyWatch::current().expect("it is watched");
            for (index, (seconds, size)) in parts.iter().enumerate() {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                watch.came(*size, index + 1 == parts.len());
            }
            // The origin takes its time.
            tokio::time::sleep(Duration::from_secs(1000)).await;
            is_done = true;
        };
        watch.watch(&bounds(), work).await;
        (!is_done).then(|| start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn cuts_off_the_silent_and_the_slow_and_nobody_else() {
        assert_eq!(cut_off(&[(1, 1000); 100]).await, None, "fast enough");
        assert_eq!(cut_off(&[(100, 0)]).await, Some(30), "nothing at all");
        assert_eq!(cut_off(&[(1, 100_000), (100, 1)]).await, Some(61), "silent after the start");
        assert_eq!(cut_off(&[(1, 1); 100]).await, Some(30), "a byte a second");
        assert_eq!(cut_off(&[(1, 500); 100]).await, Some(59), "half as fast as is asked");
    }
}
