//! A script that sends the same request again and again.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Http2, Kept, Request, Script, Target};
use crate::rig::Result;

pub struct Same {
    pub target: Target,
    request: Request,
    pub status: u16,
    /// With HTTP/2: how many workers share a connection.
    pub streams: Option<usize>,
    /// The time that an answer may take.
    pub patience: Option<Duration>,
    bytes: Vec<u8>,
    shared: RefCell<Vec<Arc<Http2>>>,
}

pub enum Worker {
    Http1(Kept),
    Http2(Arc<Http2>, http::Request<()>),
}

impl Same {
    pub fn new(target: Target, request: Request, status: u16) -> Self {
        let target = Target { is_reset: true, ..target };
        let bytes = request.to_bytes();
        Self { target, request, status, streams: None, patience: None, bytes, shared: RefCell::default() }
    }

    async fn exchange(&self, worker: &mut Worker) -> io::Result<u16> {
        match worker {
            Worker::Http1(kept) => Ok(kept.ask(&self.target, &self.bytes).await?.status),
            Worker::Http2(client, head) => Ok(client.ask(head, &self.request.body).await?.0),
        }
    }
}

impl Script for Same {
    type Worker = Worker;

    async fn worker(&self, number: usize) -> Result<Worker> {
        let Some(streams) = self.streams else { return Ok(Worker::Http1(Kept::open(&self.target).await?)) };
        if number.is_multiple_of(streams) {
            let client = Arc::new(Http2::new(self.target.clone()));
            client.sender().await?;
            self.shared.borrow_mut().push(client);
        }
        let client = self.shared.borrow()[number / streams].clone();
        let head = client.head(&self.request)?;
        Ok(Worker::Http2(client, head))
    }

    async fn ask(&self, worker: &mut Worker, _: u64) -> std::result::Result<(), String> {
        let exchange = self.exchange(worker);
        let answer = match self.patience {
            None => exchange.await,
            Some(patience) => timeout(patience, exchange).await.unwrap_or_else(|late| Err(late.into())),
        };
        match answer {
            Ok(status) if status == self.status => Ok(()),
            Ok(status) => Err(format!("{status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}
