//! Unused connections to origins, kept for the next requests.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::connection::OriginConnection;
use super::transport::Standing;
use crate::clock;

/// The longest time between two checks of unused connections. If an origin closes a connection, the gateway
/// closes its side within this time.
const SWEEP: Duration = Duration::from_secs(1);

/// The unused connections of one worker.
///
/// `Pool::take` checks a connection before it is used again. `Pool::tend` closes connections that cannot be
/// used any more. Therefore no connection needs its own task or timer.
pub struct Pool {
    most: usize,
    kept: Mutex<Kept>,
    /// Wakes [`Pool::tend`] when the first connection is put into an empty pool.
    is_filled: Notify,
}

#[derive(Default)]
struct Kept {
    /// The connections of each address. The one that was used last is at the end.
    addresses: HashMap<u64, VecDeque<Unused>>,
    count: usize,
}

struct Unused {
    connection: Box<OriginConnection>,
    /// When it is closed.
    until: Instant,
}

impl Pool {
    /// A pool that keeps up to `most` connections.
    pub fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default(), is_filled: Notify::new() }
    }

    /// Takes a connection to the address of this number. The one that was used last is taken first: its
    /// memory is most likely in the cache, and the others can expire.
    pub(crate) fn take(&self, address: u64) -> Option<Box<OriginConnection>> {
        let mut kept = self.kept.lock();
        loop {
            let mut unused = kept.addresses.get_mut(&address)?.pop_back()?;
            kept.count -= 1;
            if unused.is_usable() {
                return Some(unused.connection);
            }
        }
    }

    /// Keeps a connection to the address of this number for `time`. If the pool is full, the connection
    /// whose time ends first is closed.
    pub(crate) fn put(&self, address: u64, connection: Box<OriginConnection>, time: Duration) {
        let mut kept = self.kept.lock();
        if kept.count == self.most {
            kept.remove_first();
        }
        if kept.count == 0 {
            self.is_filled.notify_one();
        }
        kept.count += 1;
        let until = clock::timer() + time;
        kept.addresses.entry(address).or_default().push_back(Unused { connection, until });
    }

    /// Closes connections that have been unused for too long, or that the origin has closed. Never returns.
    pub async fn tend(&self) {
        loop {
            match self.sweep() {
                Some(next) => sleep_until(next).await,
                None => self.is_filled.notified().await,
            }
        }
    }

    /// Closes connections that cannot be used any more. Returns the time of the next check; `None` if no
    /// connection is left.
    fn sweep(&self) -> Option<Instant> {
        let now = clock::timer();
        let mut kept = self.kept.lock();
        kept.addresses.retain(|_, unused| {
            unused.retain_mut(|unused| unused.until > now && unused.is_usable());
            !unused.is_empty()
        });
        kept.count = kept.addresses.values().map(VecDeque::len).sum();
        let first = kept.addresses.values().filter_map(VecDeque::front).map(|unused| unused.until).min();
        first.map(|first| first.min(now + SWEEP))
    }
}

impl Kept {
    /// Closes the connection whose time ends first.
    fn remove_first(&mut self) {
        let first = |unused: &VecDeque<Unused>| unused.front().map(|unused| unused.until);
        let all = self.addresses.values_mut().filter(|unused| !unused.is_empty());
        if all.min_by_key(|unused| first(unused)).and_then(VecDeque::pop_front).is_some() {
            self.count -= 1;
        }
    }
}

impl Unused {
    /// Whether a request may use the connection: the origin has neither closed it nor sent anything.
    fn is_usable(&mut self) -> bool {
        let standing = self.connection.standing(&mut Context::from_waker(Waker::noop()));
        if standing == Standing::Unsolicited {
            self.connection.count_unsolicited();
        }
        standing == Standing::Quiet
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::upstream::connection::ExchangeLimits;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The gateway's and the origin's end of one connection.
    async fn connection() -> (Box<OriginConnection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (ours, theirs) = (ours.expect("connects"), theirs.expect("accepts").0);
        let descriptor = ours.as_raw_fd();
        let limits = ExchangeLimits::default();
        (Box::new(OriginConnection::new(Box::new(ours), descriptor, limits, None)), theirs)
    }

    /// Waits until the gateway can see what the origin has done.
    async fn notice(connection: &mut OriginConnection) {
        while connection.standing(&mut Context::from_waker(Waker::noop())) == Standing::Quiet {
            tokio::task::yield_now().await;
        }
    }

    async fn is_closed(origin: &TcpStream) -> bool {
        origin.readable().await.expect("a socket");
        matches!(origin.try_read(&mut [0]), Ok(0))
    }

    #[tokio::test]
    async fn the_connection_that_was_used_last_is_taken_first() {
        let pool = Pool::new(10);
        let [(first, _one), (second, _two)] = [connection().await, connection().await];
        let descriptors = [first.descriptor(), second.descriptor()];
        pool.put(1, first, MINUTE);
        pool.put(1, second, MINUTE);
        assert!(pool.take(2).is_none(), "another address");
        let taken = [pool.take(1), pool.take(1)].map(|taken| taken.expect("it is kept"));
        assert_eq!(taken.map(|connection| connection.descriptor()), [descriptors[1], descriptors[0]]);
        assert!(pool.take(1).is_none());
    }

    #[tokio::test]
    async fn what_the_origin_has_closed_or_used_is_not_taken() {
        let pool = Pool::new(10);
        let (closed, origin) = connection().await;
        drop(origin);
        let (talking, mut origin) = connection().await;
        origin.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.expect("a socket");
        for mut connection in [closed, talking] {
            notice(&mut connection).await;
            pool.put(1, connection, MINUTE);
        }
        assert!(pool.take(1).is_none());
        assert_eq!(pool.sweep(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_closes_what_is_over_and_tells_the_next_time() {
        let pool = Pool::new(10);
        let [(short, short_origin), (long, long_origin), (mut closed, origin)] =
            [connection().await, connection().await, connection().await];
        drop(origin);
        notice(&mut closed).await;
        let start = clock::timer();
        pool.put(1, short, SWEEP / 2);
        pool.put(2, long, MINUTE);
        pool.put(2, closed, MINUTE);
        assert_eq!(pool.sweep(), Some(start + SWEEP / 2));
        tokio::time::advance(SWEEP / 2).await;
        assert_eq!(pool.sweep(), Some(start + SWEEP / 2 + SWEEP));
        assert!(is_closed(&short_origin).await);
        assert_eq!(pool.kept.lock().count, 1);
        tokio::time::advance(MINUTE).await;
        assert_eq!(pool.sweep(), None);
        assert!(is_closed(&long_origin).await);
    }

    #[tokio::test]
    async fn a_full_pool_closes_the_connection_whose_time_ends_first() {
        let pool = Pool::new(2);
        let [(first, _one), (second, second_origin), (third, _three)] =
            [connection().await, connection().await, connection().await];
        pool.put(1, first, MINUTE);
        pool.put(2, second, MINUTE / 2);
        pool.put(1, third, MINUTE);
        assert!(is_closed(&second_origin).await);
        assert!(pool.take(1).is_some() && pool.take(1).is_some());
    }
}
