//! The origins in use, and the tasks that resolve their names and check their health.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use crate::origins::Origin;
use crate::upstream::{Upstream, UpstreamContext};

/// The longest time that a start or a reload waits for the names of new origins.
const RESOLUTION: Duration = Duration::from_secs(5);

/// All origins in use. An origin that a reload does not change keeps its addresses, their health, and the
/// workers' connections to it.
pub(super) struct Origins {
    context: UpstreamContext,
    running: Vec<RunningOrigin>,
}

struct RunningOrigin {
    upstream: Arc<Upstream>,
    tasks: [AbortHandle; 2],
}

impl Origins {
    /// An empty set of origins.
    pub fn new(context: UpstreamContext) -> Self {
        Self { context, running: Vec::new() }
    }

    /// The origins in `wanted`, in the same order: unchanged ones as they are, new ones after their names
    /// were resolved. No origin is dropped before [`Origins::keep`].
    ///
    /// # Errors
    /// If the certificates of an origin cannot be used.
    pub async fn adopt(&mut self, wanted: &[Origin]) -> Result<Vec<Arc<Upstream>>, rustls::Error> {
        let mut fresh = Vec::new();
        let mut adopted = Vec::with_capacity(wanted.len());
        for origin in wanted {
            adopted.push(match self.find(origin) {
                Some(upstream) => upstream,
                None => {
                    let upstream = Upstream::new(origin.clone(), &self.context)?;
                    fresh.push(upstream.clone());
                    upstream
                }
            });
        }
        resolve(&fresh).await;
        for upstream in fresh {
            let (resolving, checking) = (upstream.clone(), upstream.clone());
            let tasks = [
                Handle::current().spawn(async move { resolving.keep_resolved().await }).abort_handle(),
                Handle::current().spawn(checking.keep_checked()).abort_handle(),
            ];
            self.running.push(RunningOrigin { upstream, tasks });
        }
        Ok(adopted)
    }

    /// Stops the tasks of all origins except for `used`.
    pub fn keep(&mut self, used: &[Arc<Upstream>]) {
        self.running.retain(|running| {
            let kept = used.iter().any(|upstream| Arc::ptr_eq(upstream, &running.upstream));
            if !kept {
                running.tasks.iter().for_each(AbortHandle::abort);
            }
            kept
        });
    }

    fn find(&self, origin: &Origin) -> Option<Arc<Upstream>> {
        let running = self.running.iter().find(|running| running.upstream.origin() == origin)?;
        Some(running.upstream.clone())
    }
}

async fn resolve(upstreams: &[Arc<Upstream>]) {
    let mut resolving = JoinSet::new();
    for upstream in upstreams {
        let upstream = upstream.clone();
        resolving.spawn(async move { upstream.resolve().await });
    }
    let all = async { while resolving.join_next().await.is_some() {} };
    if tokio::time::timeout(RESOLUTION, all).await.is_err() {
        // The tasks resolve the names again soon.
        log::warn!("the origins' names take long to resolve; requests get 502 until they are");
    }
}
