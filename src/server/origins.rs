//! The origins in use, and the tasks that keep their addresses fresh.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::config::Origin;
use crate::telemetry::Metrics;
use crate::upstream::Upstream;

/// How long resolving new origins' names may hold up a start or a reload.
const RESOLUTION: Duration = Duration::from_secs(5);

/// Every origin in use. One that a reload does not change keeps its addresses, and the workers
/// keep their connections to it.
#[derive(Default)]
pub(super) struct Origins(Vec<Running>);

struct Running {
    upstream: Arc<Upstream>,
    resolving: AbortHandle,
}

impl Origins {
    /// The origins `wanted`, in that order: those in use as they are, new ones resolved first.
    /// Nothing is dropped before [`Origins::keep`].
    pub async fn adopt(&mut self, wanted: &[Origin], metrics: &Metrics) -> Vec<Arc<Upstream>> {
        let mut fresh = Vec::new();
        let adopted = wanted.iter().map(|origin| match self.find(origin) {
            Some(upstream) => upstream,
            None => {
                let upstream = Arc::new(Upstream::new(origin.clone(), metrics));
                fresh.push(upstream.clone());
                upstream
            }
        });
        let adopted: Vec<Arc<Upstream>> = adopted.collect();
        resolve(&fresh).await;
        for upstream in fresh {
            let resolving = upstream.clone();
            let resolving =
                Handle::current().spawn(async move { resolving.keep_resolved().await }).abort_handle();
            self.0.push(Running { upstream, resolving });
        }
        adopted
    }

    /// Forgets all but `used`.
    pub fn keep(&mut self, used: &[Arc<Upstream>]) {
        self.0.retain(|running| {
            let kept = used.iter().any(|upstream| Arc::ptr_eq(upstream, &running.upstream));
            if !kept {
                running.resolving.abort();
            }
            kept
        });
    }

    fn find(&self, origin: &Origin) -> Option<Arc<Upstream>> {
        let running = self.0.iter().find(|running| running.upstream.origin() == origin)?;
        Some(running.upstream.clone())
    }
}

async fn resolve(upstreams: &[Arc<Upstream>]) {
    let all = async {
        for upstream in upstreams {
            upstream.resolve().await;
        }
    };
    if tokio::time::timeout(RESOLUTION, all).await.is_err() {
        log::warn!("the origins' names take long to resolve; requests get 502 until they are");
    }
}
