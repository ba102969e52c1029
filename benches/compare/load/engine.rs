//! Our own load: one thread, one epoll, kept-alive connections.
//!
//! In open loop a request is due by the clock, whatever became of those before; where no connection
//! is free it waits, and its latency counts from when it was due, so that a stalled server cannot
//! hide its stall from the figures.

use std::collections::VecDeque;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::super::Result;
use super::super::requests::Request;
use super::response::Response;
use super::{Pace, Percentiles, Seen, Target};

/// How long what is under way at the end may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The event of the timer, beside those of the connections.
const TIMER: u64 = u64::MAX;

/// Sends for `duration`, then waits for what is under way.
pub fn run(target: Target<'_>, request: &Request, pace: Pace, duration: Duration) -> Result<Seen> {
    Engine::new(target, request, pace, duration)?.run()
}

struct Connection {
    stream: TcpStream,
    response: Response,
    /// Since when its request has been due, from the start.
    since: Duration,
}

struct Engine {
    epoll: OwnedFd,
    timer: Option<OwnedFd>,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// When the requests were due that found no connection free.
    waiting: VecDeque<Duration>,
    request: Vec<u8>,
    status: u16,
    /// Time between two requests of an open loop.
    period: Option<Duration>,
    sent: u32,
    duration: Duration,
    start: Instant,
    latencies: Vec<Duration>,
}

impl Engine {
    fn new(target: Target<'_>, request: &Request, pace: Pace, duration: Duration) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let connect = |number: usize| -> Result<Connection> {
            let stream = TcpStream::connect(target.address)?;
            stream.set_nodelay(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)?;
            Ok(Connection { stream, response: Response::default(), since: Duration::ZERO })
        };
        let connections = (0..target.connections).map(connect).collect::<Result<Vec<_>>>()?;
        let period = match pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(Duration::from_secs_f64(1.0 / rate)),
        };
        let timer = period.map(timer).transpose()?;
        if let Some(timer) = &timer {
            epoll::add(&epoll, timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            timer,
            idle: (0..connections.len()).collect(),
            connections,
            waiting: VecDeque::new(),
            request: request.to_bytes(),
            status: request.status,
            period,
            sent: 0,
            duration,
            start: Instant::now(),
            latencies: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Seen> {
        let mut events = [MaybeUninit::<Event>::uninit(); 256];
        let mut buffer = vec![0; 256 << 10];
        self.start = Instant::now();
        let patience = timespec(PATIENCE)?;
        let mut keeps_up = true;
        loop {
            self.send_what_is_due()?;
            let is_over = self.start.elapsed() >= self.duration && self.waiting.is_empty();
            if is_over && self.idle.len() == self.connections.len() {
                break;
            }
            if self.start.elapsed() > self.duration + PATIENCE {
                keeps_up = false;
                break;
            }
            let (ready, _) = epoll::wait(&self.epoll, &mut events, Some(&patience))?;
            for event in ready.iter() {
                match event.data.u64() {
                    TIMER => self.take_tick()?,
                    number => self.receive(usize::try_from(number)?, &mut buffer)?,
                }
            }
        }
        if !keeps_up && self.period.is_none() {
            return Err("a request was not answered".into());
        }
        let elapsed = self.start.elapsed();
        Ok(Seen {
            requests: self.latencies.len() as u64,
            elapsed,
            latencies: percentiles(self.latencies).ok_or("no request was answered")?,
            keeps_up,
        })
    }

    fn send_what_is_due(&mut self) -> Result<()> {
        let now = self.start.elapsed();
        if let Some(period) = self.period {
            while period * self.sent <= now.min(self.duration) {
                self.waiting.push_back(period * self.sent);
                self.sent += 1;
            }
            while !self.waiting.is_empty() && !self.idle.is_empty() {
                let (due, number) = (self.waiting.pop_front(), self.idle.pop());
                self.send(number.unwrap_or_default(), due.unwrap_or_default())?;
            }
        } else if now < self.duration {
            while let Some(number) = self.idle.pop() {
                self.send(number, now)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, number: usize, since: Duration) -> Result<()> {
        let connection = &mut self.connections[number];
        connection.since = since;
        // The socket blocks, which costs nothing as long as the peer reads.
        Ok(connection.stream.write_all(&self.request)?)
    }

    fn receive(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
        let connection = &mut self.connections[number];
        let count = match recv(&connection.stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err("a connection was closed under load".into()),
            Ok((count, _)) => count,
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if connection.response.feed(&buffer[..count])? {
            if connection.response.status() != Some(self.status) {
                let head = connection.response.head();
                return Err(format!("expected {}, got {head}", self.status).into());
            }
            connection.response.clear();
            self.latencies.push(self.start.elapsed().saturating_sub(connection.since));
            self.idle.push(number);
        }
        Ok(())
    }

    fn take_tick(&self) -> Result<()> {
        if let Some(timer) = &self.timer {
            rustix::io::read(timer, &mut [0; 8])?;
        }
        Ok(())
    }
}

/// A timer that ticks every `period`: more exact than a timeout of epoll, which may be late.
fn timer(period: Duration) -> Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let interval = timespec(period)?;
    let ticks = Itimerspec { it_interval: interval, it_value: interval };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
    Ok(timer)
}

fn timespec(duration: Duration) -> Result<Timespec> {
    Ok(Timespec::try_from(duration)?)
}

fn percentiles(mut latencies: Vec<Duration>) -> Option<Percentiles> {
    latencies.sort_unstable();
    let last = latencies.len().checked_sub(1)?;
    let at = |share: f64| latencies[(last as f64 * share).round() as usize].as_secs_f64();
    Some(Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999) })
}
