//! A clock for open loops: more exact than tokio's timers, which know milliseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

pub struct Ticker {
    timer: AsyncFd<OwnedFd>,
    /// The first tick comes one period later.
    pub start: Instant,
}

impl Ticker {
    /// Ticks so often a second, from now on.
    pub fn new(rate: u32) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let period = Duration::from_secs(1) / rate;
        let (start, now) = same_time();
        let first = now.checked_add(Timespec::try_from(period).map_err(io::Error::other)?);
        let times = Itimerspec {
            it_interval: Timespec::try_from(period).map_err(io::Error::other)?,
            it_value: first.ok_or(io::ErrorKind::InvalidInput)?,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times)?;
        #[allow(deprecated, reason = "its successor is unsafe; an owned descriptor stays open")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer, start })
    }

    /// Waits, and returns how many ticks have passed since the last time.
    pub async fn tick(&self) -> io::Result<u64> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?)) {
                Ok(read) => return read.map(|_| u64::from_ne_bytes(count)),
                Err(_) => continue,
            }
        }
    }
}

/// The present on both clocks, taken without a pause between them.
fn same_time() -> (Instant, Timespec) {
    loop {
        let start = Instant::now();
        let now = clock_gettime(ClockId::Monotonic);
        if start.elapsed() < Duration::from_micros(20) {
            return (start, now);
        }
    }
}
