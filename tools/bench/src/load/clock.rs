//! The clock of open loops. Timers of tokio have a resolution of a millisecond, this one is exact.

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
    /// One period before the first tick.
    pub start: Instant,
    pub period: Duration,
}

impl Ticker {
    /// Ticks `rate` times a second from now on.
    pub fn new(rate: f64) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let period = Duration::from_secs_f64(1.0 / rate);
        let interval = Timespec::try_from(period).map_err(io::Error::other)?;
        let (start, now) = both_clocks();
        let first = now.checked_add(interval).ok_or(io::ErrorKind::InvalidInput)?;
        let times = Itimerspec { it_interval: interval, it_value: first };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times)?;
        #[allow(deprecated, reason = "the replacement is unsafe; an owned descriptor stays open")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer, start, period })
    }

    /// Waits for the next tick, and returns how many have passed since the last call.
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

/// The present on both clocks, read with less than 20 µs between them.
fn both_clocks() -> (Instant, Timespec) {
    loop {
        let start = Instant::now();
        let now = clock_gettime(ClockId::Monotonic);
        if start.elapsed() < Duration::from_micros(20) {
            return (start, now);
        }
    }
}
