//! A clock for open loops: more exact than tokio's timers, which know milliseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

pub struct Ticker(AsyncFd<OwnedFd>);

impl Ticker {
    /// Ticks so often a second, from now on.
    pub fn new(rate: u32) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let period = Timespec::try_from(Duration::from_secs(1) / rate).map_err(io::Error::other)?;
        let both = Itimerspec { it_interval: period, it_value: period };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &both)?;
        #[allow(deprecated, reason = "its successor is unsafe; an owned descriptor stays open")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self(timer))
    }

    /// Waits, and returns how many ticks have passed since the last time.
    pub async fn tick(&self) -> io::Result<u64> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut count = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?)) {
                Ok(read) => return read.map(|_| u64::from_ne_bytes(count)),
                Err(_) => continue,
            }
        }
    }
}
