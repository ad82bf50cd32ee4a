//! What every request handler can reach.

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::forward::Forwarder;
use super::health::Readiness;
use super::metrics::Metrics;
use crate::config::Config;
use crate::group::Group;
use crate::raft::hello::Hello;
use crate::store::log::Log;

/// An upgraded connection.
pub type Stream = TokioIo<Upgraded>;

/// Takes over the connection of another node that was let in. A closure that spawns, so that Raft's own runtime serves it.
pub type PeerServer = Arc<dyn Fn(Stream) + Send + Sync>;

/// What every request handler can reach; cloning is cheap.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

/// The fields of an [`AppState`].
pub struct Inner {
    pub(super) group: Group,
    pub(super) node: u64,
    pub(super) lenient_register: bool,
    pub(super) connections_max: usize,
    pub(super) peers: PeerServer,
    pub(super) log: Log,
    pub(super) hello: Hello,
    pub(super) metrics: Metrics,
    pub(super) forwarder: Forwarder,
    pub(super) readiness: Readiness,
}

impl AppState {
    /// The state of node `node` of `config`, which serves `group`; `log` is asked for its counters alone.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        group: Group,
        config: &Config,
        node: u64,
        log: Log,
        peers: PeerServer,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            inner: Arc::new(Inner {
                group,
                node,
                lenient_register: config.rest.lenient_register,
                connections_max: config.limits.connections_max,
                peers,
                log,
                hello: Hello { cluster: config.cluster.name.clone(), target: node },
                metrics: Metrics::default(),
                forwarder: Forwarder::new(config.routes_of(node))?,
                readiness: Readiness::default(),
            }),
        })
    }
}

impl std::ops::Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}
