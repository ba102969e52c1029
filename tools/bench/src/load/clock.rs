//! The clock of open loops. Timers of tokio have a resolution of a millisecond, this one is exact.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

pub struct Ticker {
    timer: AsyncFd<OwnedFd>,
    due: Instant,
    period: Duration,
}

impl Ticker {
    /// Ticks `rate` times a second from now on.
    pub fn new(rate: f64) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let period = Duration::from_secs_f64(1.0 / rate);
        let due = Instant::now() + period;
        let interval = Timespec::try_from(period).map_err(io::Error::other)?;
        let times = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        #[allow(deprecated, reason = "the replacement is unsafe; an owned descriptor stays open")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer, due, period })
    }

    /// Waits for the next tick, and returns the time when it was due.
    pub async fn tick(&mut self) -> io::Result<Instant> {
        while self.due > Instant::now() {
            let mut ready = self.timer.readable().await?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            if let Ok(read) = read {
                read?;
            }
        }
        self.due += self.period;
        Ok(self.due - self.period)
    }
}
